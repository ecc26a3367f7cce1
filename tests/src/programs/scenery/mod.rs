//! A host to run programs in: a network namespace with interfaces, routes and sockets, and [`world`], the tables that
//! go with it.
//!
//! The interfaces lead nowhere. They are there so that the kernel's own answers (routes, sizes, sockets) can be
//! compared with what [`Scenery::surround`] tells the NAT's host build.

pub mod address;
mod world;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use netmap_common::{
    maps::{Address6, FlowKey, IfIndex, Port, Protocol},
    nat::{HostSocket, Route, testing::World},
};

use super::{ETHERNET, Family, transport};
use crate::Namespace;

pub use address::Places;
pub use world::world;

/// Interfaces of the host, with the numbers that the namespace gives them.
pub mod interface {
    use netmap_common::maps::IfIndex;

    /// Uplink of the default route.
    pub const UP0: IfIndex = IfIndex(10);
    /// Narrow uplink to 203.0.113.0/24.
    pub const UP1: IfIndex = IfIndex(11);
    /// Uplink to 192.0.2.0/24 that has no address.
    pub const UP2: IfIndex = IfIndex(12);
    /// Leads to 10.9.0.0/16 and carries no hook.
    pub const LAN: IfIndex = IfIndex(13);
    /// Bridge of 172.30.1.0/24.
    pub const BR1: IfIndex = IfIndex(20);
    /// Narrow bridge of 172.30.2.0/24, and of 172.30.1.64/26 within the other's subnet.
    pub const BR2: IfIndex = IfIndex(21);
    /// Bridge of 172.30.3.0/24, on which forwarding is switched off.
    pub const BR3: IfIndex = IfIndex(22);
    /// Port of [`BR1`].
    pub const VC1: IfIndex = IfIndex(30);
    /// Port of [`BR1`], isolated.
    pub const VC1B: IfIndex = IfIndex(31);
    /// Port of [`BR1`], isolated, without a peer elsewhere.
    pub const VC1C: IfIndex = IfIndex(32);
    /// Port of [`BR2`] without a peer elsewhere.
    pub const VC2: IfIndex = IfIndex(33);
    /// Port of [`BR3`].
    pub const VC3: IfIndex = IfIndex(34);
    /// In no table.
    pub const STRANGER: IfIndex = IfIndex(35);
}

/// The largest datagram that fits through the narrow interfaces: IPv6 asks for no less (RFC 8200, 5).
const NARROW: u32 = 1_280;

/// The link-layer address of [`interface::BR1`].
pub const BR1_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
/// The link-layer address of the container at [`address::C1`].
pub const C1_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// Masquerading must not take these: the host's own sockets, none of them published.
const TCP_LISTENER: Port = Port(1_029);
const UDP_LISTENER: Port = Port(1_030);
/// A published port that a connected socket of the host uses as its source, and the other end.
const UDP_CLIENT: (Port, Port) = (Port(53), Port(5_353));

/// The ports and containers that XDP can send to: for the others there is no neighbour, or no forwarding.
pub fn reached_by_xdp<A: Places>() -> Vec<(IfIndex, A)> {
    vec![(interface::VC1, A::C1), (interface::VC1B, A::C1)]
}

/// The host, as long as [`Scenery::run`] runs.
#[derive(Debug)]
pub struct Scenery {
    _tcp_listeners: [TcpListener; 2],
    _udp: [UdpSocket; 4],
}

impl Scenery {
    /// Makes the host and runs `work` inside, on a thread of its own.
    pub fn run<T: Send>(work: impl FnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::create(&format!("nm{}-p{number}", process::id()))?;
        build(&namespace)?;
        namespace.run(|| work(&Self::open()?))?
    }

    fn open() -> Result<Self> {
        let open = || {
            let (listener, udp) = sockets(address::HOST, address::NEAR)?;
            let (listener6, udp6) = sockets(Address6::HOST, Address6::NEAR)?;
            let ([one, two], [three, four]) = (udp, udp6);
            std::io::Result::Ok(Self {
                _tcp_listeners: [listener, listener6],
                _udp: [one, two, three, four],
            })
        };
        open().context("cannot open the host's sockets")
    }

