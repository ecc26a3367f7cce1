//! The tables of the host.

use netmap_common::{
    maps::{
        EgressPlace, Endpoint, IfIndex, Interface, Network, Port, PortRange, Protocol, Role, Rule, Settings,
        Way,
    },
    nat::testing::World,
};

use super::{
    address::Places,
    interface::{BR1, BR2, BR3, UP0, UP1, UP2, VC1, VC1B, VC1C, VC2, VC3},
};

/// The host's tables: every kind of rule, and few enough ports for masquerading that they run out.
pub fn world<A: Places>() -> World<A> {
    let mut world = World::default();
    surround(&mut world);
    publish(&mut world);
    world
}

fn surround<A: Places>(world: &mut World<A>) {
    world.settings = Settings {
        secret: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
        pool: [range(1_024, 1_031), range(61_000, 61_003)],
        flags: Settings::MAPPINGS,
        ..Settings::default()
    };
    world.limits.messages = u32::MAX;
    world.locals = vec![A::HOST, A::HOST2, A::HOST3, A::GATEWAY1, A::GATEWAY2, A::GATEWAY3];
    world.closed = vec![A::HOST2];
    world.networks = networks();
    // The second bridge's containers leave by either; what the third's are to leave by is not there.
    world.egress = [(0, A::HOST2), (1, A::HOST3)]
        .map(|(number, address)| (EgressPlace { bridge: BR2, number }, address))
        .into();
    world.reserved = vec![
        (Protocol::Udp, 1_026),
        (Protocol::Tcp, 1_027),
        (Protocol::Tcp, 61_001),
    ];
    world.interfaces = [
        (UP0, uplink(UP0, A::HOST)),
        (
            UP1,
            Interface {
                flags: Interface::<A>::CLOSED,
                ..uplink(UP1, A::HOST3)
            },
        ),
        (UP2, uplink(UP2, A::ANY)),
        (BR1, behind(Role::Bridge, Way::Neigh, BR1, BR1, false)),
        (BR2, behind(Role::Bridge, Way::Neigh, BR2, BR2, false)),
        (BR3, behind(Role::Bridge, Way::Neigh, BR3, BR3, false)),
        (VC1, known(behind(Role::Port, Way::Peer, VC1, BR1, false))),
        (VC1B, known(behind(Role::Port, Way::Peer, VC1B, BR1, true))),
        (VC1C, behind(Role::Port, Way::Neigh, BR1, BR1, true)),
        (VC2, behind(Role::Port, Way::Neigh, BR2, BR2, false)),
        (VC3, behind(Role::Port, Way::Peer, VC3, BR3, false)),
    ]
    .into();
    world.owners = [(A::C1, VC1), (A::C1B, VC1B), (A::C3, VC3)].into();
    world.endpoints = [
        (A::C1, endpoint(Way::Peer, VC1, BR1, false)),
        (A::C1B, endpoint(Way::Peer, VC1B, BR1, true)),
        (A::C1C, endpoint(Way::Neigh, BR1, BR1, true)),
        (A::C2, endpoint(Way::Neigh, BR2, BR2, false)),
        (A::C3, endpoint(Way::Peer, VC3, BR3, false)),
        (A::BY_STACK, endpoint(Way::Stack, IfIndex(0), IfIndex(0), false)),
    ]
    .into();
}

fn publish<A: Places>(world: &mut World<A>) {
    use Protocol::{Tcp, Udp};
    world.publish(rule(Tcp, A::ANY, 8_080, A::C1, 80));
    world.publish(rule(Udp, A::ANY, 8_080, A::C1, 80));
    world.publish(rule(Udp, A::ANY, 53, A::C1, 53));
    world.publish(rule(Tcp, A::HOST2, 443, A::C1B, 443));
    world.publish(rule(Tcp, A::ANY, 444, A::C1C, 443));
    world.publish(rule(Tcp, A::ANY, 9_000, A::BY_STACK, 90));
    world.publish(rule(Udp, A::ANY, 9_000, A::BY_STACK, 90));
    world.publish(rule(Tcp, A::ANY, 9_001, A::LOST, 90));
    world.publish(Rule {
        length: 16,
        ..rule(Udp, A::HOST, 20_000, A::C2, 30_000)
    });
    // A range that ends behind the last port there is.
    world.publish(Rule {
        length: 2,
        ..rule(Tcp, A::ANY, 7_000, A::C1, 65_535)
    });
    let limited = world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..rule(Tcp, A::ANY, 22, A::C1, 22)
    });
    world.allow.push((limited, A::BEYOND_UP1, A::ALLOWED));
    world.allow.push((limited, A::NEAR, A::BITS));
    // A slot that still names a rule that is gone.
    let gone = world.publish(rule(Tcp, A::ANY, 9_002, A::C1, 90));
    world.retire(gone);
    // A port of several addresses.
    world.publish(rule(Tcp, A::HOST, 8_443, A::C1, 443));
    world.publish(rule(Tcp, A::HOST2, 8_443, A::C2, 443));
    world.publish(rule(Tcp, A::ANY, 8_444, A::C3, 443));
    if let Some(mapped) = A::MAPPED {
        world.publish(rule(Tcp, A::ANY, 9_003, mapped, 90));
    }
}

fn networks<A: Places>() -> Vec<(A, u32, Network<A>)> {
    let network = |(prefix, length, bridge, gateway)| {
        let network = Network {
            bridge,
            gateway,
            flags: match bridge {
                BR2 => Network::<A>::MAPPINGS | Network::<A>::egress(2),
                BR3 => Network::<A>::egress(1),
                _ => 0,
            },
        };
        (prefix, length, network)
    };
    A::NETWORKS.map(network).to_vec()
}

const fn range(first: u16, last: u16) -> PortRange {
    PortRange {
        first: Port(first),
        last: Port(last),
    }
}

fn rule<A: Places>(protocol: Protocol, host: A, host_port: u16, target: A, target_port: u16) -> Rule<A> {
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

fn uplink<A: Places>(out: IfIndex, address: A) -> Interface<A> {
    Interface {
        role: Role::Uplink as u8,
        way: Way::Neigh as u8,
        out,
        address,
        ..Interface::default()
    }
}

fn behind<A: Places>(role: Role, way: Way, out: IfIndex, bridge: IfIndex, isolated: bool) -> Interface<A> {
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

/// The port's addresses are known; of one that is not marked so, those that it owns are others' no more.
fn known<A: Places>(port: Interface<A>) -> Interface<A> {
    Interface {
        flags: port.flags | Interface::<A>::KNOWN,
        ..port
    }
}

fn endpoint<A: Places>(way: Way, out: IfIndex, bridge: IfIndex, isolated: bool) -> Endpoint<A> {
    Endpoint {
        out,
        bridge,
        gateway: gateway(bridge),
        way: way as u8,
        flags: if isolated { Interface::ISOLATED } else { 0 },
        pad: [0; 2],
    }
}

fn gateway<A: Places>(bridge: IfIndex) -> A {
    match bridge {
        BR1 => A::GATEWAY1,
        BR2 => A::GATEWAY2,
        BR3 => A::GATEWAY3,
        _ => A::ANY,
    }
}
