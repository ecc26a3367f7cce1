//! What IPv6 has beside IPv4: addresses with a zone, and containers of the other family.

use super::super::*;
use super::NETNS;
use crate::maps::{Address, Address6, Port, Rule, RuleId, SharedKey, Slot};

const HOST: Address6 = Address6([0x2001_0db8, 0, 0, 1]);
const LINK: Address6 = Address6([0xfe80_0000, 0, 0, 1]);
const C1: Address6 = Address6([0xfd00_0001, 0, 0, 2]);

/// A host that publishes TCP port 8080 of any address to port 80 of `container`, which it knows.
struct Machine {
    container: Address6,
}

impl Rules for Machine {
    type Ip = Address6;

    fn slot(&self, index: u32) -> Slot {
        if index == 8080 { Slot(1) } else { Slot::EMPTY }
    }

    fn shared(&self, _key: &SharedKey<Address6>) -> Option<RuleId> {
        None
    }

    fn rule(&self, _id: RuleId) -> Option<Rule<Address6>> {
        Some(Rule {
            target: self.container,
            host_port: Port(8080),
            target_port: Port(80),
            length: 1,
            protocol: Protocol::Tcp.number(),
            flags: Rule::LIVE,
            ..Rule::default()
        })
    }
}

impl Host for Machine {
    fn has_address(&self, address: Address6) -> bool {
        [HOST, LINK].contains(&address)
    }

    fn knows_container(&self, _address: Address6) -> bool {
        true
    }

    fn settings(&self) -> Settings {
        Settings {
            netns_cookie: NETNS,
            socket_mark: 1,
            ..Settings::default()
        }
    }
}

/// A socket that is bound to this address.
struct Socket(Address6);

impl Caller<Address6> for Socket {
    fn source(&self) -> Address6 {
        self.0
    }

    fn device(&self) -> IfIndex {
        IfIndex(0)
    }

    fn mark(&self) -> u32 {
        0
    }

    fn netns(&self) -> u64 {
        NETNS
    }
}

fn decide(container: Address6, from: Address6, to: Address6) -> Option<Detour<Address6>> {
    let place = Place::new(to, Port(8080));
    detour(&Machine { container }, &Socket(from), Protocol::Tcp, place)
}

#[test]
fn the_hosts_own_address_stays_the_source_and_localhost_gives_way_to_the_bridges() {
    for (to, stays) in [(HOST, Some(HOST)), (Address6::LOCALHOST, None)] {
        let detour = decide(C1, Address6::ANY, to).unwrap();
        assert_eq!(detour.origin, Place::new(to, Port(8080)));
        assert_eq!(detour.target, Place::new(C1, Port(80)));
        assert_eq!(source(&Socket(Address6::ANY), &detour), stays);
        assert_eq!(source(&Socket(HOST), &detour), None);
    }
}

#[test]
fn link_local_addresses_are_left_to_the_proxy() {
    assert_eq!(decide(C1, Address6::ANY, LINK), None);
    assert_eq!(decide(C1, LINK, HOST), None);
    assert_eq!(decide(C1, Address6::LOCALHOST, HOST), None);
}

#[test]
fn a_container_of_ipv4_is_left_to_the_proxy() {
    let mapped = Address6::mapped(Address(0xac1e_0102));
    assert_eq!(decide(mapped, Address6::ANY, HOST), None);
}
