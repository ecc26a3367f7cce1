//! The daemon's own sockets. Every one carries the mark that lets it bind published ports (`cgroup/bind4`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// The mark (`SO_MARK`) of every socket of the daemon; 0 sets none. Setting one needs `CAP_NET_ADMIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u32);

/// All published ports share one accept queue. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// What the front socket may hold of datagrams that are not read yet, in bytes.
const FRONT_BUFFER: usize = 8 << 20;
/// A container that vanished without a word is noticed after about three minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(20))
    .with_retries(6);

/// A listener that all published TCP ports are steered to. Listeners at one address share what is steered to one.
pub(super) fn tcp_front(address: SocketAddr, mark: Mark) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    set_mark(&socket, mark)?;
    // Accepted sockets inherit it. Without it, they would keep a port from other programs long after it is unpublished.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    set_abrupt(&socket)?;
    keep_alive(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The socket that all published UDP ports are steered to; each datagram comes with its destination.
pub(super) fn udp_front(mark: Mark) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    set_mark(&socket, mark)?;
    setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?;
    // Beyond net.core.rmem_max with CAP_NET_ADMIN, up to it without.
    if setsockopt(&socket, sockopt::RcvBufForce, &FRONT_BUFFER).is_err() {
        socket.set_recv_buffer_size(FRONT_BUFFER)?;
    }
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}

/// Keeps a TCP port from other programs. `AddrInUse` when one has it; connections in `TIME_WAIT` do not count.
pub(super) fn tcp_hold(address: SocketAddr, mark: Mark) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    set_mark(&socket, mark)?;
    set_freebind(&socket, address.ip())?;
    // Only a listener with SO_REUSEADDR both excludes others and can be had again beside connections of an earlier daemon.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// Keeps a UDP port from other programs, and sends replies from it. `AddrInUse` when one has it.
pub(super) fn udp_bound(address: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    set_mark(&socket, mark)?;
    set_freebind(&socket, address.ip())?;
    // It is never read; what reaches it while its port is not steered must not take memory. The kernel has a minimum.
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket towards one container's UDP port, on an ephemeral port.
pub(super) fn udp_backend(target: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    set_mark(&socket, mark)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// A connection to one container's TCP port, from an ephemeral port, that is being made. If the first bytes are to
/// follow `at_once`, the handshake's last segment waits for them.
pub(super) fn tcp_backend(target: SocketAddr, mark: Mark, at_once: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    set_mark(&socket, mark)?;
    if at_once {
        socket.set_tcp_quickack(false)?;
    }
    set_abrupt(&socket)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket),
    }
}

/// What both ends of a proxied connection need: no delay, and a reset rather than a clean end whenever it is dropped
/// before its time. Accepted sockets inherit it from their listener, and [`keep_alive`], too.
fn set_abrupt(socket: &Socket) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)
}

/// Has the end of a peer noticed that says nothing.
pub(super) fn keep_alive<S: AsFd>(socket: &S) -> io::Result<()> {
    SockRef::from(socket).set_tcp_keepalive(&KEEPALIVE)
}

fn set_mark(socket: &Socket, Mark(mark): Mark) -> io::Result<()> {
    if mark == 0 {
        return Ok(());
    }
    socket.set_mark(mark)
}

/// An address that the host does not have yet can be held too.
fn set_freebind(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => socket.set_freebind_v6(true),
    }
}