    /// Tells `world` what the kernel will answer about this packet: its route, what it fits through, whose socket.
    pub fn surround<A: Places>(&self, world: &mut World<A>, arrival: IfIndex, frame: &[u8]) {
        world.arrival.set(arrival);
        let narrow = frame.len() > NARROW as usize + ETHERNET;
        world.narrow.clear();
        if narrow {
            world.narrow.extend([interface::UP1, interface::BR2]);
        }
        let Some(end) = OtherEnd::of(frame) else {
            return;
        };
        world.route = Some(route(arrival, end.from, end.address));
        world.sockets = end.sockets();
        world.listeners = vec![
            (Protocol::Tcp, A::HOST, TCP_LISTENER, HostSocket::Connected),
            (Protocol::Udp, A::HOST, UDP_LISTENER, HostSocket::Unconnected),
        ];
    }
}

fn sockets<A: Places>(host: A, near: A) -> std::io::Result<(TcpListener, [UdpSocket; 2])> {
    let place = |address: A, port: Port| SocketAddr::new(address.into(), port.0);
    let connected = UdpSocket::bind(place(host, UDP_CLIENT.0))?;
    connected.connect(place(near, UDP_CLIENT.1))?;
    Ok((
        TcpListener::bind(place(host, TCP_LISTENER))?,
        [UdpSocket::bind(place(host, UDP_LISTENER))?, connected],
    ))
}

fn build(namespace: &Namespace) -> Result<()> {
    use interface::{BR1, BR2, BR3, LAN, STRANGER, UP0, UP1, UP2, VC1, VC1B, VC1C, VC2, VC3};
    let names = [
        ("up0", UP0),
        ("up1", UP1),
        ("up2", UP2),
        ("lan", LAN),
        ("br1", BR1),
        ("br2", BR2),
        ("br3", BR3),
        ("vc1", VC1),
        ("vc1b", VC1B),
        ("vc1c", VC1C),
        ("vc2", VC2),
        ("vc3", VC3),
        ("stranger", STRANGER),
    ];
    // The other ends get numbers out of the way.
    let links = names.map(|(name, IfIndex(index))| {
        let other = index + 100;
        format!(
            "link add {name} index {index} type veth peer name {name}-end index {other}
             link set {name} up
             link set {name}-end up\n"
        )
    });
    namespace.batch(&links.concat())?;
    namespace.batch(&format!(
        "link set up1 mtu {NARROW}
         link set br2 mtu {NARROW}
         address add {}/24 dev up0
         address add {}/24 dev up1
         route add default via {} dev up0
         route add 203.0.113.0/24 dev up1
         route add 192.0.2.0/24 dev up2
         route add 10.9.0.0/16 dev lan
         route add unreachable 10.8.0.0/16",
        address::HOST,
        address::HOST3,
        address::NEAR,
    ))?;
    // What XDP asks about a container. Nobody knows C1B, and C3's bridge does not forward.
    namespace.batch(&format!(
        "link set br1 address {}
         route add 172.30.1.0/24 dev br1
         route add 172.30.3.0/24 dev br3
         neigh add {} lladdr {} dev br1 nud permanent
         neigh add {} lladdr {} dev br3 nud permanent",
        link_address(BR1_MAC),
        address::C1,
        link_address(C1_MAC),
        address::C3,
        link_address(C1_MAC),
    ))?;
    build6(namespace)?;
    namespace.sysctl("ipv4/ip_forward", "1")?;
    namespace.sysctl("ipv4/conf/br3/forwarding", "0")
}

