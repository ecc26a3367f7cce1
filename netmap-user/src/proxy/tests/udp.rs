//! Datagrams through the proxy.

use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

/// A proxy, a container's socket behind it, and where clients send to.
async fn proxy(config: Config) -> (Proxy, UdpSocket, SocketAddr) {
    let proxy = Proxy::start(config).unwrap();
    let container = UdpSocket::bind(LOCALHOST).await.unwrap();
    let (_, address) = proxy.publish_own(Transport::Udp, container.local_addr().unwrap());
    (proxy, container, address)
}

async fn socket() -> UdpSocket {
    UdpSocket::bind(LOCALHOST).await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (length, from) = soon(socket.recv_from(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[tokio::test]
async fn a_reply_comes_from_the_address_that_the_client_used() {
    let (proxy, container, address) = proxy(config()).await;
    let client = socket().await;
    for payload in [&b"question"[..], b"", &vec![7; 60_000]] {
        client.send_to(payload, address).await.unwrap();
        let (received, from) = receive(&container).await;
        assert!(received == payload, "{} bytes changed", payload.len());
        container.send_to(payload, from).await.unwrap();
        let (reply, from) = receive(&client).await;
        assert!(reply == payload, "{} bytes changed", payload.len());
        assert_eq!(from, address);
    }
    let counters = proxy.counters();
    assert_eq!((counters.sessions.get(), counters.sessions_open.get()), (1, 1));
    eventually("the counts", || {
        (counters.datagrams_in.get(), counters.datagrams_out.get()) == (3, 3)
    })
    .await;
}

#[tokio::test]
async fn two_clients_are_kept_apart() {
    let (_proxy, container, address) = proxy(config()).await;
    let clients = [socket().await, socket().await];
    let mut seen = Vec::new();
    for (client, name) in clients.iter().zip(["one", "two"]) {
        client.send_to(name.as_bytes(), address).await.unwrap();
        seen.push(receive(&container).await);
    }
    assert_ne!(seen[0].1, seen[1].1);
    // Answered in the other order.
    for (name, from) in seen.into_iter().rev() {
        container.send_to(&name, from).await.unwrap();
    }
    assert_eq!(receive(&clients[0]).await, (b"one".to_vec(), address));
    assert_eq!(receive(&clients[1]).await, (b"two".to_vec(), address));
}

#[tokio::test]
async fn a_session_without_a_reply_ends_before_one_with() {
    let (proxy, container, address) = proxy(Config {
        timeouts: Timeouts {
            unreplied: Duration::from_millis(50),
            idle: Duration::from_secs(3600),
            ..Timeouts::default()
        },
        ..config()
    })
    .await;
    let (answered, ignored) = (socket().await, socket().await);
    answered.send_to(b"hello", address).await.unwrap();
    let (_, from) = receive(&container).await;
    container.send_to(b"hello yourself", from).await.unwrap();
    receive(&answered).await;
    ignored.send_to(b"hello?", address).await.unwrap();
    receive(&container).await;

    eventually("the end of one session", || {
        proxy.counters().sessions_open.get() == 1
    })
    .await;
    answered.send_to(b"again", address).await.unwrap();
    assert_eq!(receive(&container).await, (b"again".to_vec(), from));
    assert_eq!(proxy.counters().sessions.get(), 2);
}

#[tokio::test]
async fn an_idle_session_ends_and_the_next_datagram_opens_another() {
    let (proxy, container, address) = proxy(Config {
        timeouts: Timeouts {
            idle: Duration::from_millis(50),
            ..Timeouts::default()
        },
        ..config()
    })
    .await;
    let client = socket().await;
    for sessions in 1..=2 {
        client.send_to(b"hello", address).await.unwrap();
        let (_, from) = receive(&container).await;
        container.send_to(b"hello yourself", from).await.unwrap();
        receive(&client).await;
        eventually("the session's end", || proxy.counters().sessions_open.get() == 0).await;
        assert_eq!(proxy.counters().sessions.get(), sessions);
    }
}

#[tokio::test]
async fn unpublishing_cuts_sessions() {
    let (proxy, container, address) = proxy(config()).await;
    let client = socket().await;
    client.send_to(b"hello", address).await.unwrap();
    let (_, from) = receive(&container).await;

    assert!(proxy.unpublish(&published(address, Transport::Udp)));
    client.send_to(b"anybody?", address).await.unwrap();
    eventually("the refusal", || proxy.counters().refused_unpublished.get() == 1).await;
    eventually("the session's end", || proxy.counters().sessions_open.get() == 0).await;
    // Nobody is there any more to take a late reply.
    container.connect(from).await.unwrap();
    container.send(b"late").await.unwrap();
    let error = soon(container.recv(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn publishing_elsewhere_moves_the_very_next_datagram() {
    let (proxy, old, address) = proxy(config()).await;
    let client = socket().await;
    client.send_to(b"to the old one", address).await.unwrap();
    let (_, from) = receive(&old).await;

    let new = socket().await;
    proxy.publish_own(Transport::Udp, new.local_addr().unwrap());
    client.send_to(b"to the new one", address).await.unwrap();
    assert_eq!(receive(&new).await.0, b"to the new one");
    // A reply of the old one is not carried.
    old.send_to(b"stale", from).await.unwrap();
    new.send_to(b"fresh", receive_from(&client, &new, address).await)
        .await
        .unwrap();
    assert_eq!(receive(&client).await.0, b"fresh");
}

/// Sends once more, and returns the address by which the container can reply.
async fn receive_from(client: &UdpSocket, container: &UdpSocket, address: SocketAddr) -> SocketAddr {
    client.send_to(b"once more", address).await.unwrap();
    receive(container).await.1
}

#[tokio::test]
async fn a_container_that_does_not_listen_yet_is_reached_once_it_does() {
    let (proxy, container, address) = proxy(config()).await;
    let target = container.local_addr().unwrap();
    drop(container);
    let client = socket().await;
    client.send_to(b"too early", address).await.unwrap();
    // On loopback the ICMP error is there once this has been sent.
    eventually("the first datagram", || proxy.counters().datagrams_in.get() == 1).await;

    let container = UdpSocket::bind(target).await.unwrap();
    client.send_to(b"in time", address).await.unwrap();
    assert_eq!(receive(&container).await.0, b"in time");
    assert_eq!(proxy.counters().sessions.get(), 1);
}

#[tokio::test]
async fn sessions_are_bounded_in_all_and_for_one_client() {
    for (sessions, sessions_per_client) in [(1, 16), (16, 1)] {
        let limits = Limits {
            sessions,
            sessions_per_client,
            ..Limits::MOST
        };
        let (proxy, container, address) = proxy(Config { limits, ..config() }).await;
        let (first, second) = (socket().await, socket().await);
        first.send_to(b"first", address).await.unwrap();
        receive(&container).await;
        second.send_to(b"second", address).await.unwrap();
        let counters = proxy.counters();
        let refused = if sessions == 1 {
            &counters.refused_full
        } else {
            &counters.refused_client_full
        };
        eventually("the refusal", || refused.get() == 1).await;
        // The one that is there goes on.
        first.send_to(b"first again", address).await.unwrap();
        assert_eq!(receive(&container).await.0, b"first again");
    }
}

#[tokio::test]
async fn a_flood_of_datagrams_does_not_starve_connections() {
    let (proxy, container, address) = proxy(config()).await;
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let (_, published) = proxy.publish_own(Transport::Tcp, listener.local_addr().unwrap());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let client = std::net::UdpSocket::bind(LOCALHOST).unwrap();
            let deadline = std::time::Instant::now() + PATIENCE;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && std::time::Instant::now() < deadline {
                client.send_to(b"flood", address).unwrap();
            }
        }
    });
    receive(&container).await;
    for _ in 0..20 {
        let _client = soon(TcpStream::connect(published)).await.unwrap();
        let _server = soon(listener.accept()).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.join().unwrap();
    eventually("the last connection", || proxy.counters().connections.get() == 20).await;
}

#[tokio::test]
async fn a_burst_of_many_clients_keeps_boundaries_order_and_addresses() {
    const EACH: usize = 24;
    let (proxy, container, own) = proxy(config()).await;
    let clients = [socket().await, socket().await, socket().await, socket().await];
    let payload = |client: usize, turn: usize| {
        // Equal ones in a row, a shorter one, empty ones, and more than a packet takes.
        let length = match turn % 12 {
            0..6 => 100,
            6 => 40,
            7 => 0,
            8..10 => 1472,
            10 => 1473,
            _ => 3_000,
        };
        let mut bytes = vec![u8::try_from(client).unwrap(); length];
        if let Some(first) = bytes.get_mut(1) {
            *first = u8::try_from(turn).unwrap();
        }
        bytes
    };
    socket2::SockRef::from(&container)
        .set_recv_buffer_size(1 << 20)
        .unwrap();
    for turn in 0..EACH {
        for (index, client) in clients.iter().enumerate() {
            client.send_to(&payload(index, turn), own).await.unwrap();
        }
    }
    let mut of_session: std::collections::HashMap<SocketAddr, Vec<Vec<u8>>> =
        std::collections::HashMap::new();
    for _ in 0..EACH * clients.len() {
        let (bytes, from) = receive(&container).await;
        of_session.entry(from).or_default().push(bytes);
    }
    assert_eq!(of_session.len(), clients.len());
    for (from, got) in of_session {
        let client = usize::from(got[0][0]);
        let sent: Vec<_> = (0..EACH).map(|turn| payload(client, turn)).collect();
        assert!(got == sent, "datagrams of client {client} changed on their way");
        container.send_to(b"got all", from).await.unwrap();
        assert_eq!(receive(&clients[client]).await, (b"got all".to_vec(), own));
    }
    let counters = proxy.counters();
    let all = u64::try_from(EACH * clients.len()).unwrap();
    eventually("the counts", || {
        (counters.datagrams_in.get(), counters.datagrams_out.get()) == (all, 4)
    })
    .await;
    assert_eq!((counters.datagrams_lost.get(), counters.sessions.get()), (0, 4));
}
