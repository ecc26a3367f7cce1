//! Connected sockets of this network namespace, whoever owns them: found by what BPF programs keep with them, and ended
//! (`sock_diag(7)`). netmap knows which those are that its hooks led to a container; this finds them.

mod wire;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use bytemuck::{Pod, Zeroable as _};
use netmap_common::maps::{Cookie, Protocol};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use self::wire::{
    ANSWER_STORAGE, ANSWER_STORAGES, ANSWER_VALUE, Answer, Header, Id, REQUEST_BYTECODE, REQUEST_MAP,
    REQUEST_STORAGES, Request, SOCK_DESTROY, SOCK_DIAG_BY_FAMILY, attribute, find, states, step,
    to_destination,
};

/// A connection to the kernel's socket monitor.
#[derive(Debug)]
pub struct SocketDiag(OwnedFd);

/// A connected socket.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    family: u8,
    protocol: Protocol,
    /// Its addresses, its ports, and the cookie that no other socket has.
    id: Id,
}

impl Connected {
    /// The number that no other socket has.
    pub fn cookie(&self) -> Cookie {
        let [low, high] = self.id.cookie.map(u64::from);
        Cookie(high << 32 | low)
    }

    /// Its peer; a mapped IPv4 address as what it is, and link-local ones without their interface.
    pub fn peer(&self) -> SocketAddr {
        let port = u16::from_be_bytes(self.id.destination_port);
        let address = if i32::from(self.family) == libc::AF_INET {
            let [a, b, c, d, ..] = self.id.destination;
            Ipv4Addr::new(a, b, c, d).into()
        } else {
            Ipv6Addr::from(self.id.destination).to_canonical()
        };
        SocketAddr::new(address, port)
    }
}

impl SocketDiag {
    /// Sockets of the network namespace of the thread that opens it.
    ///
    /// # Errors
    ///
    /// What socket(2) fails with.
    pub fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self(socket))
    }

    /// Shows every connected socket, IPv4 or IPv6; with `peer`, only those that are connected to it.
    ///
    /// # Errors
    ///
    /// What the request fails with: `ENOENT` without the kernel's module for this protocol.
    pub fn each(
        &self,
        protocol: Protocol,
        peer: Option<IpAddr>,
        mut visit: impl FnMut(Connected),
    ) -> io::Result<()> {
        self.dump(protocol, peer, Vec::new(), |connected, _| visit(connected))
    }

    /// Shows every TCP connection that has a value in the socket storage `map`, with that value. Of UDP sockets the kernel
    /// does not tell what is stored with them.
    ///
    /// # Errors
    ///
    /// What the request fails with: `EPERM` without `CAP_BPF`, `EINVAL` on a kernel before 5.7.
    pub fn each_stored<V: Pod>(
        &self,
        peer: Option<IpAddr>,
        map: BorrowedFd<'_>,
        mut visit: impl FnMut(Connected, V),
    ) -> io::Result<()> {
        let map = attribute(REQUEST_MAP, &map.as_raw_fd().to_ne_bytes());
        let storages = attribute(REQUEST_STORAGES, &map);
        self.dump(Protocol::Tcp, peer, storages, |connected, attributes| {
            let value = find(attributes, ANSWER_STORAGES)
                .and_then(|storages| find(storages, ANSWER_STORAGE))
                .and_then(|storage| find(storage, ANSWER_VALUE))
                .and_then(|value| value.get(..size_of::<V>()));
            if let Some(value) = value {
                visit(connected, bytemuck::pod_read_unaligned(value));
            }
        })
    }

    /// Ends a connection: its owner gets `ECONNABORTED`, a TCP peer a reset. Says whether it was still there.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the kernel was built without it (`CONFIG_INET_DIAG_DESTROY`), `EPERM` without `CAP_NET_ADMIN`.
    pub fn destroy(&self, connected: &Connected) -> io::Result<bool> {
        let request = Request {
            family: connected.family,
            protocol: connected.protocol.number(),
            states: states(connected.protocol),
            id: connected.id,
            ..Request::zeroed()
        };
        match self.ask(
            SOCK_DESTROY,
            libc::NLM_F_REQUEST | libc::NLM_F_ACK,
            &request,
            &[],
            |_| {},
        ) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn dump(
        &self,
        protocol: Protocol,
        peer: Option<IpAddr>,
        mut attributes: Vec<u8>,
        mut visit: impl FnMut(Connected, &[u8]),
    ) -> io::Result<()> {
        if let Some(peer) = peer {
            attributes.extend(attribute(REQUEST_BYTECODE, &to_destination(peer)));
        }
        // IPv6 sockets have peers of either family.
        let families: &[i32] = match peer {
            Some(IpAddr::V6(_)) => &[libc::AF_INET6],
            _ => &[libc::AF_INET, libc::AF_INET6],
        };
        for &family in families {
            let request = Request {
                family: u8::try_from(family).unwrap_or_default(),
                protocol: protocol.number(),
                states: states(protocol),
                ..Request::zeroed()
            };
            let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
            self.ask(SOCK_DIAG_BY_FAMILY, flags, &request, &attributes, |message| {
                let Some((answer, attributes)) = message.split_at_checked(size_of::<Answer>()) else {
                    return;
                };
                let answer: Answer = bytemuck::pod_read_unaligned(answer);
                let connected = Connected {
                    family: answer.family,
                    protocol,
                    id: answer.id,
                };
                visit(connected, attributes);
            })?;
        }
        Ok(())
    }

    fn ask(
        &self,
        kind: u16,
        flags: i32,
        request: &Request,
        attributes: &[u8],
        visit: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let length = size_of::<Header>() + size_of::<Request>() + attributes.len();
        let header = Header {
            length: u32::try_from(length).map_err(io::Error::other)?,
            kind,
            flags: u16::try_from(flags).unwrap_or_default(),
            sequence: 1,
            port: 0,
        };
        let message = [
            bytemuck::bytes_of(&header),
            bytemuck::bytes_of(request),
            attributes,
        ]
        .concat();
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
        self.hear(visit)
    }

    /// Shows every message of an answer, up to its end.
    fn hear(&self, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
        const HEADER: usize = size_of::<Header>();
        // A dump comes in pieces of 32 KiB at most.
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some(bytes) = rest.get(..HEADER) {
                let header: Header = bytemuck::pod_read_unaligned(bytes);
                let message = rest.get(HEADER..header.length as usize).unwrap_or_default();
                match i32::from(header.kind) {
                    // Both carry an error number, or 0.
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                        let code = message.get(..4).map_or(0, bytemuck::pod_read_unaligned::<i32>);
                        return match code {
                            0.. => Ok(()),
                            code => Err(io::Error::from_raw_os_error(-code)),
                        };
                    }
                    _ => visit(message),
                }
                rest = rest
                    .get(step(header.length as usize, HEADER)..)
                    .unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_peer_is_its_ipv4_address() {
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut id = Id::zeroed();
        id.destination_port = 80_u16.to_be_bytes();
        id.destination = Ipv4Addr::new(172, 30, 1, 2).to_ipv6_mapped().octets();
        let mut connected = Connected {
            family: 10,
            protocol: Protocol::Tcp,
            id,
        };
        assert_eq!(connected.peer(), peer("172.30.1.2:80"));
        connected.id.destination = [0; 16];
        connected.id.destination[..4].copy_from_slice(&[172, 30, 1, 2]);
        assert_eq!(connected.peer(), peer("[ac1e:102::]:80"));
        connected.family = 2;
        assert_eq!(connected.peer(), peer("172.30.1.2:80"));
    }
}
