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

/// Bytes that show a shift or a gap.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let words = (0..).map(|index: u32| (index ^ seed).wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
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
    let carry = |stream: TcpStream, bytes: Vec<u8>| async move {
        let (mut reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            writer.write_all(&bytes).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        received
    };
    let (at_client, at_server) =
        soon(async { tokio::join!(carry(client, up.clone()), carry(server, down.clone())) }).await;
    assert!(at_server == up, "the upload changed on its way");
    assert!(at_client == down, "the download changed on its way");
}

#[tokio::test]
async fn a_container_that_does_not_listen_resets_the_client() {
    let (proxy, container, address) = proxy(config()).await;
    drop(container);
    let mut client = soon(TcpStream::connect(address)).await.unwrap();
    assert_eq!(
        read_out(&mut client).await,
        (Vec::new(), Some(io::ErrorKind::ConnectionReset))
    );
    eventually("the count", || proxy.counters().connect_failures.get() == 1).await;
}

#[tokio::test]
async fn a_port_that_is_not_published_resets_the_client() {
    let proxy = Proxy::start(config()).unwrap();
    let mut client = soon(TcpStream::connect(proxy.tcp4_address)).await.unwrap();
    assert_eq!(
        read_out(&mut client).await,
        (Vec::new(), Some(io::ErrorKind::ConnectionReset))
    );
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
    let mut second = soon(TcpStream::connect(address)).await.unwrap();
    assert_eq!(
        read_out(&mut second).await,
        (Vec::new(), Some(io::ErrorKind::ConnectionReset))
    );
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

    let mut client = soon(TcpStream::connect(address)).await.unwrap();
    assert_eq!(
        read_out(&mut client).await,
        (Vec::new(), Some(io::ErrorKind::ConnectionReset))
    );
    assert_eq!(proxy.counters().connect_failures.get(), 1);
}
