//! The proxy on loopback. Without a steering program a client reaches it by its own sockets' addresses, so those are
//! what is published here.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::binding::PortSpan;

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
    /// Publishes the address of the proxy's own socket, and returns it.
    fn publish_own(&self, transport: Transport, target: SocketAddr) -> (Published, SocketAddr) {
        let own = match transport {
            Transport::Tcp => self.tcp4_address,
            Transport::Udp => self.udp4.address,
        };
        let published = published(own, transport);
        let hold = self.hold(&published).unwrap();
        self.publish(binding(published, target), hold);
        (published, own)
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
    let hold = proxy.hold(&published).unwrap();
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
    let tcp = socket::tcp_hold(address, Mark(mark)).unwrap();
    let udp = socket::udp_bound(address, Mark(mark)).unwrap();
    let container = socket::udp_backend(address, Mark(mark)).unwrap();
    for socket in [
        proxy.tcp4(),
        proxy.udp4(),
        tcp.as_fd(),
        udp.as_fd(),
        container.as_fd(),
    ] {
        assert_eq!(socket2::SockRef::from(&socket).mark().unwrap(), mark);
    }
}
