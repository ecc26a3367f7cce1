//! Keeping published ports from other programs, and not taking ports that other programs have.
//!
//! A held port is a bound socket: another program's `bind` fails with `EADDRINUSE`, outgoing connections do not take
//! the port, and `ss` shows who has it. Large ranges are only checked; the bind hook and the kernel's reserved ports
//! keep those.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::Socket;

use super::{
    listeners,
    reply::ReplySocket,
    socket::{Mark, tcp_hold},
};
use crate::binding::{Published, Transport};

/// The ports of one published range, kept until this is dropped.
#[derive(Debug)]
pub struct Hold {
    has_sockets: bool,
    /// Listening, so that no other program can; never accepted from.
    tcp: Vec<Socket>,
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
    pub const MOST_SOCKETS: u16 = 64;

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

    /// Takes every port of `published`, or none. `own` are sockets of ours that do not count as others'.
    ///
    /// The host's address need not be on the host yet.
    pub fn take(published: &Published, mark: Mark, own: &[SocketAddr]) -> Result<Self, HoldError> {
        let mut hold = Self {
            has_sockets: published.ports.len() <= Self::MOST_SOCKETS,
            tcp: Vec::new(),
            udp: BTreeMap::new(),
        };
        if !hold.has_sockets {
            check_range(published, mark, own)?;
            return Ok(hold);
        }
        for port in published.ports.iter() {
            let address = SocketAddr::from((published.host, port));
            let taken = match published.transport {
                Transport::Tcp => tcp_hold(address, mark).map(|socket| hold.tcp.push(socket)),
                Transport::Udp => ReplySocket::bind(address, mark).map(|socket| {
                    hold.udp.insert(port, Arc::new(socket));
                }),
            };
            match taken {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => refuse(published, port, own)?,
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
        Transport::Tcp => tcp_hold(address, mark).is_ok(),
        Transport::Udp => ReplySocket::bind(address, mark).is_ok(),
    }
}

/// Whether a socket on `other` gets, or may get, what is meant for `host`.
fn clashes(host: IpAddr, other: IpAddr) -> bool {
    match (host, other) {
        (IpAddr::V4(_), IpAddr::V6(other)) => other.is_unspecified(),
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
        _ => host == other || host.is_unspecified() || other.is_unspecified(),
    }
}
