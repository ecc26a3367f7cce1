//! Datagrams back to clients, from the address and port that the client spoke to.

use std::{
    io::{self, IoSlice},
    net::{SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};

use super::socket::{Families, Mark, udp_beside, udp_bound};

/// A socket on a published UDP port, only ever sent from: what arrives for the port is steered to the front socket.
#[derive(Debug)]
pub(super) struct ReplySocket {
    socket: UdpSocket,
    kind: Kind,
}

/// What a reply has to say beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing: the socket is bound to one address.
    Bound,
    /// Which address it comes from.
    Wildcard4,
    /// The same on an IPv6 socket, where IPv4 addresses are mapped ones.
    Wildcard6,
}

impl Kind {
    const fn at(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) if address.ip().is_unspecified() => Self::Wildcard4,
            SocketAddr::V6(address) if address.ip().is_unspecified() => Self::Wildcard6,
            _ => Self::Bound,
        }
    }
}

impl ReplySocket {
    /// Binds `address`, whose IP address may be the wildcard.
    pub(super) fn bind(address: SocketAddr, families: Families, mark: Mark) -> io::Result<Self> {
        Ok(Self {
            socket: udp_bound(address, families, mark)?,
            kind: Kind::at(address),
        })
    }

    /// Binds `address` beside a socket of another program, which has agreed to that (`SO_REUSEADDR`).
    pub(super) fn beside(address: SocketAddr, mark: Mark) -> io::Result<Self> {
        Ok(Self::from_bound(udp_beside(address, mark)?))
    }

    /// Sends from a socket that another program has bound to `address` and handed over.
    pub(super) fn of_socket(socket: UdpSocket, address: SocketAddr) -> Self {
        Self {
            socket,
            kind: Kind::at(address),
        }
    }

    /// Sends from a socket that is bound already, to one address.
    pub(super) fn from_bound(socket: UdpSocket) -> Self {
        Self {
            socket,
            kind: Kind::Bound,
        }
    }

    /// Sends one datagram to `client` that comes from the address of `source`, and if that is a link-local one by the
    /// interface that it belongs to.
    pub(super) fn send(&self, payload: &[u8], client: SocketAddr, source: SocketAddr) -> io::Result<()> {
        let part = [IoSlice::new(payload)];
        let socket = self.socket.as_raw_fd();
        match (self.kind, client, source) {
            (Kind::Wildcard4, SocketAddr::V4(client), SocketAddr::V4(source)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: source.ip().to_bits().to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let info = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(
                    socket,
                    &part,
                    &info,
                    MsgFlags::empty(),
                    Some(&SockaddrIn::from(client)),
                )?;
            }
            (Kind::Wildcard6, client, source) => {
                let (client, source) = (mapped(client), mapped(source));
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: source.ip().octets(),
                    },
                    ipi6_ifindex: source.scope_id(),
                };
                let info = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(
                    socket,
                    &part,
                    &info,
                    MsgFlags::empty(),
                    Some(&SockaddrIn6::from(client)),
                )?;
            }
            _ => {
                self.socket.send_to(payload, client)?;
            }
        }
        Ok(())
    }
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(address) => SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
        SocketAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
        time::Duration,
    };

    use super::*;

    /// A port that nothing has on any address of either family, for the moment.
    fn free_port() -> u16 {
        let probe = UdpSocket::bind("[::]:0").unwrap();
        probe.local_addr().unwrap().port()
    }

    fn replies(host: IpAddr, families: Families, at: IpAddr, sources: &[IpAddr]) {
        let client = UdpSocket::bind((at, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let port = free_port();
        let reply = ReplySocket::bind((host, port).into(), families, Mark(0)).unwrap();
        for source in sources {
            let source = SocketAddr::from((*source, port));
            reply
                .send(b"hello", client.local_addr().unwrap(), source)
                .unwrap();
            let mut buffer = [0; 16];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&b"hello"[..], source));
        }
    }

    #[test]
    fn a_wildcard_socket_replies_from_the_address_asked_for() {
        let (any4, any6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let (one, six) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        let others = [[127, 0, 0, 5], [127, 9, 9, 9]].map(IpAddr::from);
        replies(any4, Families::One, one, &others);
        replies(any6, Families::One, six, &[six]);
        // One socket for both families.
        replies(any6, Families::Both, six, &[six]);
        replies(any6, Families::Both, one, &others);
    }
}
