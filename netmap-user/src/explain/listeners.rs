//! Sockets of this host, as `/proc/net` lists them: which one a packet would reach.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use netmap_common::{maps::Protocol, nat::HostSocket};

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its own address; unspecified for any.
    own: SocketAddr,
    /// Its peer's; unspecified without one.
    peer: SocketAddr,
    /// It waits for connections.
    listens: bool,
}

/// Every socket of a transport in this network namespace.
pub(super) fn all(protocol: Protocol) -> io::Result<Vec<Listed>> {
    let (name, name6) = match protocol {
        Protocol::Tcp => ("tcp", "tcp6"),
        Protocol::Udp => ("udp", "udp6"),
        Protocol::Icmp => return Ok(Vec::new()),
    };
    let mut all = Vec::new();
    for name in [name, name6] {
        // A thread has its own namespace; a kernel without IPv6 has no table of it.
        let file = match File::open(format!("/proc/thread-self/net/{name}")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            all.extend(line_of(&line?));
        }
    }
    Ok(all)
}

/// The socket that a packet from `from` to `to` reaches.
pub(super) fn reached(
    sockets: &[Listed],
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
) -> HostSocket {
    let mut found = HostSocket::Absent;
    for socket in sockets {
        if socket.own.port() != to.port() || !is_own(socket.own.ip(), to.ip()) {
            continue;
        }
        if socket.peer.port() != 0 && !socket.listens {
            if socket.peer == from {
                return HostSocket::Connected;
            }
        } else if protocol == Protocol::Udp || socket.listens {
            found = HostSocket::Unconnected;
        }
    }
    found
}

/// Whether a socket at `own` gets what is sent to `to`. One of IPv6 for any address takes IPv4 too, unless it asked not to,
/// which the list does not tell.
fn is_own(own: IpAddr, to: IpAddr) -> bool {
    match own {
        own if own == to => true,
        IpAddr::V6(own) if own.is_unspecified() => true,
        own => own.is_unspecified() && to.is_ipv4(),
    }
}

/// As in `0: 0100007F:1F90 00000000:0000 0A ...`.
fn line_of(line: &str) -> Option<Listed> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (own, peer, state) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Listed {
        own: end(own)?,
        peer: end(peer)?,
        listens: state == LISTEN,
    })
}

/// Addresses are 32-bit words as they lie in memory, printed as numbers.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = if address.len() == 8 {
        IpAddr::from(Ipv4Addr::from(word(0)?))
    } else {
        let words = [word(0)?, word(8)?, word(16)?, word(24)?];
        let mut octets = [0; 16];
        for (octet, byte) in octets.iter_mut().zip(words.as_flattened()) {
            *octet = *byte;
        }
        Ipv6Addr::from(octets).to_canonical()
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_line_is_a_socket() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1";
        let listed = line_of(line).unwrap();
        assert_eq!(listed.own, at("127.0.0.1:8080"));
        assert!(listed.listens);
        let mapped = "0: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 01 x";
        assert_eq!(line_of(mapped).unwrap().own, at("127.0.0.1:80"));
        assert_eq!(line_of("  sl  local_address"), None);
    }

    #[test]
    fn a_connected_socket_goes_before_one_that_listens() {
        let socket = |own, peer, listens| Listed {
            own: at(own),
            peer: at(peer),
            listens,
        };
        let sockets = [
            socket("0.0.0.0:53", "0.0.0.0:0", false),
            socket("192.0.2.1:53", "192.0.2.7:9", false),
        ];
        let to = at("192.0.2.1:53");
        let reached = |from| reached(&sockets, Protocol::Udp, at(from), to);
        assert_eq!(reached("192.0.2.7:9"), HostSocket::Connected);
        assert_eq!(reached("192.0.2.7:10"), HostSocket::Unconnected);
        assert_eq!(
            super::reached(&sockets, Protocol::Udp, to, at("192.0.2.1:54")),
            HostSocket::Absent
        );
    }
}
