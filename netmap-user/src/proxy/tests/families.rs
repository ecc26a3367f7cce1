//! Clients of IPv6, and containers of either family behind what they ask for.

use std::net::Ipv6Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::*;

const TARGETS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

#[tokio::test]
async fn connections_of_ipv6_are_carried_to_containers_of_either_family() {
    for target in TARGETS {
        let proxy = Proxy::start(config()).unwrap();
        let container = TcpListener::bind((target, 0)).await.unwrap();
        let own = proxy.own(Transport::Tcp, true);
        let (published, address) = proxy.publish_at(own, Transport::Tcp, container.local_addr().unwrap());
        assert!(address.is_ipv6());

        let mut client = soon(TcpStream::connect(address)).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut server, seen) = soon(container.accept()).await.unwrap();
        assert_eq!(seen.is_ipv6(), target.is_ipv6());
        let mut asked = Vec::new();
        soon(server.read_to_end(&mut asked)).await.unwrap();
        assert_eq!(asked, b"question");
        let large = vec![7; 3_000_000];
        let answering = tokio::spawn({
            let large = large.clone();
            async move { server.write_all(&large).await }
        });
        let mut answer = Vec::new();
        soon(client.read_to_end(&mut answer)).await.unwrap();
        soon(answering).await.unwrap().unwrap();
        assert!(answer == large, "{} bytes came", answer.len());
        assert_eq!(proxy.counters().connections.get(), 1);

        // Taken back, it leads nowhere; the same port of IPv4 never did.
        assert!(proxy.unpublish(&published));
        let refused = proxy.shared.route(Transport::Tcp, address, address).map(drop);
        assert_eq!(refused, Err(Refusal::Unpublished));
    }
}

#[tokio::test]
async fn datagrams_of_ipv6_are_answered_from_the_address_that_was_asked() {
    for target in TARGETS {
        let proxy = Proxy::start(config()).unwrap();
        let container = UdpSocket::bind((target, 0)).await.unwrap();
        let own = proxy.own(Transport::Udp, true);
        let (_, address) = proxy.publish_at(own, Transport::Udp, container.local_addr().unwrap());
        let clients = [client().await, client().await];
        for payload in [&b"question"[..], b"", &vec![7; 60_000]] {
            for client in &clients {
                client.send_to(payload, address).await.unwrap();
                let (asked, from) = receive(&container).await;
                assert!(asked == payload && from.is_ipv6() == target.is_ipv6());
                container.send_to(payload, from).await.unwrap();
                let (answer, from) = receive(client).await;
                assert!(answer == payload, "{} bytes changed", payload.len());
                assert_eq!(from, address);
            }
        }
        assert_eq!(proxy.counters().sessions.get(), 2);
    }
}

/// Many datagrams of one length, which go to the container as segments of one.
#[tokio::test]
async fn many_datagrams_keep_their_boundaries_to_an_ipv6_container() {
    let proxy = Proxy::start(config()).unwrap();
    let container = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let own = proxy.own(Transport::Udp, true);
    let (_, address) = proxy.publish_at(own, Transport::Udp, container.local_addr().unwrap());
    let client = client().await;
    for length in [1, 1452, 1453, 1472] {
        for number in 0..40 {
            client.send_to(&vec![number; length], address).await.unwrap();
        }
        for number in 0..40 {
            let (payload, _) = receive(&container).await;
            assert!(payload == vec![number; length], "{number} of {length} bytes");
        }
    }
    assert_eq!(proxy.counters().datagrams_lost.get(), 0);
}

#[tokio::test]
async fn a_session_outlives_the_other_familys_end() {
    let proxy = Proxy::start(config()).unwrap();
    let container = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = hold::free_ports(1, Transport::Udp);
    let [v4, v6] = [IpAddr::from([0, 0, 0, 0]), Ipv6Addr::UNSPECIFIED.into()]
        .map(|host| published((host, port).into(), Transport::Udp));
    let holds = proxy.hold(&[v4, v6]);
    for (published, hold) in [v4, v6].into_iter().zip(holds) {
        proxy.publish(binding(published, container.local_addr().unwrap()), hold.unwrap());
    }
    // Without a steering program: what would come to the front socket.
    let destination = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut table = proxy.shared.table();
    let before = table.reply(destination, Mark(0)).unwrap();
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    assert!(before.ptr_eq(&table.reply(six, Mark(0)).unwrap()), "two sockets");
    drop(table);

    assert!(proxy.unpublish(&v6));
    assert!(before.upgrade().is_none(), "the socket of both is still there");
    let client = std::net::UdpSocket::bind(LOCALHOST).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let reply = proxy.shared.table().reply(destination, Mark(0)).unwrap();
    let reply = reply.upgrade().unwrap();
    reply
        .send(b"still", client.local_addr().unwrap(), destination)
        .unwrap();
    let mut buffer = [0; 8];
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (5, destination));
}

async fn client() -> UdpSocket {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (length, from) = soon(socket.recv_from(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    (buffer, from)
}
