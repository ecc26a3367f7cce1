//! Keeping published ports from other programs, and not taking ports that other programs have.
//!
//! A held port is a bound socket: another program's `bind` fails with `EADDRINUSE`, outgoing connections do not take
//! the port, and `ss` shows who has it. Large ranges are only checked; the bind hook and the kernel's reserved ports
//! keep those.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use netmap_common::maps::Rule;
use socket2::{Socket, Type};

use super::{
    listeners,
    reply::ReplySocket,
    socket::{Families, Mark, handed_over, tcp_hold},
};
use crate::binding::{PortSpan, Published, Transport};

/// The ports of one published range, kept until this is dropped.
#[derive(Clone, Debug)]
pub struct Hold {
    has_sockets: bool,
    /// Its sockets are on `[::]`, and keep the same ports of IPv4 too.
    is_shared: bool,
    /// Another program keeps the ports, and knows of it; or nobody does.
    is_elsewhere: bool,
    /// Listening, so that no other program can; never accepted from.
    tcp: Vec<Arc<Socket>>,
    /// By port; replies leave from them too.
    udp: BTreeMap<u16, Arc<ReplySocket>>,
}

/// Why ports cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another program has one of them.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The system has no socket for it.
    #[error("cannot hold {address}/{transport}: {source}")]
    Socket {
        /// The address and port.
        address: SocketAddr,
        /// The transport.
        transport: Transport,
        /// What the kernel said.
        source: io::Error,
    },
    /// A port that takes a capability, which netmap runs without.
    #[error(
        "port {}/{transport} of {} takes CAP_NET_BIND_SERVICE, which netmap runs without; give it that, or have \
         net.ipv4.ip_unprivileged_port_start begin lower",
        address.port(),
        address.ip()
    )]
    Privileged {
        /// The address and port.
        address: SocketAddr,
        /// The transport.
        transport: Transport,
    },
    /// The tables of sockets cannot be read.
    #[error("cannot read which ports are in use: {0}")]
    Tables(#[source] io::Error),
}

/// A port that another program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InUse {
    /// The address that was to be published, and the port.
    pub wanted: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// Where the other program waits. Unknown for one that has bound its port without listening on it.
    pub by: Option<SocketAddr>,
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted,
            transport,
            by,
        } = self;
        let port = wanted.port();
        let verb = match transport {
            Transport::Tcp => "listening on",
            Transport::Udp => "bound to",
        };
        match by {
            Some(by) => write!(
                f,
                "port {port}/{transport} is in use by another program {verb} {by}"
            ),
            None => write!(
                f,
                "port {port}/{transport} of {} is in use by another program",
                wanted.ip()
            ),
        }
    }
}

impl Hold {
    /// Ranges of more ports than this get no socket a port: each takes a file and about 4 KiB of kernel memory.
    pub const MOST_SOCKETS: u16 = Rule::MOST_SOCKETS;

    /// Resets what has connected to a held port before packets to it were steered elsewhere: nobody accepts from a hold.
    pub fn drain(&self) {
        for socket in &self.tcp {
            while let Ok((connection, _)) = socket.accept() {
                // Without a word of the other side a reset is the honest end.
                let reset = connection.set_linger(Some(Duration::ZERO));
                reset.unwrap_or_else(|error| {
                    tracing::debug!("a connection to a held port is closed, not reset: {error}");
                });
            }
        }
    }

    /// Takes every port of each, or says why not. What is published at every address of both families is kept by one
    /// socket a port.
    pub fn take_all(published: &[Published], mark: Mark, own: &[SocketAddr]) -> Vec<Result<Self, HoldError>> {
        let pairs: BTreeSet<(Transport, PortSpan)> = published
            .iter()
            .filter(|one| one.host == Ipv4Addr::UNSPECIFIED && one.ports.len() <= Self::MOST_SOCKETS)
            .map(|one| (one.transport, one.ports))
            .collect();
        let is_pair = |one: &Published| {
            one.host == Ipv6Addr::UNSPECIFIED && pairs.contains(&(one.transport, one.ports))
        };
        let mut shared = BTreeMap::new();
        for one in published.iter().filter(|one| is_pair(one)) {
            // Why not, each family says better by itself.
            if let Ok(hold) = Self::take_as(one, Families::Both, mark, own) {
                shared.insert((one.transport, one.ports), hold);
            }
        }
        let hold = |one: &Published| match shared.get(&(one.transport, one.ports)) {
            Some(hold) if one.host.is_unspecified() => Ok(hold.clone()),
            _ => Self::take(one, mark, own),
        };
        published.iter().map(hold).collect()
    }

    /// Takes every port of `published`, or none. `own` are sockets of ours that do not count as others'.
    ///
    /// The host's address need not be on the host yet.
    pub fn take(published: &Published, mark: Mark, own: &[SocketAddr]) -> Result<Self, HoldError> {
        Self::take_as(published, Families::One, mark, own)
    }

    /// Keeps nothing: the program that has the port published keeps it by itself.
    pub const fn elsewhere() -> Self {
        let mut hold = Self::none(true);
        hold.is_elsewhere = true;
        hold
    }

