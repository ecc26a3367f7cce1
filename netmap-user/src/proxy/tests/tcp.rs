//! Connections through the proxy.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A proxy, a container's listener behind it, and where clients connect to.
async fn proxy(config: Config) -> (Proxy, TcpListener, SocketAddr) {
    let proxy = Proxy::start(config).unwrap();
    let container = TcpListener::bind(LOCALHOST).await.unwrap();
    let (_, address) = proxy.publish_own(Transport::Tcp, container.local_addr().unwrap());
    (proxy, container, address)
}

async fn connect(container: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
    let client = soon(TcpStream::connect(address)).await.unwrap();
    let (server, _) = soon(container.accept()).await.unwrap();
    (client, server)
}

/// Reads until the end, and says how it came.
async fn read_out(stream: &mut TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let end = soon(stream.read_to_end(&mut bytes)).await;
    (bytes, end.err().map(|error| error.kind()))
}

/// Connects and is reset, be it before or after the kernel said that the connection is made.
async fn is_reset(address: SocketAddr) {
    let end = match soon(TcpStream::connect(address)).await {
        Ok(mut client) => read_out(&mut client).await,
        Err(error) => (Vec::new(), Some(error.kind())),
    };
    assert_eq!(end, (Vec::new(), Some(io::ErrorKind::ConnectionReset)));
}

/// Bytes that show a shift or a gap.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let words = (0..).map(|index: u32| (index ^ seed).wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

/// Sends all of `bytes` and the end, and returns what came from the other side until its end.
async fn exchange(stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    received
}

#[tokio::test]
async fn a_client_may_end_first_and_still_gets_the_answer() {
    let (proxy, container, address) = proxy(config()).await;
    let (mut client, mut server) = connect(&container, address).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_out(&mut server).await, (b"question".to_vec(), None));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_out(&mut client).await, (b"answer".to_vec(), None));
    eventually("the connection's end", || {
        proxy.counters().connections_open.get() == 0
    })
    .await;
    assert_eq!(proxy.counters().connections.get(), 1);
}

#[tokio::test]
async fn a_container_may_end_first_and_still_gets_the_rest() {
    let (proxy, container, address) = proxy(config()).await;
    let (mut client, mut server) = connect(&container, address).await;
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_out(&mut client).await, (b"greeting".to_vec(), None));
    client.write_all(b"afterthought").await.unwrap();
    drop(client);
    assert_eq!(read_out(&mut server).await, (b"afterthought".to_vec(), None));
    eventually("the connection's end", || {
        proxy.counters().connections_open.get() == 0
    })
    .await;
}

#[tokio::test]
async fn five_megabytes_arrive_intact_both_ways_at_once() {
    let (_proxy, container, address) = proxy(config()).await;
    let (client, server) = connect(&container, address).await;
    let (up, down) = (pattern(5_000_000, 1), pattern(5_000_000, 2));
    let (at_client, at_server) =
        soon(async { tokio::join!(exchange(client, up.clone()), exchange(server, down.clone())) }).await;
    assert!(at_server == up, "the upload changed on its way");
    assert!(at_client == down, "the download changed on its way");
}

#[tokio::test]
async fn a_container_that_does_not_listen_resets_the_client() {
    let (proxy, container, address) = proxy(config()).await;
    drop(container);
    is_reset(address).await;
    eventually("the count", || proxy.counters().connect_failures.get() == 1).await;
}

#[tokio::test]
async fn a_port_that_is_not_published_resets_the_client() {
    let proxy = Proxy::start(config()).unwrap();
    is_reset(proxy.own(Transport::Tcp, false)).await;
    assert_eq!(proxy.counters().refused_unpublished.get(), 1);
}

