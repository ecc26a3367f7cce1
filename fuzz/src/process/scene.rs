//! The host that packets reach, in either family, as an input's first bytes choose it.
//!
//! ```text
//!  r 198.51.100.7 --- uplink 2: h 192.0.2.1, h2 192.0.2.2
//!                     bridge 10: gw1 172.17.0.1/16 --- 11: c1 172.17.0.2, 12: c1b 172.17.0.3, 13: tap 172.17.0.4
//!                     bridge 20: gw2 172.18.0.1/16 --- 21: c2 172.18.0.2
//! ```
//!
//! IPv6 has the same addresses behind `2001:db8::`.

use netmap_common::{
    maps::{
        Address, Address6, EgressPlace, Endpoint, FlowKey, IfIndex, Interface, Network, Port, PortRange,
        Protocol, Role, Rule, RuleId, Seconds, Settings, Way,
    },
    nat::{Family, HostSocket, Route, testing::World},
};

/// Leads to the outside.
pub const UPLINK: IfIndex = IfIndex(2);
/// Has `c1`, `c1b` and `tap`.
pub const BRIDGE_1: IfIndex = IfIndex(10);
/// Has `c2`.
pub const BRIDGE_2: IfIndex = IfIndex(20);
/// A veth's host end.
pub const C1: IfIndex = IfIndex(11);
/// Another on the same bridge.
pub const C1B: IfIndex = IfIndex(12);
/// A tap device there.
pub const TAP: IfIndex = IfIndex(13);
/// A veth's host end on the other bridge.
pub const C2: IfIndex = IfIndex(21);

/// Addresses of the scene as those of IPv4 are written.
pub mod address {
    /// A remote host.
    pub const R: [u8; 4] = [198, 51, 100, 7];
    /// The host.
    pub const H: [u8; 4] = [192, 0, 2, 1];
    /// Its other address.
    pub const H2: [u8; 4] = [192, 0, 2, 2];
    /// The first bridge's.
    pub const GW1: [u8; 4] = [172, 17, 0, 1];
    /// Behind a veth.
    pub const C1: [u8; 4] = [172, 17, 0, 2];
    /// Behind another.
    pub const C1B: [u8; 4] = [172, 17, 0, 3];
    /// Behind a tap device.
    pub const TAP: [u8; 4] = [172, 17, 0, 4];
    /// The second bridge's.
    pub const GW2: [u8; 4] = [172, 18, 0, 1];
    /// Behind a veth there.
    pub const C2: [u8; 4] = [172, 18, 0, 2];
    /// Behind no bridge: the host's stack knows the way.
    pub const BY_STACK: [u8; 4] = [10, 9, 0, 9];
    /// Nobody knows the way.
    pub const LOST: [u8; 4] = [172, 17, 0, 99];
    /// Any.
    pub const ANY: [u8; 4] = [0; 4];
}

/// A family that has the scene's addresses.
pub trait Addresses: Family {
    /// The address that is written so in IPv4.
    fn of(octets: [u8; 4]) -> Self;
    /// How much longer prefixes are than IPv4's.
    const WIDER: u32;
    /// A container's address in the other family, as a rule has it.
    const ELSEWHERE: Self;
}

impl Addresses for Address {
    const WIDER: u32 = 0;
    const ELSEWHERE: Self = Self(0xac11_0063);

    fn of(octets: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(octets))
    }
}

impl Addresses for Address6 {
    const WIDER: u32 = 96;
    const ELSEWHERE: Self = Self::mapped(Address(0xac11_0002));

    fn of(octets: [u8; 4]) -> Self {
        match octets {
            address::ANY => Self::ANY,
            octets => Self([0x2001_0db8, 0, 0, u32::from_be_bytes(octets)]),
        }
    }
}

/// What an input's first bytes choose; zeros are an ordinary host of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Bit 0: IPv6. Bit 1: tables may have entries that netmap never wrote. Bit 2: the second bridge has two addresses to
    /// leave by, one of which is not there.
    pub kind: u8,
    /// Which ports masquerading has.
    pub pool: u8,
    /// How many flow entries fit; 0 for any number.
    pub capacity: u8,
    /// Where the host routes what is not its own.
    pub route: u8,
    /// Bits: sockets of the host that use a port.
    pub sockets: u8,
    /// Bits: interfaces that no packet fits through.
    pub narrow: u8,
    /// Bits: containers that XDP cannot send to.
    pub unreached: u8,
    /// Bits: ports that are isolated.
    pub isolated: u8,
}

