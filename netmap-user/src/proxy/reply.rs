//! Datagrams back to clients, from the address and port that the client spoke to.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use super::socket::{Mark, udp_bound};

/// A socket on a published UDP port, only ever sent from: what arrives for the port is steered to the front socket.
#[derive(Debug)]
pub(super) struct ReplySocket {
    socket: UdpSocket,
    /// Bound to every address, so that each datagram has to say which one it comes from.
    wildcard: bool,
}

impl ReplySocket {
    /// Binds `address`, whose IP address may be the wildcard.
    pub(super) fn bind(address: SocketAddr, mark: Mark) -> io::Result<Self> {
        Ok(Self {
            socket: udp_bound(address, mark)?,
            wildcard: address.ip().is_unspecified(),
        })
    }

    /// Sends from a socket that is bound already, to one address.
    pub(super) fn from_bound(socket: UdpSocket) -> Self {
        Self {
            socket,
            wildcard: false,
        }
    }

    /// Sends one datagram to `client` that comes from `source`.
    pub(super) fn send(&self, payload: &[u8], client: SocketAddr, source: IpAddr) -> io::Result<()> {
        match (self.wildcard, client, source) {
            (true, SocketAddr::V4(client), IpAddr::V4(source)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: source.to_bits().to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                sendmsg(
                    self.socket.as_raw_fd(),
                    &[IoSlice::new(payload)],
                    &[ControlMessage::Ipv4PacketInfo(&info)],
                    MsgFlags::empty(),
                    Some(&SockaddrIn::from(client)),
                )?;
            }
            _ => {
                self.socket.send_to(payload, client)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    /// A port that nothing has on any address, for the moment.
    fn free_port() -> u16 {
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        probe.local_addr().unwrap().port()
    }

    #[test]
    fn a_wildcard_socket_replies_from_the_address_asked_for() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let port = free_port();
        let reply = ReplySocket::bind((Ipv4Addr::UNSPECIFIED, port).into(), Mark(0)).unwrap();
        for source in [Ipv4Addr::new(127, 0, 0, 5), Ipv4Addr::new(127, 9, 9, 9)] {
            reply
                .send(b"hello", client.local_addr().unwrap(), source.into())
                .unwrap();
            let mut buffer = [0; 16];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&b"hello"[..], (source, port).into()));
        }
    }
}