#[tokio::test]
async fn a_reset_stays_a_reset_and_never_looks_like_an_end() {
    let (_proxy, container, address) = proxy(config()).await;
    for client_resets in [true, false] {
        let (client, server) = connect(&container, address).await;
        let (mut gone, mut other) = if client_resets {
            (client, server)
        } else {
            (server, client)
        };
        gone.write_all(b"half of a").await.unwrap();
        let mut half = [0; 9];
        soon(other.read_exact(&mut half)).await.unwrap();
        socket2::SockRef::from(&gone)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(gone);
        let end = read_out(&mut other).await;
        assert_eq!(
            end,
            (Vec::new(), Some(io::ErrorKind::ConnectionReset)),
            "{client_resets}"
        );
    }
}

#[tokio::test]
async fn a_side_that_fails_after_its_end_does_not_leave_the_connection_behind() {
    let (proxy, container, address) = proxy(config()).await;
    let (mut client, mut server) = connect(&container, address).await;
    client.shutdown().await.unwrap();
    assert_eq!(read_out(&mut server).await, (Vec::new(), None));
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    eventually("the connection's end", || {
        proxy.counters().connections_open.get() == 0
    })
    .await;
}

#[tokio::test]
async fn unpublishing_cuts_connections_on_both_sides() {
    let (proxy, container, address) = proxy(config()).await;
    let (mut client, mut server) = connect(&container, address).await;
    client.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    soon(server.read_exact(&mut hello)).await.unwrap();

    assert!(proxy.unpublish(&published(address, Transport::Tcp)));
    assert!(!proxy.unpublish(&published(address, Transport::Tcp)));
    let reset = (Vec::new(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(read_out(&mut client).await, reset);
    assert_eq!(read_out(&mut server).await, reset);
    eventually("the connection's end", || {
        proxy.counters().connections_open.get() == 0
    })
    .await;
}

#[tokio::test]
async fn dropping_the_proxy_cuts_connections() {
    let (proxy, container, address) = proxy(config()).await;
    let (mut client, _server) = connect(&container, address).await;
    drop(proxy);
    assert_eq!(
        read_out(&mut client).await,
        (Vec::new(), Some(io::ErrorKind::ConnectionReset))
    );
}

#[tokio::test]
async fn a_connection_too_many_is_reset_and_makes_room_for_none() {
    let (proxy, container, address) = proxy(Config {
        limits: Limits {
            connections: 1,
            ..Limits::MOST
        },
        ..config()
    })
    .await;
    let (first, mut server) = connect(&container, address).await;
    is_reset(address).await;
    assert_eq!(proxy.counters().refused_full.get(), 1);

    drop(first);
    assert_eq!(read_out(&mut server).await, (Vec::new(), None));
    drop(server);
    eventually("the connection's end", || {
        proxy.counters().connections_open.get() == 0
    })
    .await;
    connect(&container, address).await;
}

#[tokio::test]
async fn a_container_that_never_answers_is_given_up() {
    let (proxy, container, address) = proxy(Config {
        timeouts: Timeouts {
            connect: Duration::from_millis(100),
            ..Timeouts::default()
        },
        ..config()
    })
    .await;
    drop(container);
    // A listener whose queue is full drops further connections without a word.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(LOCALHOST).into()).unwrap();
    silent.listen(0).unwrap();
    let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
    let _in_queue = TcpStream::connect(silent_address).await.unwrap();
    proxy.publish_own(Transport::Tcp, silent_address);

    is_reset(address).await;
    assert_eq!(proxy.counters().connect_failures.get(), 1);
}

/// Needs no pipe, however often it is done.
#[tokio::test]
async fn what_is_small_never_makes_a_pipe_and_what_is_large_one_a_direction() {
    let (proxy, container, address) = proxy(config()).await;
    for _ in 0..20 {
        let (client, server) = connect(&container, address).await;
        let (up, down) = (pattern(20_000, 1), pattern(200_000, 2));
        let (at_client, at_server) =
            soon(async { tokio::join!(exchange(client, up.clone()), exchange(server, down.clone())) }).await;
        assert!(at_server == up && at_client == down);
    }
    assert_eq!(proxy.shared.pipes.made(), 0);

    for _ in 0..3 {
        let (client, server) = connect(&container, address).await;
        let down = pattern(8_000_000, 3);
        let (at_client, _) =
            soon(async { tokio::join!(exchange(client, b"more".to_vec()), exchange(server, down.clone())) })
                .await;
        assert!(at_client == down, "the download changed on its way");
        eventually("the connection's end", || {
            proxy.counters().connections_open.get() == 0
        })
        .await;
    }
    assert_eq!(proxy.shared.pipes.made(), 1, "pipes are used again");
}

#[tokio::test]
async fn a_direction_goes_on_by_pipe_after_the_other_has_ended() {
    const LONG: usize = 3_000_001;
    let (proxy, container, address) = proxy(config()).await;
    for client_ends_first in [true, false] {
        let (client, server) = connect(&container, address).await;
        let (mut first, mut second) = if client_ends_first {
            (client, server)
        } else {
            (server, client)
        };
        let bytes = pattern(LONG, 4);
        // By pipe already, and the reader has read some of it.
        let (mut reader, mut writer) = first.split();
        let half = LONG / 2;
        let mut got = vec![0; half];
        let (before, after) = bytes.split_at(half);
        soon(async { tokio::try_join!(second.write_all(before), reader.read_exact(&mut got)) })
            .await
            .unwrap();
        writer.write_all(b"that is all").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(read_out(&mut second).await, (b"that is all".to_vec(), None));
        let mut rest = Vec::new();
        let writing = async {
            second.write_all(after).await?;
            second.shutdown().await
        };
        soon(async { tokio::try_join!(writing, reader.read_to_end(&mut rest)) })
            .await
            .unwrap();
        got.extend(rest);
        assert!(got == bytes, "{client_ends_first}: changed on its way");
        eventually("the connection's end", || {
            proxy.counters().connections_open.get() == 0
        })
        .await;
    }
    assert!(proxy.shared.pipes.made() >= 1);
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer_and_loses_nothing() {
    let (_proxy, container, address) = proxy(config()).await;
    for length in [200_000, 40_000_000] {
        let (mut client, mut server) = connect(&container, address).await;
        let bytes = pattern(length, 5);
        let mut written = 0;
        // Until nothing goes any more, or everything has gone.
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match timeout(Duration::from_millis(300), client.write(rest)).await {
                Ok(more) => written += more.unwrap(),
                Err(_) => break,
            }
        }
        assert!(length < 1_000_000 || written < length, "nothing stops the writer");
        let rest = bytes[written..].to_vec();
        let writing = tokio::spawn(async move {
            client.write_all(&rest).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut got = Vec::new();
        soon(server.read_to_end(&mut got)).await.unwrap();
        assert!(got == bytes, "{length} bytes changed on their way");
        drop(writing.await.unwrap());
    }
}

#[tokio::test]
async fn a_container_that_speaks_first_is_heard() {
    let (_proxy, container, address) = proxy(config()).await;
    let (mut client, mut server) = connect(&container, address).await;
    server.write_all(b"220 ready").await.unwrap();
    let mut greeting = [0; 9];
    soon(client.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"220 ready");
}

#[tokio::test]
async fn accepted_connections_have_what_their_listener_was_given() {
    let front = socket::tcp_front(LOCALHOST.into(), Mark(0)).unwrap();
    let _client = std::net::TcpStream::connect(front.local_addr().unwrap()).unwrap();
    eventually("the connection", || {
        let Ok((accepted, _)) = front.accept() else {
            return false;
        };
        let socket = socket2::SockRef::from(&accepted);
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        true
    })
    .await;
}

#[tokio::test]
async fn a_container_that_says_nothing_for_long_is_asked_whether_it_is_there() {
    let (_proxy, container, address) = proxy(config()).await;
    let (_client, server) = connect(&container, address).await;
    let (towards, own) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
    let is_asked = || {
        let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        let ports = [own, towards].map(|address| format!(":{:04X}", address.port()));
        let mut lines = table
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let line = lines.find(|fields| fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]));
        // proc(5): the fifth is the timer that runs, 2 for the one that asks.
        line.is_some_and(|fields| fields[5].starts_with("02:"))
    };
    eventually("the timer", is_asked).await;
}
