//! What a user asks to publish, checked once at the edge.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netmap_common::maps::Protocol;
use serde::{Deserialize, Serialize};

/// A transport that has ports to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Its name, as in `8080:80/tcp`.
    pub const fn name(self) -> &'static str {
        self.protocol().name()
    }

    /// The same as the data plane knows it.
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Consecutive ports, both ends included. Never empty, never with port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct PortSpan {
    first: u16,
    last: u16,
}

/// A pair of ports that is no span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortSpanError {
    /// Port 0.
    #[error("port 0 cannot be published")]
    Zero,
    /// The end lies before the beginning.
    #[error("port range {0}-{1} is reversed")]
    Reversed(u16, u16),
}

impl PortSpan {
    /// The ports from `first` to `last`, both included.
    pub const fn new(first: u16, last: u16) -> Result<Self, PortSpanError> {
        if first == 0 {
            return Err(PortSpanError::Zero);
        }
        if last < first {
            return Err(PortSpanError::Reversed(first, last));
        }
        Ok(Self { first, last })
    }

    /// First port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Last port, included.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(self) -> u16 {
        // From 1 to 65,535 at most, so it fits.
        self.last - self.first + 1
    }

    /// Whether both have a port in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Its ports, one by one.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl TryFrom<(u16, u16)> for PortSpan {
    type Error = PortSpanError;

    fn try_from((first, last): (u16, u16)) -> Result<Self, PortSpanError> {
        Self::new(first, last)
    }
}

impl From<PortSpan> for (u16, u16) {
    fn from(span: PortSpan) -> Self {
        (span.first, span.last)
    }
}

impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The published side of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The host address; 0.0.0.0 stands for every IPv4 address of this host, `::` for every IPv6 address.
    pub host: IpAddr,
    /// The host ports.
    pub ports: PortSpan,
    /// The transport.
    pub transport: Transport,
}

impl Published {
    /// Whether a packet could be meant for both. Never for one of each family: `::` does not stand for IPv4.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.transport == other.transport
            && self.host.is_ipv4() == other.host.is_ipv4()
            && self.ports.overlaps(other.ports)
            && (self.host == other.host || self.host.is_unspecified() || other.host.is_unspecified())
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", Bracketed(self.host), self.ports, self.transport)
    }
}

/// Ports of this host as a user names them: on one of its addresses, or on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPorts {
    /// The host address, as in [`Published`]; none for every address of both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// The host ports.
    pub ports: PortSpan,
    /// The transport.
    pub transport: Transport,
}

impl HostPorts {
    /// These ports on `host`.
    pub const fn on(self, host: IpAddr) -> Published {
        Published {
            host,
            ports: self.ports,
            transport: self.transport,
        }
    }

    /// The published sides that are meant: one, or one of each family.
    pub fn sides(self) -> impl Iterator<Item = Published> {
        let (first, second) = match self.host {
            Some(host) => (host, None),
            None => (Ipv4Addr::UNSPECIFIED.into(), Some(Ipv6Addr::UNSPECIFIED.into())),
        };
        [Some(first), second]
            .into_iter()
            .flatten()
            .map(move |host| self.on(host))
    }
}

impl From<Published> for HostPorts {
    fn from(published: Published) -> Self {
        Self {
            host: Some(published.host),
            ports: published.ports,
            transport: published.transport,
        }
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = self.host {
            write!(f, "{}:", Bracketed(host))?;
        }
        write!(f, "{}/{}", self.ports, self.transport)
    }
}

/// One published range, of one family: a rule of the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Where clients connect to.
    pub published: Published,
    /// The container's address. Of another family than the host's, the proxy carries everything.
    pub target: IpAddr,
    /// The container's ports, as many as are published.
    pub target_ports: PortSpan,
    /// Sources that may connect, of the host address's family; empty for everybody, and [`nobody`] for no one.
    #[serde(default)]
    pub allow: Vec<IpNet>,
}

impl Binding {
    /// Whether the proxy carries everything, because the container's address is of the other family.
    pub const fn is_proxied(&self) -> bool {
        self.published.host.is_ipv6() && self.target.is_ipv4()
    }

    /// The container's address and port behind a published one, if `host` and `port` are covered.
    pub fn target_of(&self, host: IpAddr, published_port: u16) -> Option<SocketAddr> {
        let Published {
            host: published,
            ports,
            ..
        } = self.published;
        let is_its = published == host || published.is_unspecified() && published.is_ipv4() == host.is_ipv4();
        let offset = published_port.checked_sub(ports.first())?;
        let port = self.target_ports.first().checked_add(offset)?;
        (is_its && ports.contains(published_port)).then_some(SocketAddr::new(self.target, port))
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Published {
            host,
            ports,
            transport,
        } = self.published;
        write!(
            f,
            "{}:{ports}->{}:{}/{transport}",
            Bracketed(host),
            Bracketed(self.target),
            self.target_ports
        )
    }
}

/// An address as it stands in front of a port: one of IPv6 in brackets (RFC 3986, 3.2.2).
#[derive(Clone, Copy, Debug)]
pub struct Bracketed(pub IpAddr);

impl fmt::Display for Bracketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// The only source in an allow-list that admits no one: the unspecified address of the family of `host`, which nobody
/// who connects has as its own (RFC 1122, 3.2.1.3 a; RFC 4291, 2.5.2). An empty list would admit everybody.
pub fn nobody(host: IpAddr) -> IpNet {
    match host {
        IpAddr::V4(_) => Ipv4Net::from(Ipv4Addr::UNSPECIFIED).into(),
        IpAddr::V6(_) => Ipv6Net::from(Ipv6Addr::UNSPECIFIED).into(),
    }
}