impl Choices {
    /// A bit of [`Self::kind`].
    pub const IPV6: u8 = 1;
    /// A bit of [`Self::kind`].
    pub const WILD: u8 = 2;
    /// A bit of [`Self::kind`].
    pub const EGRESS: u8 = 4;

    /// Splits them off an input.
    pub fn read(input: &[u8]) -> (Self, &[u8]) {
        let Some((bytes, rest)) = input.split_first_chunk() else {
            return (Self::default(), &[]);
        };
        let &[kind, pool, capacity, route, sockets, narrow, unreached, isolated] = bytes;
        let choices = Self {
            kind,
            pool,
            capacity,
            route,
            sockets,
            narrow,
            unreached,
            isolated,
        };
        (choices, rest)
    }

    /// The beginning of an input.
    pub const fn bytes(&self) -> [u8; 8] {
        [
            self.kind,
            self.pool,
            self.capacity,
            self.route,
            self.sockets,
            self.narrow,
            self.unreached,
            self.isolated,
        ]
    }

    /// Which family.
    pub const fn is_ipv6(&self) -> bool {
        self.kind & Self::IPV6 != 0
    }

    /// Whether tables may be anything.
    pub const fn is_wild(&self) -> bool {
        self.kind & Self::WILD != 0
    }

    /// The tables of such a host.
    pub(super) fn world<A: Addresses>(self) -> World<A> {
        let mut world = World {
            settings: Settings {
                netns_cookie: 1,
                secret: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
                pool: pool(self.pool),
                ..Settings::default()
            },
            flow_capacity: usize::from(self.capacity),
            locals: [address::H, address::H2, address::GW1, address::GW2]
                .map(A::of)
                .to_vec(),
            closed: vec![A::of(address::H2)],
            networks: vec![network(BRIDGE_1, address::GW1), network(BRIDGE_2, address::GW2)],
            route: match self.route % 4 {
                0 => Some(Route::Out(UPLINK)),
                1 => Some(Route::ForwardingOff),
                2 => Some(Route::Out(BRIDGE_2)),
                _ => None,
            },
            narrow: chosen(self.narrow, [UPLINK, BRIDGE_1, BRIDGE_2, C1]),
            ..World::default()
        };
        // Far from those of entries that nobody wrote.
        world.nonce.set(0x8000_0000);
        world.now.set(Seconds(1_000));
        self.surround(&mut world);
        if self.kind & Self::EGRESS != 0 {
            add_egress(&mut world);
        }
        publish(&mut world);
        world
    }

