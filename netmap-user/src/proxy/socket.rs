//! The daemon's own sockets. Every one carries the mark that lets it bind published ports (`cgroup/bind4`, `cgroup/bind6`).

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// The mark (`SO_MARK`) of every socket of the daemon; 0 sets none. Setting one needs `CAP_NET_ADMIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u32);

/// Which packets a socket on an IPv6 address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    /// Those of its address's family.
    One,
    /// On `[::]`, IPv4's as well.
    Both,
}

impl Families {
    fn set(self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        if address.is_ipv6() {
            socket.set_only_v6(self == Self::One)?;
        }
        set_freebind(socket, address.ip())
    }
}

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
    let socket = open(address, Type::STREAM, mark)?;
    set_lone(&socket, address)?;
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
pub(super) fn udp_front(address: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, mark)?;
    set_lone(&socket, address)?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?,
    }
    // Beyond net.core.rmem_max with CAP_NET_ADMIN, up to it without.
    if setsockopt(&socket, sockopt::RcvBufForce, &FRONT_BUFFER).is_err() {
        socket.set_recv_buffer_size(FRONT_BUFFER)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Keeps a TCP port from other programs. `AddrInUse` when one has it; connections in `TIME_WAIT` do not count.
pub(super) fn tcp_hold(address: SocketAddr, families: Families, mark: Mark) -> io::Result<Socket> {
    let socket = open(address, Type::STREAM, mark)?;
    families.set(&socket, address)?;
    // Only a listener with SO_REUSEADDR both excludes others and can be had again beside connections of an earlier daemon.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// Keeps a UDP port from other programs, and sends replies from it. `AddrInUse` when one has it.
pub(super) fn udp_bound(address: SocketAddr, families: Families, mark: Mark) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, mark)?;
    families.set(&socket, address)?;
    // It is never read; what reaches it while its port is not steered must not take memory. The kernel has a minimum.
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Sends replies from a UDP port that another program's socket keeps.
pub(super) fn udp_beside(address: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, mark)?;
    Families::One.set(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Makes a socket one of the daemon's that another program has bound to `address` and handed over.
pub(super) fn handed_over(
    socket: OwnedFd,
    address: SocketAddr,
    kind: Type,
    Mark(mark): Mark,
) -> io::Result<Socket> {
    let socket = Socket::from(socket);
    let is_its = socket.r#type()? == kind && socket.local_addr()?.as_socket() == Some(address);
    if !is_its {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the socket that was handed over is not bound to {address}"),
        ));
    }
    socket.set_nonblocking(true)?;
    if mark != 0 {
        socket.set_mark(mark)?;
    }
    if kind == Type::DGRAM {
        // As of our own: it is never read.
        socket.set_recv_buffer_size(1)?;
    } else if !socket.is_listener()? {
        socket.listen(1)?;
    }
    Ok(socket)
}

/// A socket towards one container's UDP port, on an ephemeral port.
pub(super) fn udp_backend(target: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = open(target, Type::DGRAM, mark)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// A connection to one container's TCP port, from an ephemeral port, that is being made. If the first bytes are to
/// follow `at_once`, the handshake's last segment waits for them.
pub(super) fn tcp_backend(target: SocketAddr, mark: Mark, at_once: bool) -> io::Result<Socket> {
    let socket = open(target, Type::STREAM, mark)?;
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

/// A marked socket of the address's family that never waits.
fn open(address: SocketAddr, kind: Type, Mark(mark): Mark) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM {
        Protocol::TCP
    } else {
        Protocol::UDP
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    if mark != 0 {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

/// Lets it have no other family's packets, and its address whether the host has it or not: without IPv6 on its loopback
/// interface (`disable_ipv6`) there is no `::1`, nor anybody who could be kept waiting.
fn set_lone(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        set_freebind(socket, address.ip())?;
    }
    Ok(())
}

/// An address that the host does not have yet can be held too.
fn set_freebind(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => socket.set_freebind_v6(true),
    }
}
