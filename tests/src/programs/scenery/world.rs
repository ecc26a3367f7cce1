//! The tables of the host.

use netmap_common::{
    maps::{
        Address, Endpoint, IfIndex, Interface, Network, Port, PortRange, Protocol, Role, Rule, Settings, Way,
    },
    nat::testing::World,
};

use super::{
    address::{self, BY_STACK, C1, C1B, C1C, C2, C3, GATEWAY1, GATEWAY2, GATEWAY3, HOST, HOST2, HOST3, LOST},
    interface::{BR1, BR2, BR3, UP0, UP1, UP2, VC1, VC1B, VC1C, VC2, VC3},
};

/// The host's tables: every kind of rule, and few enough ports for masquerading that they run out.
pub fn world() -> World {
    let mut world = World::default();
    surround(&mut world);
    publish(&mut world);
    world
}

fn surround(world: &mut World) {
    world.settings = Settings {
        secret: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
        pool: [range(1_024, 1_031), range(61_000, 61_003)],
        ..Settings::default()
    };
    world.limits.messages = u32::MAX;
    world.locals = vec![HOST, HOST2, HOST3, GATEWAY1, GATEWAY2, GATEWAY3];
    world.networks = networks();
    world.reserved = vec![
        (Protocol::Udp, 1_026),
        (Protocol::Tcp, 1_027),
        (Protocol::Tcp, 61_001),
    ];
    world.interfaces = [
        (UP0, uplink(UP0, HOST)),
        (UP1, uplink(UP1, HOST3)),
        (UP2, uplink(UP2, Address::ANY)),
        (BR1, behind(Role::Bridge, Way::Neigh, BR1, BR1, false)),
        (BR2, behind(Role::Bridge, Way::Neigh, BR2, BR2, false)),
        (BR3, behind(Role::Bridge, Way::Neigh, BR3, BR3, false)),
        (VC1, behind(Role::Port, Way::Peer, VC1, BR1, false)),
        (VC1B, behind(Role::Port, Way::Peer, VC1B, BR1, true)),
        (VC1C, behind(Role::Port, Way::Neigh, BR1, BR1, true)),
        (VC2, behind(Role::Port, Way::Neigh, BR2, BR2, false)),
        (VC3, behind(Role::Port, Way::Peer, VC3, BR3, false)),
    ]
    .into();
    world.endpoints = [
        (C1, endpoint(Way::Peer, VC1, BR1, false)),
        (C1B, endpoint(Way::Peer, VC1B, BR1, true)),
        (C1C, endpoint(Way::Neigh, BR1, BR1, true)),
        (C2, endpoint(Way::Neigh, BR2, BR2, false)),
        (C3, endpoint(Way::Peer, VC3, BR3, false)),
        (BY_STACK, endpoint(Way::Stack, IfIndex(0), IfIndex(0), false)),
    ]
    .into();
}

fn publish(world: &mut World) {
    use Protocol::{Tcp, Udp};
    world.publish(rule(Tcp, Address::ANY, 8_080, C1, 80));
    world.publish(rule(Udp, Address::ANY, 8_080, C1, 80));
    world.publish(rule(Udp, Address::ANY, 53, C1, 53));
    world.publish(rule(Tcp, HOST2, 443, C1B, 443));
    world.publish(rule(Tcp, Address::ANY, 444, C1C, 443));
    world.publish(rule(Tcp, Address::ANY, 9_000, BY_STACK, 90));
    world.publish(rule(Udp, Address::ANY, 9_000, BY_STACK, 90));
    world.publish(rule(Tcp, Address::ANY, 9_001, LOST, 90));
    world.publish(Rule {
        length: 16,
        ..rule(Udp, HOST, 20_000, C2, 30_000)
    });
    // A range that ends behind the last port there is.
    world.publish(Rule {
        length: 2,
        ..rule(Tcp, Address::ANY, 7_000, C1, 65_535)
    });
    let limited = world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..rule(Tcp, Address::ANY, 22, C1, 22)
    });
    world.allow.push((limited, address::BEYOND_UP1, 24));
    world.allow.push((limited, address::NEAR, 32));
    // A slot that still names a rule that is gone.
    let gone = world.publish(rule(Tcp, Address::ANY, 9_002, C1, 90));
    world.retire(gone);
    // A port of several addresses.
    world.publish(rule(Tcp, HOST, 8_443, C1, 443));
    world.publish(rule(Tcp, HOST2, 8_443, C2, 443));
    world.publish(rule(Tcp, Address::ANY, 8_444, C3, 443));
}

fn networks() -> Vec<(Address, u32, Network)> {
    let network = |bridge, gateway| Network {
        bridge,
        gateway,
        flags: 0,
    };
    vec![
        (address::of([172, 30, 1, 0]), 24, network(BR1, GATEWAY1)),
        (address::of([172, 30, 2, 0]), 24, network(BR2, GATEWAY2)),
        (address::of([172, 30, 1, 64]), 26, network(BR2, GATEWAY2)),
        (address::of([172, 30, 3, 0]), 24, network(BR3, GATEWAY3)),
    ]
}

const fn range(first: u16, last: u16) -> PortRange {
    PortRange {
        first: Port(first),
        last: Port(last),
    }
}

fn rule(protocol: Protocol, host: Address, host_port: u16, target: Address, target_port: u16) -> Rule {
    Rule {
        host,
        target,
        host_port: Port(host_port),
        target_port: Port(target_port),
        length: 1,
        protocol: protocol.number(),
        ..Rule::default()
    }
}

fn uplink(out: IfIndex, address: Address) -> Interface {
    Interface {
        role: Role::Uplink as u8,
        way: Way::Neigh as u8,
        out,
        address,
        ..Interface::default()
    }
}

fn behind(role: Role, way: Way, out: IfIndex, bridge: IfIndex, isolated: bool) -> Interface {
    Interface {
        role: role as u8,
        way: way as u8,
        flags: if isolated { Interface::ISOLATED } else { 0 },
        pad: 0,
        out,
        bridge,
        address: gateway(bridge),
    }
}

fn endpoint(way: Way, out: IfIndex, bridge: IfIndex, isolated: bool) -> Endpoint {
    Endpoint {
        out,
        bridge,
        gateway: gateway(bridge),
        way: way as u8,
        flags: if isolated { Interface::ISOLATED } else { 0 },
        pad: [0; 2],
    }
}

fn gateway(bridge: IfIndex) -> Address {
    match bridge {
        BR1 => GATEWAY1,
        BR2 => GATEWAY2,
        BR3 => GATEWAY3,
        _ => Address::ANY,
    }
}
