//! The host that the tests run on.
//!
//! ```text
//!  r 198.51.100.7     --- uplink 2: h 192.0.2.1, h2 192.0.2.2
//!                         bridge 10: gw1 172.17.0.1/16 --- 11: c1 172.17.0.2, 12: c1b 172.17.0.3, 13: tap 172.17.0.4
//!                         bridge 20: gw2 172.18.0.1/16 --- 21: c2 172.18.0.2
//!
//!  r 2001:db8:100::7  --- uplink 2: h 2001:db8:2::1, h2 2001:db8:2::2
//!                         bridge 10: gw1 fd00:17::1/64 --- 11: c1 fd00:17::2, 12: c1b fd00:17::3, 13: tap fd00:17::4
//!                         bridge 20: gw2 fd00:18::1/64 --- 21: c2 fd00:18::2
//! ```
//!
//! c1, c1b and c2 are behind veths, tap is behind a tap device of bridge 10, which is reached through the bridge.

use std::vec;

use super::{Address, IpAddr, Sample, Socket, World, address, socket};
use crate::{
    maps::{
        Endpoint, Flow, FlowKey, Hook, IfIndex, Interface, Network, Port, PortRange, Protocol, Role, Rule,
        Seconds, Settings, Way,
    },
    nat::{Route, Verdict},
};

pub(super) const UPLINK: IfIndex = IfIndex(2);
pub(super) const BRIDGE_1: IfIndex = IfIndex(10);
const BRIDGE_2: IfIndex = IfIndex(20);
const C1: IfIndex = IfIndex(11);
const C1B: IfIndex = IfIndex(12);
const TAP: IfIndex = IfIndex(13);
const C2: IfIndex = IfIndex(21);

/// Where a packet is seen: at which hook of which interface.
pub(super) type Place = (Hook, IfIndex);

pub(super) const UPLINK_IN: Place = (Hook::UplinkIn, UPLINK);
pub(super) const UPLINK_OUT: Place = (Hook::UplinkOut, UPLINK);
pub(super) const C1_PORT: Place = (Hook::PortIn, C1);
pub(super) const C1B_PORT: Place = (Hook::PortIn, C1B);
pub(super) const TAP_PORT: Place = (Hook::PortIn, TAP);
pub(super) const C2_PORT: Place = (Hook::PortIn, C2);

pub(super) const C1_PEER: Verdict = Verdict::Peer(C1);
pub(super) const C1B_PEER: Verdict = Verdict::Peer(C1B);
pub(super) const C2_PEER: Verdict = Verdict::Peer(C2);
pub(super) const TAP_NEIGH: Verdict = Verdict::Neigh(BRIDGE_1);
pub(super) const UPLINK_NEIGH: Verdict = Verdict::Neigh(UPLINK);

macro_rules! places {
    ($($name:ident = $address:ident;)+) => {
        $(pub(super) const fn $name(port: u16) -> Socket {
            socket(address::$address, port)
        })+
    };
}

places! {
    r = R;
    h = H;
    h2 = H2;
    gw1 = GW1;
    c1 = C1;
    c1b = C1B;
    tap = TAP;
    gw2 = GW2;
    c2 = C2;
}

/// The address of a place.
pub(super) fn at(place: Socket) -> Address {
    Address::from(*place.ip())
}

/// The key of a packet, as the NAT should read it.
pub(super) fn key(protocol: Protocol, src: Socket, dst: Socket) -> FlowKey<Address> {
    FlowKey::new(protocol, at(src), Port(src.port()), at(dst), Port(dst.port()))
}

/// A rule that publishes `host` (the address 0.0.0.0: any) as `target`.
pub(super) fn published(protocol: Protocol, host: Socket, target: Socket) -> Rule<Address> {
    Rule {
        host: at(host),
        host_port: Port(host.port()),
        target: at(target),
        target_port: Port(target.port()),
        length: 1,
        protocol: protocol.number(),
        ..Rule::default()
    }
}

/// The host, its tables filled as the daemon fills them.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) world: World,
}