    fn surround<A: Addresses>(self, world: &mut World<A>) {
        let flags = |bit: u8| {
            if self.isolated & bit == 0 {
                0
            } else {
                Interface::ISOLATED
            }
        };
        let closed = if self.isolated & 16 == 0 {
            0
        } else {
            Interface::<A>::CLOSED
        };
        let uplink = interface(Role::Uplink, Way::Neigh, UPLINK, IfIndex(0), address::H, closed);
        let port = |way, out, bridge, gateway, flags| interface(Role::Port, way, out, bridge, gateway, flags);
        world.interfaces = [
            (UPLINK, uplink),
            (
                BRIDGE_1,
                interface(Role::Bridge, Way::Neigh, BRIDGE_1, BRIDGE_1, address::GW1, 0),
            ),
            (
                BRIDGE_2,
                interface(Role::Bridge, Way::Neigh, BRIDGE_2, BRIDGE_2, address::GW2, 0),
            ),
            (C1, port(Way::Peer, C1, BRIDGE_1, address::GW1, flags(1))),
            (C1B, port(Way::Peer, C1B, BRIDGE_1, address::GW1, flags(2))),
            (TAP, port(Way::Neigh, BRIDGE_1, BRIDGE_1, address::GW1, flags(4))),
            (C2, port(Way::Peer, C2, BRIDGE_2, address::GW2, flags(8))),
        ]
        .into();
        if self.isolated & 32 != 0 {
            world.owners = [(address::C1, C1), (address::C1B, C1B), (address::C2, C2)]
                .map(|(address, port)| (A::of(address), port))
                .into();
            for port in [C1, C1B] {
                if let Some(port) = world.interfaces.get_mut(&port) {
                    port.flags |= Interface::<A>::KNOWN;
                }
            }
        }
        world.endpoints = [
            (
                A::of(address::C1),
                endpoint(Way::Peer, C1, BRIDGE_1, address::GW1, flags(1)),
            ),
            (
                A::of(address::C1B),
                endpoint(Way::Peer, C1B, BRIDGE_1, address::GW1, flags(2)),
            ),
            (
                A::of(address::TAP),
                endpoint(Way::Neigh, BRIDGE_1, BRIDGE_1, address::GW1, flags(4)),
            ),
            (
                A::of(address::C2),
                endpoint(Way::Peer, C2, BRIDGE_2, address::GW2, flags(8)),
            ),
            (
                A::of(address::BY_STACK),
                endpoint(Way::Stack, IfIndex(0), IfIndex(0), address::ANY, 0),
            ),
        ]
        .into();
        let key = |protocol, src, src_port, dst, dst_port| {
            FlowKey::new(protocol, A::of(src), Port(src_port), A::of(dst), Port(dst_port))
        };
        let sockets = [
            (
                key(Protocol::Udp, address::R, 53, address::H, 8_080),
                HostSocket::Connected,
            ),
            (
                key(Protocol::Udp, address::R, 53, address::H, 40_000),
                HostSocket::Connected,
            ),
            (
                key(Protocol::Tcp, address::R, 80, address::H, 40_000),
                HostSocket::Unconnected,
            ),
            (
                key(Protocol::Tcp, address::R, 80, address::H, 61_000),
                HostSocket::Connected,
            ),
        ];
        world.sockets = chosen(self.sockets, sockets).into_iter().collect();
    }

    /// What XDP can send to.
    pub(super) fn redirects<A: Addresses>(self) -> Vec<(IfIndex, A)> {
        let all = [(C1, address::C1), (C1B, address::C1B), (C2, address::C2)];
        let reached = chosen(!self.unreached, all).into_iter();
        reached.map(|(port, octets)| (port, A::of(octets))).collect()
    }
}

/// Those whose bit is set.
fn chosen<T, const N: usize>(bits: u8, all: [T; N]) -> Vec<T> {
    let numbered = (0u32..).zip(all);
    numbered
        .filter(|(bit, _)| bits.checked_shr(*bit).is_some_and(|bits| bits & 1 != 0))
        .map(|(_, one)| one)
        .collect()
}

fn pool(choice: u8) -> [PortRange; 2] {
    let ranges = match choice % 4 {
        0 => [(1_024, 32_767), (61_000, 65_535)],
        1 => [(1_024, 1_027), (61_000, 61_001)],
        2 => [(0, 0), (61_000, 61_000)],
        _ => [(0, 0), (0, 0)],
    };
    ranges.map(|(first, last)| PortRange {
        first: Port(first),
        last: Port(last),
    })
}

fn publish<A: Addresses>(world: &mut World<A>) {
    use Protocol::{Tcp, Udp};
    let base = |protocol: Protocol, host, host_port, target, target_port| Rule {
        host: A::of(host),
        target: A::of(target),
        host_port: Port(host_port),
        target_port: Port(target_port),
        length: 1,
        protocol: protocol.number(),
        ..Rule::default()
    };
    let rules = [
        base(Tcp, address::ANY, 8_080, address::C1, 80),
        base(Udp, address::ANY, 8_080, address::C1, 80),
        base(Tcp, address::ANY, 8_081, address::C2, 80),
        base(Udp, address::H, 53, address::C1B, 53),
        base(Tcp, address::ANY, 9_000, address::TAP, 90),
        base(Tcp, address::ANY, 9_001, address::BY_STACK, 90),
        base(Udp, address::ANY, 9_001, address::BY_STACK, 90),
        base(Tcp, address::ANY, 9_002, address::LOST, 90),
        base(Tcp, address::H, 443, address::C1, 443),
        base(Tcp, address::H2, 443, address::C1B, 443),
        Rule {
            length: 4,
            ..base(Udp, address::ANY, 20_000, address::C1, 30_000)
        },
        Rule {
            target: A::ELSEWHERE,
            ..base(Tcp, address::ANY, 9_003, address::C1, 90)
        },
    ];
    for rule in rules {
        world.publish(rule);
    }
    let limited = world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..base(Tcp, address::ANY, 22, address::C1, 22)
    });
    world
        .allow
        .push((limited, A::of([198, 51, 100, 0]), 24 + A::WIDER));
}