/// The same for IPv6.
fn build6(namespace: &Namespace) -> Result<()> {
    namespace.sysctl("ipv6/conf/all/forwarding", "1")?;
    namespace.sysctl("ipv6/conf/br3/forwarding", "0")?;
    namespace.batch(&format!(
        "address add {}/48 dev up0 nodad
         address add {}/48 dev up1 nodad
         route add default via {} dev up0
         route add 2001:db8:113::/48 dev up1
         route add 2001:db8:112::/48 dev up2
         route add 2001:db8:9::/48 dev lan
         route add unreachable 2001:db8:8::/48
         route add fd30:1::/64 dev br1
         route add fd30:3::/64 dev br3
         neigh add {} lladdr {mac} dev br1 nud permanent
         neigh add {} lladdr {mac} dev br3 nud permanent",
        Address6::HOST,
        Address6::HOST3,
        Address6::NEAR,
        Address6::C1,
        Address6::C3,
        mac = link_address(C1_MAC),
    ))
}

fn link_address(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// What the routing table says about a packet to an address that is neither the host's nor a container's.
fn route<A: Places>(arrival: IfIndex, from: A, to: A) -> Route {
    if matches!(arrival, interface::VC3 | interface::BR3) {
        return Route::ForwardingOff;
    }
    // In IPv6 the look-up itself refuses these (`rt6_need_strict`).
    if A::HAS_ZONES && (from.is_link_local() || from.is_multicast_or_reserved()) {
        return Route::Nowhere;
    }
    match Octets::from(to) {
        Octets::V4([192, 168, 50, 255] | [198, 51, 100, 255] | [10, 8, ..])
        | Octets::V6([0x2001, 0xdb8, 8, ..]) => Route::Nowhere,
        Octets::V4([198, 51, 100, _] | [203, 0, 113, _]) | Octets::V6([0x2001, 0xdb8, 0x51 | 0x113, ..]) => {
            Route::Out(interface::UP1)
        }
        Octets::V4([192, 0, 2, _]) | Octets::V6([0x2001, 0xdb8, 0x112, ..]) => Route::Out(interface::UP2),
        Octets::V4([10, 9, ..]) | Octets::V6([0x2001, 0xdb8, 9, ..]) => Route::Out(interface::LAN),
        _ => Route::Out(interface::UP0),
    }
}

/// An address as people write it.
enum Octets {
    V4([u8; 4]),
    V6([u16; 8]),
}

impl<A: Places> From<A> for Octets {
    fn from(address: A) -> Self {
        match address.into() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6(address.segments()),
        }
    }
}

/// Where a packet goes, as far as its bytes say so.
struct OtherEnd<A> {
    protocol: u8,
    from: A,
    address: A,
    port: Port,
}

impl<A: Places> OtherEnd<A> {
    fn of(frame: &[u8]) -> Option<Self> {
        let family = Family::of(frame);
        let address = |octets| Some(A::from_octets(bytemuck::try_pod_read_unaligned(octets).ok()?));
        let (protocol, at) = transport(frame)?;
        let port = frame.get(at + 2..at + 4)?;
        Some(Self {
            protocol,
            from: address(frame.get(family.src())?)?,
            address: address(frame.get(family.dst())?)?,
            port: Port(u16::from_be_bytes(port.try_into().ok()?)),
        })
    }

    /// The packets from there that would reach a socket of the host.
    fn sockets(&self) -> BTreeMap<FlowKey<A>, HostSocket> {
        let Self { address, port, .. } = *self;
        let (client, server) = UDP_CLIENT;
        let answer = FlowKey::new(Protocol::Udp, A::NEAR, server, A::HOST, client);
        let listener = match Protocol::from_number(self.protocol) {
            Some(Protocol::Tcp) => Some((
                FlowKey::new(Protocol::Tcp, address, port, A::HOST, TCP_LISTENER),
                // The kernel side does not tell a listener from a connection.
                HostSocket::Connected,
            )),
            Some(Protocol::Udp) => Some((
                FlowKey::new(Protocol::Udp, address, port, A::HOST, UDP_LISTENER),
                HostSocket::Unconnected,
            )),
            Some(Protocol::Icmp) | None => None,
        };
        [Some((answer, HostSocket::Connected)), listener]
            .into_iter()
            .flatten()
            .collect()
    }
}