impl Host {
    /// With nothing published.
    pub(super) fn new() -> Self {
        let ranges = [(1_024, 32_767), (61_000, 65_535)];
        let world = World {
            settings: Settings {
                netns_cookie: 1,
                secret: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
                pool: ranges.map(|(first, last)| PortRange {
                    first: Port(first),
                    last: Port(last),
                }),
                ..Settings::default()
            },
            locals: vec![at(h(0)), at(h2(0)), at(gw1(0)), at(gw2(0))],
            networks: vec![network(BRIDGE_1, gw1(0)), network(BRIDGE_2, gw2(0))],
            interfaces: [
                (
                    UPLINK,
                    interface(Role::Uplink, Way::Neigh, UPLINK, IfIndex(0), h(0)),
                ),
                (
                    BRIDGE_1,
                    interface(Role::Bridge, Way::Neigh, BRIDGE_1, BRIDGE_1, gw1(0)),
                ),
                (C1, interface(Role::Port, Way::Peer, C1, BRIDGE_1, gw1(0))),
                (C1B, interface(Role::Port, Way::Peer, C1B, BRIDGE_1, gw1(0))),
                (TAP, interface(Role::Port, Way::Neigh, BRIDGE_1, BRIDGE_1, gw1(0))),
                (
                    BRIDGE_2,
                    interface(Role::Bridge, Way::Neigh, BRIDGE_2, BRIDGE_2, gw2(0)),
                ),
                (C2, interface(Role::Port, Way::Peer, C2, BRIDGE_2, gw2(0))),
            ]
            .into(),
            endpoints: [
                (at(c1(0)), endpoint(Way::Peer, C1, BRIDGE_1, gw1(0))),
                (at(c1b(0)), endpoint(Way::Peer, C1B, BRIDGE_1, gw1(0))),
                (at(tap(0)), endpoint(Way::Neigh, BRIDGE_1, BRIDGE_1, gw1(0))),
                (at(c2(0)), endpoint(Way::Peer, C2, BRIDGE_2, gw2(0))),
            ]
            .into(),
            route: Some(Route::Out(UPLINK)),
            ..World::default()
        };
        world.now.set(Seconds(1_000));
        Self { world }
    }

    /// With `host` published as `target`.
    pub(super) fn publishing(protocol: Protocol, host: Socket, target: Socket) -> Self {
        let mut scene = Self::new();
        scene.world.publish(published(protocol, host, target));
        scene
    }

    /// Port 8080 of every address published as c1's port 80, TCP and UDP.
    pub(super) fn with_8080() -> Self {
        let any = socket(IpAddr::UNSPECIFIED, 8_080);
        let mut scene = Self::publishing(Protocol::Tcp, any, c1(80));
        scene.world.publish(published(Protocol::Udp, any, c1(80)));
        scene
    }

    /// The flow entry of the packet.
    pub(super) fn entry(&self, protocol: Protocol, packet: &Sample) -> Option<Flow<Address>> {
        let flows = self.world.flows.borrow();
        flows.get(&key(protocol, packet.src, packet.dst)).copied()
    }

    /// A second passes.
    pub(super) fn tick(&self) {
        let now = self.world.now.get();
        self.world.now.set(Seconds(now.0 + 1));
    }
}

fn network(bridge: IfIndex, gateway: Socket) -> (Address, u32, Network<Address>) {
    let gateway = at(gateway);
    let network = Network {
        bridge,
        gateway,
        flags: 0,
    };
    // What stands behind the prefix does not matter.
    (gateway, address::NETWORK, network)
}

fn interface(role: Role, way: Way, out: IfIndex, bridge: IfIndex, address: Socket) -> Interface<Address> {
    Interface {
        role: role as u8,
        way: way as u8,
        out,
        bridge,
        address: at(address),
        ..Interface::default()
    }
}

fn endpoint(way: Way, out: IfIndex, bridge: IfIndex, gateway: Socket) -> Endpoint<Address> {
    Endpoint {
        out,
        bridge,
        gateway: at(gateway),
        way: way as u8,
        ..Endpoint::default()
    }
}
