//! Ports kept from other programs, and other programs' ports left alone.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

use socket2::{Domain, Socket, Type};

use super::*;

const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn span(host: Ipv4Addr, first: u16, last: u16, transport: Transport) -> Published {
    let ports = PortSpan::new(first, last).unwrap();
    Published {
        host: host.into(),
        ports,
        transport,
    }
}

fn take(host: Ipv4Addr, port: u16, transport: Transport) -> Result<Hold, HoldError> {
    Hold::take(&span(host, port, port, transport), Mark(0), &[])
}

fn in_use(result: Result<Hold, HoldError>) -> InUse {
    match result {
        Err(HoldError::InUse(in_use)) => in_use,
        other => panic!("{other:?}"),
    }
}

/// Another program's socket: a TCP listener or a bound UDP socket.
fn other(address: impl Into<SocketAddr>, transport: Transport) -> io::Result<Box<dyn std::any::Any>> {
    let address = address.into();
    Ok(match transport {
        Transport::Tcp => Box::new(TcpListener::bind(address)?),
        Transport::Udp => Box::new(UdpSocket::bind(address)?),
    })
}

/// Where [`free_ports`] looks next, so that tests of one process never share a port.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of `count` ports that nobody has on any address, outside the ephemeral range, so that nobody gets one by
/// chance.
fn free_ports(count: u16, transport: Transport) -> u16 {
    let taken: Vec<u16> = bound(transport).unwrap().iter().map(SocketAddr::port).collect();
    let process = u16::try_from(std::process::id() % 95).unwrap();
    for _ in 0..95 {
        let window = (NEXT.fetch_add(1, Ordering::Relaxed) + process) % 95;
        let first = 12_000 + 200 * window;
        if !taken.iter().any(|port| (first..first + count).contains(port)) {
            return first;
        }
    }
    panic!("no free port");
}

#[test]
fn a_port_that_another_program_has_is_refused_and_the_program_named() {
    for transport in [Transport::Tcp, Transport::Udp] {
        for (wanted, has) in [(ONE, ONE), (ANY, ONE), (ONE, ANY), (ANY, ANY)] {
            let port = free_ports(1, transport);
            let _other = other((has, port), transport).unwrap();
            let error = in_use(take(wanted, port, transport));
            assert_eq!(error.by, Some((has, port).into()), "{wanted} {has} {transport}");
            let verb = match transport {
                Transport::Tcp => "listening on",
                Transport::Udp => "bound to",
            };
            let text = format!("port {port}/{transport} is in use by another program {verb} {has}:{port}");
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn a_dual_stack_listener_has_the_port_and_a_v6_only_one_has_not() {
    for (transport, kind) in [(Transport::Tcp, Type::STREAM), (Transport::Udp, Type::DGRAM)] {
        for length in [1, Hold::MOST_SOCKETS + 1] {
            for only_v6 in [false, true] {
                let port = free_ports(length, transport);
                let other = Socket::new(Domain::IPV6, kind, None).unwrap();
                other.set_only_v6(only_v6).unwrap();
                other.set_reuse_address(transport == Transport::Tcp).unwrap();
                let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
                other.bind(&address.into()).unwrap();
                if transport == Transport::Tcp {
                    other.listen(1).unwrap();
                }
                let wanted = span(ONE, port, port + length - 1, transport);
                let taken = Hold::take(&wanted, Mark(0), &[]);
                if only_v6 {
                    taken.unwrap();
                } else {
                    assert_eq!(in_use(taken).by, Some(address), "{transport} {length}");
                }
            }
        }
    }
}

#[test]
fn a_held_port_cannot_be_bound_until_the_hold_is_dropped() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let port = free_ports(1, transport);
        let hold = take(ONE, port, transport).unwrap();
        assert!(hold.has_sockets());
        for host in [ONE, ANY] {
            let error = other((host, port), transport).expect_err("bound a held port");
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{host} {transport}");
        }
        drop(hold);
        other((ANY, port), transport).unwrap();
    }
}

#[test]
fn the_same_port_of_another_address_is_another_port() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let port = free_ports(1, transport);
        let _other = other((TWO, port), transport).unwrap();
        let _hold = take(ONE, port, transport).unwrap();
        assert_eq!(in_use(take(TWO, port, transport)).by, Some((TWO, port).into()));
        assert_eq!(in_use(take(ANY, port, transport)).transport, transport);
    }
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    let port = free_ports(1, Transport::Tcp);
    let _tcp = take(ONE, port, Transport::Tcp).unwrap();
    let _udp = take(ONE, port, Transport::Udp).unwrap();
}

#[test]
fn an_address_that_the_host_has_not_can_be_held() {
    let absent = Ipv4Addr::new(192, 0, 2, 77);
    for transport in [Transport::Tcp, Transport::Udp] {
        let port = free_ports(1, transport);
        let _hold = take(absent, port, transport).unwrap();
        let error = other((ANY, port), transport).expect_err("bound a held port");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}

#[test]
fn connections_in_time_wait_do_not_have_the_port() {
    let port = free_ports(1, Transport::Tcp);
    let listener = TcpListener::bind((ONE, port)).unwrap();
    let mut client = TcpStream::connect((ONE, port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    // Who ends first waits.
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    drop((client, listener));
    take(ONE, port, Transport::Tcp).unwrap();
}

#[test]
fn a_range_is_held_as_a_whole_or_not_at_all() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let first = free_ports(3, transport);
        let _other = other((ONE, first + 2), transport).unwrap();
        let error = in_use(Hold::take(&span(ONE, first, first + 2, transport), Mark(0), &[]));
        assert_eq!(error.wanted, (ONE, first + 2).into());
        other((ONE, first), transport).expect("a port of a refused range is still held");
    }
}

#[test]
fn a_large_range_is_checked_without_sockets() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let first = free_ports(100, transport);
        let wanted = span(TWO, first, first + 99, transport);
        let hold = Hold::take(&wanted, Mark(0), &[]).unwrap();
        assert!(!hold.has_sockets());
        let address = SocketAddr::from((TWO, first + 50));
        let _other = other(address, transport).unwrap();
        assert_eq!(in_use(Hold::take(&wanted, Mark(0), &[])).by, Some(address));
        // Sockets of ours, and of other addresses, are no obstacle.
        Hold::take(&wanted, Mark(0), &[address]).unwrap();
        Hold::take(
            &Published {
                host: ONE.into(),
                ..wanted
            },
            Mark(0),
            &[],
        )
        .unwrap();
    }
}

#[tokio::test]
async fn the_proxys_own_sockets_do_not_keep_a_range_from_being_published() {
    let proxy = Proxy::start(config()).unwrap();
    for (transport, own) in [
        (Transport::Tcp, proxy.tcp4_address),
        (Transport::Udp, proxy.udp4.address),
    ] {
        proxy.hold(&published(own, transport)).unwrap();
        assert_eq!(in_use(take(ONE, own.port(), transport)).by, Some(own));
    }
}
