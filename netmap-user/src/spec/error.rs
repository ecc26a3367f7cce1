//! Why a publish spec is refused, a sentence each.

use std::net::Ipv4Addr;

use crate::binding::{PortSpan, Published};

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
    ContainerSide(String, Published),
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
    /// No IPv4 address.
    #[error("{0:?} is not an IPv4 address")]
    BadAddress(String),
    /// No IPv4 prefix.
    #[error("{0:?} is not an IPv4 network; write ADDRESS/LENGTH, as in 10.0.0.0/8")]
    BadNetwork(String),
    /// IPv6.
    #[error("{0} is an IPv6 address, and this version of netmap publishes IPv4 only; give an IPv4 address")]
    WrongFamily(String),
    /// An address that no host has.
    #[error("{0} is no address that a host can have; publish on one of this host's addresses, or on 0.0.0.0")]
    NotAHost(Ipv4Addr),
    /// A group of machines, not one.
    #[error("{0} is a multicast, broadcast or reserved address, not a container's")]
    NotUnicast(Ipv4Addr),
    /// 0.0.0.0/8.
    #[error("{0} is an unspecified address, not a container's")]
    Unspecified(Ipv4Addr),
    /// 127.0.0.0/8.
    #[error(
        "{0} is a loopback address, which cannot be reached inside a container; give the address of its interface"
    )]
    Loopback(Ipv4Addr),
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