/// A rule of any bytes: protocol, host, target, length, flags, both ports.
pub(super) fn rule<A: Addresses>(bytes: &[u8]) -> Option<Rule<A>> {
    let &[
        protocol,
        host,
        target,
        length,
        flags,
        high,
        low,
        target_high,
        target_low,
    ] = bytes.first_chunk()?;
    let hosts = [address::ANY, address::H, address::H2, address::GW1];
    let targets = [
        address::C1,
        address::C1B,
        address::TAP,
        address::C2,
        address::BY_STACK,
        address::LOST,
    ];
    let pick = |from: &[[u8; 4]], number: u8| from.get(usize::from(number) % from.len()).copied();
    Some(Rule {
        host: A::of(pick(&hosts, host)?),
        target: A::of(pick(&targets, target)?),
        host_port: Port(u16::from_be_bytes([high, low])),
        target_port: Port(u16::from_be_bytes([target_high, target_low])),
        length: u16::from(length % 8) + 1,
        protocol: if protocol & 1 == 0 {
            Protocol::Tcp
        } else {
            Protocol::Udp
        }
        .number(),
        flags: flags & Rule::ALLOW_LIST,
        ..Rule::default()
    })
}

/// Moves a container: behind another interface, or nowhere.
pub(super) fn relocate<A: Addresses>(world: &mut World<A>, who: u8, how: u8) {
    let all = [address::C1, address::C1B, address::TAP, address::C2];
    let Some(octets) = all.get(usize::from(who) % all.len()) else {
        return;
    };
    let place = match how % 6 {
        0 => endpoint(Way::Peer, C1, BRIDGE_1, address::GW1, 0),
        1 => endpoint(Way::Peer, C1B, BRIDGE_1, address::GW1, Interface::ISOLATED),
        2 => endpoint(Way::Neigh, BRIDGE_1, BRIDGE_1, address::GW1, 0),
        3 => endpoint(Way::Peer, C2, BRIDGE_2, address::GW2, 0),
        4 => endpoint(Way::Stack, IfIndex(0), IfIndex(0), address::ANY, 0),
        _ => {
            world.endpoints.remove(&A::of(*octets));
            return;
        }
    };
    world.endpoints.insert(A::of(*octets), place);
}

/// What a rule that is taken back leaves.
pub(super) fn unpublish<A: Addresses>(world: &World<A>, number: u8) {
    let count = u32::try_from(world.rules.borrow().len()).unwrap_or(u32::MAX);
    if let Some(number) = u32::from(number).checked_rem(count) {
        world.retire(RuleId(number + 1));
    }
}

fn add_egress<A: Addresses>(world: &mut World<A>) {
    for (_, _, network) in &mut world.networks {
        if network.bridge == BRIDGE_2 {
            network.flags |= Network::<A>::egress(2);
        }
    }
    let place = EgressPlace {
        bridge: BRIDGE_2,
        number: 0,
    };
    world.egress.insert(place, A::of(address::H2));
}

fn network<A: Addresses>(bridge: IfIndex, gateway: [u8; 4]) -> (A, u32, Network<A>) {
    let [first, second, ..] = gateway;
    let network = Network {
        bridge,
        gateway: A::of(gateway),
        flags: 0,
    };
    (A::of([first, second, 0, 0]), 16 + A::WIDER, network)
}

fn interface<A: Addresses>(
    role: Role,
    way: Way,
    out: IfIndex,
    bridge: IfIndex,
    address: [u8; 4],
    flags: u8,
) -> Interface<A> {
    Interface {
        role: role as u8,
        way: way as u8,
        flags,
        out,
        bridge,
        address: A::of(address),
        ..Interface::default()
    }
}

fn endpoint<A: Addresses>(
    way: Way,
    out: IfIndex,
    bridge: IfIndex,
    gateway: [u8; 4],
    flags: u8,
) -> Endpoint<A> {
    Endpoint {
        out,
        bridge,
        gateway: A::of(gateway),
        way: way as u8,
        flags,
        ..Endpoint::default()
    }
}
