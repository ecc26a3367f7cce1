//! Why a publish spec is refused, a sentence each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::binding::{Bracketed, HostPorts, PortSpan};

/// Why a publish spec, a container address or an allowed source is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing where a port should stand.
    #[error("a port is missing; write HOSTPORT:CONTAINERPORT, as in 8080:80")]
    NoPort,
    /// Only one port or range where two are needed.
    #[error("{0:?} names no container port; write HOSTPORT:CONTAINERPORT, as in 8080:80")]
    NoContainerPort(String),
    /// A container's port where only the published side is meant.
    #[error("{0:?} names a container port too; name the published side alone: {1}")]
    ContainerSide(String, HostPorts),
    /// Something else than digits.
    #[error("{0:?} is not a port number")]
    NotAPort(String),
    /// A number that no port has.
    #[error("port {0} is out of range; ports are 1 to 65535")]
    PortOutOfRange(String),
    /// A range without its beginning or end.
    #[error("port range {0:?} is empty; write FIRST-LAST, as in 8000-8009")]
    OpenRange(String),
    /// The end lies before the beginning.
    #[error("port range {0}-{1} is reversed; write {1}-{0}")]
    ReversedRange(u16, u16),
    /// As many ports must be in the container as on the host.
    #[error("{}", different_length(*published, *target))]
    DifferentLength {
        /// The host's ports.
        published: PortSpan,
        /// The container's.
        target: PortSpan,
    },
    /// Neither `tcp` nor `udp` behind the slash.
    #[error("{0:?} is not a protocol that netmap publishes; use tcp or udp")]
    UnknownProtocol(String),
    /// No address.
    #[error("{0:?} is not an IP address")]
    BadAddress(String),
    /// No prefix.
    #[error("{0:?} is not a network; write ADDRESS/LENGTH, as in 10.0.0.0/8 or fd00::/8")]
    BadNetwork(String),
    /// IPv6 without brackets in front of a port.
    #[error("{0} is an IPv6 address; write it in brackets, as in [{0}]:8080")]
    Unbracketed(Ipv6Addr),
    /// An IPv4 address in the form of one of IPv6.
    #[error("{0} is an IPv4 address; write {1}")]
    Mapped(Ipv6Addr, Ipv4Addr),
    /// `fe80::/10`, or an address with a zone.
    #[error(
        "{0} is a link-local address, which means another machine on every link; give one that is unique"
    )]
    LinkLocal(String),
    /// An address that no host has.
    #[error(
        "{0} is no address that a host can have; publish on one of this host's addresses, on 0.0.0.0 or on [::]"
    )]
    NotAHost(IpAddr),
    /// A group of machines, not one.
    #[error("{0} is a multicast, broadcast or reserved address, not a container's")]
    NotUnicast(IpAddr),
    /// 0.0.0.0/8, or `::`.
    #[error("{0} is an unspecified address, not a container's")]
    Unspecified(IpAddr),
    /// Nothing behind `--to`.
    #[error("the container's address is missing")]
    NoTarget,
    /// One port cannot lead to two containers.
    #[error("{0} and {1} are of one family; give one address of the container for IPv4, and one for IPv6")]
    TwoTargets(IpAddr, IpAddr),
    /// A port of one family leads to one address.
    #[error("{} is published for IPv6 alone; {target} would not be used beside {used}", Bracketed(*.host))]
    Unused {
        /// The host's address.
        host: IpAddr,
        /// The container's IPv4 address.
        target: IpAddr,
        /// Its IPv6 address.
        used: IpAddr,
    },
    /// The proxy carries IPv6 to IPv4, nothing carries IPv4 to IPv6.
    #[error(
        "{host} is an IPv4 address, from which no connection leads to {target}; give an IPv4 address of the container"
    )]
    OtherFamily {
        /// The host's address.
        host: IpAddr,
        /// The container's.
        target: IpAddr,
    },
    /// An allow-list that has nothing to do with the port.
    #[error(
        "{source_net} is of another family than what is published, {published}: nobody from there could connect"
    )]
    SourceFamily {
        /// The source.
        source_net: IpNet,
        /// What is published.
        published: HostPorts,
    },
    /// 127.0.0.0/8, or `::1`.
    #[error(
        "{0} is a loopback address, which cannot be reached inside a container; give the address of its interface"
    )]
    Loopback(IpAddr),
}

fn different_length(published: PortSpan, target: PortSpan) -> String {
    let said = format!(
        "{published} {} but {target} {}",
        counted(published),
        counted(target)
    );
    // The likely wish: as many container ports from the first that was named.
    match target.first().checked_add(published.len() - 1) {
        Some(last) if last == target.first() => format!("{said}; write {published}:{last}"),
        Some(last) => format!("{said}; write {published}:{}-{last}", target.first()),
        None => format!("{said}; name as many ports on both sides"),
    }
}

fn counted(span: PortSpan) -> String {
    match span.len() {
        1 => "is 1 port".to_owned(),
        ports => format!("is {ports} ports"),
    }
}