    /// Whether another program keeps the ports.
    pub(super) const fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Keeps the one port of `published` by a socket that another program has bound to it and handed over.
    pub(super) fn of_socket(published: &Published, socket: OwnedFd, mark: Mark) -> Result<Self, HoldError> {
        let mut hold = Self::none(true);
        let (transport, port) = (published.transport, published.ports.first());
        let address = SocketAddr::from((published.host, port));
        let kind = match transport {
            Transport::Tcp => Type::STREAM,
            Transport::Udp => Type::DGRAM,
        };
        let socket = handed_over(socket, address, kind, mark).map_err(|source| HoldError::Socket {
            address,
            transport,
            source,
        })?;
        match transport {
            Transport::Tcp => hold.tcp.push(Arc::new(socket)),
            Transport::Udp => {
                let reply = ReplySocket::of_socket(socket.into(), address);
                hold.udp.insert(port, Arc::new(reply));
            }
        }
        Ok(hold)
    }

    /// Goes on with sockets for `published` alone, once nobody else has its own.
    pub(super) fn narrow(&mut self, published: &Published, mark: Mark) -> Result<(), HoldError> {
        if !self.is_shared {
            return Ok(());
        }
        // First let go, or they would be in the way.
        *self = Self::none(true);
        *self = Self::take(published, mark, &[])?;
        Ok(())
    }

    fn take_as(
        published: &Published,
        families: Families,
        mark: Mark,
        own: &[SocketAddr],
    ) -> Result<Self, HoldError> {
        let mut hold = Self::none(published.ports.len() <= Self::MOST_SOCKETS);
        if !hold.has_sockets {
            check_range(published, mark, own)?;
            return Ok(hold);
        }
        hold.is_shared = families == Families::Both;
        for port in published.ports.iter() {
            let address = SocketAddr::from((published.host, port));
            let taken = match published.transport {
                Transport::Tcp => {
                    tcp_hold(address, families, mark).map(|socket| hold.tcp.push(Arc::new(socket)))
                }
                Transport::Udp => ReplySocket::bind(address, families, mark).map(|socket| {
                    hold.udp.insert(port, Arc::new(socket));
                }),
            };
            match taken {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => refuse(published, port, own)?,
                // Without IPv6 nobody else can have such a port either.
                Err(error) if is_unknown_family(&error) && families == Families::One => break,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(HoldError::Privileged {
                        address,
                        transport: published.transport,
                    });
                }
                Err(source) => {
                    return Err(HoldError::Socket {
                        address,
                        transport: published.transport,
                        source,
                    });
                }
            }
        }
        Ok(hold)
    }

    const fn none(has_sockets: bool) -> Self {
        Self {
            has_sockets,
            is_shared: false,
            is_elsewhere: false,
            tcp: Vec::new(),
            udp: BTreeMap::new(),
        }
    }

    /// Whether each port is kept by a socket. If not, the caller has to keep the range by the bind hook and
    /// [`super::Reservations`].
    pub const fn has_sockets(&self) -> bool {
        self.has_sockets
    }

    /// The socket that replies from `port` leave from.
    pub(super) fn reply(&self, port: u16) -> Option<&Arc<ReplySocket>> {
        self.udp.get(&port)
    }
}

/// Names who has `port`; nothing wrong if it is a socket of ours.
fn refuse(published: &Published, port: u16, own: &[SocketAddr]) -> Result<(), InUse> {
    // Who it is makes the message better; that it is taken is certain without.
    let others = listeners::listening(published.transport).unwrap_or_default();
    let mut others = others
        .into_iter()
        .filter(|other| other.port() == port && clashes(published.host, other.ip()));
    let by = others.find(|other| !own.contains(other));
    if by.is_none() && own.iter().any(|own| own.port() == port) {
        return Ok(());
    }
    Err(InUse {
        wanted: (published.host, port).into(),
        transport: published.transport,
        by,
    })
}

/// The same as taking every port, at the cost of reading two tables, whatever the length of the range.
fn check_range(published: &Published, mark: Mark, own: &[SocketAddr]) -> Result<(), HoldError> {
    let others = listeners::listening(published.transport).map_err(HoldError::Tables)?;
    for other in others {
        let port = other.port();
        let elsewhere = !published.ports.contains(port) || !clashes(published.host, other.ip());
        if elsewhere || own.contains(&other) {
            continue;
        }
        let wanted = SocketAddr::from((published.host, port));
        // The tables do not say whether [::] leaves IPv4 to others (IPV6_V6ONLY), but a bind does.
        if other.is_ipv6() && can_bind(wanted, published.transport, mark) {
            continue;
        }
        return Err(HoldError::InUse(InUse {
            wanted,
            transport: published.transport,
            by: Some(other),
        }));
    }
    Ok(())
}

fn can_bind(address: SocketAddr, transport: Transport, mark: Mark) -> bool {
    match transport {
        Transport::Tcp => tcp_hold(address, Families::One, mark).is_ok(),
        Transport::Udp => ReplySocket::bind(address, Families::One, mark).is_ok(),
    }
}

/// Whether the kernel has no sockets of this family.
pub(super) fn is_unknown_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Whether a socket on `other` gets, or may get, what is meant for `host`.
fn clashes(host: IpAddr, other: IpAddr) -> bool {
    match (host, other) {
        (IpAddr::V4(_), IpAddr::V6(other)) => other.is_unspecified(),
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
        _ => host == other || host.is_unspecified() || other.is_unspecified(),
    }
}
