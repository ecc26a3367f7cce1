//! The proxy on loopback. Without a steering program a client reaches it by its own sockets' addresses, so those are
//! what is published here.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::binding::PortSpan;

mod families;
mod hold;
mod tcp;
mod udp;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config {
        mark: Mark(0),
        is_local: Arc::new(|_| false),
        limits: Limits::MOST,
        timeouts: Timeouts::default(),
    }
}

fn published(address: SocketAddr, transport: Transport) -> Published {
    Published {
        host: address.ip(),
        ports: PortSpan::new(address.port(), address.port()).unwrap(),
        transport,
    }
}

fn binding(published: Published, target: SocketAddr) -> Binding {
    Binding {
        published,
        target: target.ip(),
        target_ports: PortSpan::new(target.port(), target.port()).unwrap(),
        allow: Vec::new(),
    }
}

impl Proxy {
    /// Where its own socket is.
    fn own(&self, transport: Transport, is_v6: bool) -> SocketAddr {
        let mut families = self.fronts.families();
        let family = families.nth(is_v6.into()).unwrap();
        match transport {
            Transport::Tcp => family.tcp_address,
            Transport::Udp => family.udp.address,
        }
    }

    /// Publishes the address of the proxy's own IPv4 socket, and returns it.
    fn publish_own(&self, transport: Transport, target: SocketAddr) -> (Published, SocketAddr) {
        self.publish_at(self.own(transport, false), transport, target)
    }

    fn publish_at(
        &self,
        own: SocketAddr,
        transport: Transport,
        target: SocketAddr,
    ) -> (Published, SocketAddr) {
        let published = published(own, transport);
        let hold = self.hold_one(&published).unwrap();
        self.publish(binding(published, target), hold);
        (published, own)
    }

    fn hold_one(&self, published: &Published) -> Result<Hold, HoldError> {
        self.hold(&[*published]).remove(0)
    }
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for `future`, not for ever.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing happened")
}

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[tokio::test]
async fn an_allow_list_refuses_others_and_never_this_host() {
    let proxy = Proxy::start(Config {
        is_local: Arc::new(|address| address == IpAddr::from([192, 0, 2, 1])),
        ..config()
    })
    .unwrap();
    let published = published("192.0.2.1:8080".parse().unwrap(), Transport::Tcp);
    let mut binding = binding(published, "172.30.0.2:80".parse().unwrap());
    binding.allow = vec!["198.51.100.0/24".parse().unwrap()];
    let hold = proxy.hold_one(&published).unwrap();
    proxy.publish(binding, hold);

    let route = |peer: &str| {
        let destination = "192.0.2.1:8080".parse().unwrap();
        let route = proxy
            .shared
            .route(Transport::Tcp, destination, peer.parse().unwrap());
        route.map(|(_, target)| target)
    };
    let target = Ok("172.30.0.2:80".parse().unwrap());
    assert_eq!(route("198.51.100.9:1000"), target);
    assert_eq!(route("192.0.2.1:1000"), target);
    assert_eq!(route("127.0.0.1:1000"), target);
    assert_eq!(route("203.0.113.9:1000"), Err(Refusal::Source));
    assert_eq!(proxy.counters().refused_source.get(), 1);
}

#[tokio::test]
async fn an_allow_list_is_for_ipv6_clients_as_well() {
    let proxy = Proxy::start(Config {
        is_local: Arc::new(|address| address == "2001:db8::1".parse::<IpAddr>().unwrap()),
        ..config()
    })
    .unwrap();
    let published = published("[2001:db8::1]:8080".parse().unwrap(), Transport::Udp);
    let mut binding = binding(published, "172.30.0.2:80".parse().unwrap());
    binding.allow = vec![
        "198.51.100.0/24".parse().unwrap(),
        "2001:db8:5::/64".parse().unwrap(),
    ];
    let hold = proxy.hold_one(&published).unwrap();
    proxy.publish(binding, hold);

    let may = |peer: &str| {
        let destination = "[2001:db8::1]:8080".parse().unwrap();
        let route = proxy
            .shared
            .route(Transport::Udp, destination, peer.parse().unwrap());
        route.is_ok()
    };
    assert!(may("[2001:db8:5::9]:1000"));
    assert!(may("[2001:db8::1]:1000"));
    assert!(may("[::1]:1000"));
    assert!(!may("[2001:db8:6::9]:1000"));
    assert!(!may("[fe80::9%2]:1000"));
    assert_eq!(proxy.counters().refused_source.get(), 2);
}

/// Needs `CAP_NET_ADMIN`.
#[tokio::test]
async fn every_socket_towards_the_kernel_carries_the_mark() {
    let mark = 0x2000_0000;
    let proxy = Proxy::start(Config {
        mark: Mark(mark),
        ..config()
    })
    .unwrap();
    let address: SocketAddr = "127.0.0.44:11300".parse().unwrap();
    let tcp = socket::tcp_hold(address, socket::Families::One, Mark(mark)).unwrap();
    let udp = socket::udp_bound(address, socket::Families::One, Mark(mark)).unwrap();
    let container = socket::udp_backend(address, Mark(mark)).unwrap();
    let own = [tcp.as_fd(), udp.as_fd(), container.as_fd()];
    let fronts: Vec<_> = proxy.sockets().map(|(_, socket)| socket).collect();
    assert_eq!(fronts.len(), 4);
    for socket in fronts.into_iter().chain(own) {
        assert_eq!(socket2::SockRef::from(&socket).mark().unwrap(), mark);
    }
}
