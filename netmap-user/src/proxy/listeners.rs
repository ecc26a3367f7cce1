//! Which addresses and ports programs of this network namespace hold, as `/proc` tells.
//!
//! Sockets that are bound but neither listen nor are connected (TCP) do not stand in these tables; only a bind of
//! one's own finds those. Tables of `proc(5)`, `/proc/net/tcp`, all kernels; a kernel without IPv6 has no `tcp6`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::binding::Transport;

/// TCP's `LISTEN`, as the tables write it.
const LISTEN: &str = "0A";

/// Where programs wait for anybody: TCP listeners, and UDP sockets without a peer.
///
/// IPv4-mapped addresses are given as IPv4; `[::]` may or may not take IPv4 too, the tables do not say.
pub fn listening(transport: Transport) -> io::Result<Vec<SocketAddr>> {
    let sockets = sockets(transport)?;
    Ok(sockets
        .into_iter()
        .filter(|socket| !socket.connected)
        .map(|socket| socket.local)
        .collect())
}

/// Every local address and port that must not be taken for something else: [`listening`], and connected UDP sockets.
pub fn bound(transport: Transport) -> io::Result<Vec<SocketAddr>> {
    Ok(sockets(transport)?
        .into_iter()
        .map(|socket| socket.local)
        .collect())
}

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    /// Its own address and port.
    local: SocketAddr,
    /// Whether it has a peer; never for a listener.
    connected: bool,
}

/// TCP listeners, or all UDP sockets with a port.
fn sockets(transport: Transport) -> io::Result<Vec<Socket>> {
    let mut sockets = read(transport, "")?;
    match read(transport, "6") {
        Ok(v6) => sockets.extend(v6),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

fn read(transport: Transport, suffix: &str) -> io::Result<Vec<Socket>> {
    // Of the calling thread, because a thread may have a network namespace of its own.
    let path = format!("/proc/thread-self/net/{}{suffix}", transport.name());
    parse(transport, BufReader::new(File::open(path)?))
}

fn parse(transport: Transport, table: impl BufRead) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for line in table.lines().skip(1) {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if transport == Transport::Tcp && state != LISTEN {
            // The kernel writes all listeners first. Connections may be many; nobody needs to read them.
            break;
        }
        let (Some(local), Some(remote)) = (endpoint(local), endpoint(remote)) else {
            continue;
        };
        sockets.push(Socket {
            local,
            connected: remote.port() != 0,
        });
    }
    Ok(sockets)
}

/// `0100007F:1F90`: the address in words of host byte order, the port as a number.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(8 * index..8 * index + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, state: &str) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 41 1 0 100 0\n"
        )
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn tcp_listeners_are_read_and_connections_are_not() {
        let table = [
            HEADER.to_owned(),
            line("0100007F:1F90", "00000000:0000", "0A"),
            line("00000000:0016", "00000000:0000", "0A"),
            line("0100007F:1F91", "0100007F:C350", "01"),
        ]
        .concat();
        let found = parse(Transport::Tcp, table.as_bytes()).unwrap();
        let expected = ["127.0.0.1:8080", "0.0.0.0:22"].map(|local| Socket {
            local: local.parse().unwrap(),
            connected: false,
        });
        assert_eq!(found, expected);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn udp_tells_connected_sockets_apart() {
        let table = [
            HEADER.to_owned(),
            line("00000000:0035", "00000000:0000", "07"),
            line("0100000A:A000", "0200000A:0035", "01"),
        ]
        .concat();
        let found = parse(Transport::Udp, table.as_bytes()).unwrap();
        assert_eq!(found[0].local, "0.0.0.0:53".parse().unwrap());
        assert!(!found[0].connected);
        assert_eq!(found[1].local, "10.0.0.1:40960".parse().unwrap());
        assert!(found[1].connected);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn v6_addresses_are_read_and_mapped_ones_become_v4() {
        assert_eq!(
            endpoint("B80D0120000000000000000001000000:0050"),
            Some("[2001:db8::1]:80".parse().unwrap())
        );
        assert_eq!(
            endpoint("0000000000000000FFFF00000100007F:0050"),
            Some("127.0.0.1:80".parse().unwrap())
        );
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let table = [HEADER, "nonsense\n", "0: zz:1 00000000:0000 0A\n", "\n"].concat();
        assert_eq!(parse(Transport::Tcp, table.as_bytes()).unwrap(), []);
    }

    #[test]
    fn sockets_of_this_process_are_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(
            listening(Transport::Tcp)
                .unwrap()
                .contains(&tcp.local_addr().unwrap())
        );
        assert!(
            listening(Transport::Udp)
                .unwrap()
                .contains(&udp.local_addr().unwrap())
        );
    }

    #[test]
    fn a_connected_udp_socket_is_bound_but_does_not_listen() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect(peer.local_addr().unwrap()).unwrap();
        let address = udp.local_addr().unwrap();
        assert!(!listening(Transport::Udp).unwrap().contains(&address));
        assert!(bound(Transport::Udp).unwrap().contains(&address));
    }
}
