//! A host to run programs in: a network namespace with interfaces, routes and sockets, and [`world`], the tables that
//! go with it.
//!
//! The interfaces lead nowhere. They are there so that the kernel's own answers (routes, sizes, sockets) can be
//! compared with what [`Scenery::surround`] tells the NAT's host build.

mod world;

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use netmap_common::{
    maps::{Address, FlowKey, IfIndex, Port, Protocol},
    nat::{HostSocket, Route, testing::World},
};

use crate::Namespace;

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

/// Addresses of the host and around it.
pub mod address {
    use netmap_common::maps::Address;

    /// The host's address on [`UP0`](super::interface::UP0).
    pub const HOST: Address = of([192, 168, 50, 2]);
    /// Another of the host's.
    pub const HOST2: Address = of([192, 168, 50, 22]);
    /// The host's address on [`UP1`](super::interface::UP1).
    pub const HOST3: Address = of([198, 51, 100, 2]);
    /// The address of [`BR1`](super::interface::BR1).
    pub const GATEWAY1: Address = of([172, 30, 1, 1]);
    /// The address of [`BR2`](super::interface::BR2).
    pub const GATEWAY2: Address = of([172, 30, 2, 1]);
    /// The address of [`BR3`](super::interface::BR3).
    pub const GATEWAY3: Address = of([172, 30, 3, 1]);
    /// Container at [`VC1`](super::interface::VC1).
    pub const C1: Address = of([172, 30, 1, 2]);
    /// Container at [`VC1B`](super::interface::VC1B).
    pub const C1B: Address = of([172, 30, 1, 3]);
    /// Container at [`VC1C`](super::interface::VC1C).
    pub const C1C: Address = of([172, 30, 1, 4]);
    /// Container at [`VC2`](super::interface::VC2).
    pub const C2: Address = of([172, 30, 2, 2]);
    /// Container at [`VC3`](super::interface::VC3).
    pub const C3: Address = of([172, 30, 3, 2]);
    /// Container behind [`BR2`](super::interface::BR2) that only the host's stack reaches.
    pub const BY_STACK: Address = of([172, 30, 1, 70]);
    /// Container whose place is not known.
    pub const LOST: Address = of([172, 30, 1, 9]);
    /// Neighbour on [`UP0`](super::interface::UP0).
    pub const NEAR: Address = of([192, 168, 50, 3]);
    /// By the default route.
    pub const FAR: Address = of([8, 8, 8, 8]);
    /// Behind [`UP1`](super::interface::UP1).
    pub const BEYOND_UP1: Address = of([203, 0, 113, 7]);
    /// Behind [`UP2`](super::interface::UP2).
    pub const BEYOND_UP2: Address = of([192, 0, 2, 9]);
    /// Behind [`LAN`](super::interface::LAN).
    pub const BEYOND_LAN: Address = of([10, 9, 0, 5]);
    /// No way there.
    pub const UNREACHABLE: Address = of([10, 8, 0, 5]);
    /// Everybody on [`UP0`](super::interface::UP0).
    pub const BROADCAST: Address = of([192, 168, 50, 255]);

    /// An address from its four numbers.
    pub const fn of(octets: [u8; 4]) -> Address {
        Address(u32::from_be_bytes(octets))
    }
}

/// The largest datagram that fits through the narrow interfaces.
const NARROW: u32 = 300;
/// Link-layer header, whose length does not count there.
const ETHERNET: usize = 14;

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
pub fn reached_by_xdp() -> Vec<(IfIndex, Address)> {
    vec![(interface::VC1, address::C1), (interface::VC1B, address::C1)]
}

/// The host, as long as [`Scenery::run`] runs.
#[derive(Debug)]
pub struct Scenery {
    _tcp_listener: TcpListener,
    _udp: [UdpSocket; 2],
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
        let host = |port: Port| SocketAddrV4::new(Ipv4Addr::from(address::HOST), port.0);
        let open = || {
            let connected = UdpSocket::bind(host(UDP_CLIENT.0))?;
            connected.connect(SocketAddrV4::new(address::NEAR.into(), UDP_CLIENT.1.0))?;
            std::io::Result::Ok(Self {
                _tcp_listener: TcpListener::bind(host(TCP_LISTENER))?,
                _udp: [UdpSocket::bind(host(UDP_LISTENER))?, connected],
            })
        };
        open().context("cannot open the host's sockets")
    }

    /// Tells `world` what the kernel will answer about this packet: its route, what it fits through, whose socket.
    pub fn surround(&self, world: &mut World, arrival: IfIndex, frame: &[u8]) {
        world.arrival.set(arrival);
        let narrow = frame.len() > NARROW as usize + ETHERNET;
        world.narrow.clear();
        if narrow {
            world.narrow.extend([interface::UP1, interface::BR2]);
        }
        let Some(end) = OtherEnd::of(frame) else {
            return;
        };
        world.route = Some(route(arrival, end.address));
        world.sockets = end.sockets();
    }
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
    namespace.sysctl("ipv4/ip_forward", "1")?;
    namespace.sysctl("ipv4/conf/br3/forwarding", "0")
}

fn link_address(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// What the routing table says about a packet to an address that is neither the host's nor a container's.
fn route(arrival: IfIndex, to: Address) -> Route {
    if matches!(arrival, interface::VC3 | interface::BR3) {
        return Route::ForwardingOff;
    }
    match to.0.to_be_bytes() {
        [192, 168, 50, 255] | [198, 51, 100, 255] | [10, 8, ..] => Route::Nowhere,
        [198, 51, 100, _] | [203, 0, 113, _] => Route::Out(interface::UP1),
        [192, 0, 2, _] => Route::Out(interface::UP2),
        [10, 9, ..] => Route::Out(interface::LAN),
        _ => Route::Out(interface::UP0),
    }
}

/// Where a packet goes, as far as its bytes say so.
struct OtherEnd {
    protocol: u8,
    address: Address,
    port: Port,
}

impl OtherEnd {
    fn of(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET..)?;
        let header = usize::from(ip.first()? & 0xf) * 4;
        let port = ip.get(header + 2..header + 4)?;
        Some(Self {
            protocol: *ip.get(9)?,
            address: Address(u32::from_be_bytes(ip.get(16..20)?.try_into().ok()?)),
            port: Port(u16::from_be_bytes(port.try_into().ok()?)),
        })
    }

    /// The packets from there that would reach a socket of the host.
    fn sockets(&self) -> std::collections::BTreeMap<FlowKey, HostSocket> {
        let Self { address, port, .. } = *self;
        let (client, server) = UDP_CLIENT;
        let answer = FlowKey::new(Protocol::Udp, address::NEAR, server, address::HOST, client);
        let listener = match Protocol::from_number(self.protocol) {
            Some(Protocol::Tcp) => Some((
                FlowKey::new(Protocol::Tcp, address, port, address::HOST, TCP_LISTENER),
                // The kernel side does not tell a listener from a connection.
                HostSocket::Connected,
            )),
            Some(Protocol::Udp) => Some((
                FlowKey::new(Protocol::Udp, address, port, address::HOST, UDP_LISTENER),
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
