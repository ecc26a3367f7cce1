use super::*;
use crate::maps::{Address, Port, PortSlots, Rule, RuleId, SharedKey, Slot};

mod ipv6;

const HOST: Address = Address(0xc0a8_3202);
const LOCALHOST: Address = Address(0x7f00_0001);
const C1: Address = Address(0xac1e_0102);
const NETNS: u64 = 7;
const MARK: u32 = 0x6e6d_0001;

/// A host that publishes TCP port 8080 of any address to port 80 of a container.
struct Machine {
    rule: Rule,
    knows_container: bool,
}

impl Machine {
    fn new() -> Self {
        Self {
            rule: Rule {
                target: C1,
                host_port: Port(8080),
                target_port: Port(80),
                length: 2,
                protocol: Protocol::Tcp.number(),
                flags: Rule::LIVE | Rule::ALLOW_LIST,
                ..Rule::default()
            },
            knows_container: true,
        }
    }
}

impl Rules for Machine {
    type Ip = Address;

    fn slot(&self, index: u32) -> Slot {
        let ports = self.rule.host_port.0..=self.rule.last_port().0;
        let is_published =
            |port| PortSlots::index(Protocol::Tcp, Port(port)).is_some_and(|slot| slot == index);
        if ports.into_iter().any(is_published) {
            Slot(1)
        } else {
            Slot::EMPTY
        }
    }

    fn shared(&self, _key: &SharedKey) -> Option<RuleId> {
        None
    }

    fn rule(&self, id: RuleId) -> Option<Rule> {
        (id == RuleId(1)).then_some(self.rule)
    }
}

impl Host for Machine {
    fn has_address(&self, address: Address) -> bool {
        address == HOST
    }

    fn knows_container(&self, address: Address) -> bool {
        self.knows_container && address == C1
    }

    fn settings(&self) -> Settings {
        Settings {
            netns_cookie: NETNS,
            socket_mark: MARK,
            ..Settings::default()
        }
    }
}

#[derive(Clone, Copy)]
struct Socket {
    source: Address,
    device: IfIndex,
    mark: u32,
    netns: u64,
}

const UNBOUND: Socket = Socket {
    source: Address::ANY,
    device: IfIndex(0),
    mark: 0,
    netns: NETNS,
};

impl Caller<Address> for Socket {
    fn source(&self) -> Address {
        self.source
    }

    fn device(&self) -> IfIndex {
        self.device
    }

    fn mark(&self) -> u32 {
        self.mark
    }

    fn netns(&self) -> u64 {
        self.netns
    }
}

const fn at(address: Address, port: u16) -> Place {
    Place::new(address, Port(port))
}

fn to_container(origin: Address) -> Detour {
    Detour {
        origin: at(origin, 8080),
        target: at(C1, 80),
    }
}

fn decide(caller: Socket, to: Place) -> Option<Detour> {
    detour(&Machine::new(), &caller, Protocol::Tcp, to)
}

#[test]
fn a_published_port_of_the_host_leads_straight_to_the_container() {
    for address in [HOST, LOCALHOST, Address(0x7f12_3456)] {
        assert_eq!(decide(UNBOUND, at(address, 8080)), Some(to_container(address)));
    }
    let second = decide(UNBOUND, at(HOST, 8081)).map(|detour| detour.target);
    assert_eq!(second, Some(at(C1, 81)));
}

#[test]
fn what_is_not_published_or_not_of_this_host_is_left_alone() {
    assert_eq!(decide(UNBOUND, at(HOST, 8082)), None);
    assert_eq!(decide(UNBOUND, at(Address(0x0808_0808), 8080)), None);
    let udp = detour(&Machine::new(), &UNBOUND, Protocol::Udp, at(HOST, 8080));
    assert_eq!(udp, None);
}

#[test]
fn sockets_that_only_the_proxy_can_serve_are_left_alone() {
    let left = [
        Socket {
            netns: NETNS + 1,
            ..UNBOUND
        },
        Socket {
            mark: MARK,
            ..UNBOUND
        },
        Socket {
            device: IfIndex(1),
            ..UNBOUND
        },
        Socket {
            source: LOCALHOST,
            ..UNBOUND
        },
    ];
    for caller in left {
        assert_eq!(decide(caller, at(HOST, 8080)), None);
    }
    let unknown = Machine {
        knows_container: false,
        ..Machine::new()
    };
    assert_eq!(detour(&unknown, &UNBOUND, Protocol::Tcp, at(HOST, 8080)), None);
}

#[test]
fn the_unspecified_address_is_the_sockets_own() {
    let bound = Socket {
        source: HOST,
        ..UNBOUND
    };
    assert_eq!(
        decide(UNBOUND, at(Address::ANY, 8080)),
        Some(to_container(LOCALHOST))
    );
    assert_eq!(decide(bound, at(Address::ANY, 8080)), Some(to_container(HOST)));
}

#[test]
fn the_source_stays_what_it_was_without_the_detour() {
    let from = |caller: Socket, address| source(&caller, &decide(caller, at(address, 8080)).unwrap());
    let bound = Socket {
        source: Address(0xac1e_0101),
        ..UNBOUND
    };
    assert_eq!(from(UNBOUND, HOST), Some(HOST));
    assert_eq!(from(UNBOUND, LOCALHOST), None);
    assert_eq!(from(bound, HOST), None);
}

#[test]
fn a_detour_is_current_until_its_rule_leads_elsewhere() {
    let detour = to_container(HOST);
    let mut machine = Machine::new();
    assert!(is_current(&machine, Protocol::Tcp, &detour));
    assert!(!is_current(&machine, Protocol::Udp, &detour));
    machine.rule.target = Address(0xac1e_0103);
    assert!(!is_current(&machine, Protocol::Tcp, &detour));
    machine.rule = Rule {
        target_port: Port(8000),
        ..Machine::new().rule
    };
    assert!(!is_current(&machine, Protocol::Tcp, &detour));
    machine.rule.flags = 0;
    assert!(!is_current(&machine, Protocol::Tcp, &detour));
}

fn numbered(number: u16) -> Detour {
    Detour {
        origin: at(HOST, 1_000 + number),
        target: at(C1, number),
    }
}

#[test]
fn answers_of_every_target_are_told_apart() {
    let mut detours = Detours::default();
    for number in 1..=8 {
        assert!(detours.take(&numbered(number)));
        assert!(detours.take(&numbered(number)), "the same again");
    }
    for number in 1..=8 {
        assert_eq!(detours.to(at(C1, number)), Some(numbered(number)));
    }
    assert!(!detours.take(&numbered(9)), "there is no room for it");
    assert_eq!(detours.to(at(C1, 9)), None);
    detours.forget(at(C1, 3));
    assert_eq!(detours.to(at(C1, 3)), None);
    assert!(detours.take(&numbered(9)));
}

#[test]
fn one_target_has_one_origin() {
    let mut detours = Detours::default();
    assert!(detours.take(&numbered(1)));
    let other = Detour {
        origin: at(LOCALHOST, 1_001),
        ..numbered(1)
    };
    assert!(!detours.take(&other));
    assert_eq!(detours.to(at(C1, 1)), Some(numbered(1)));
    detours.forget(at(C1, 1));
    assert!(detours.take(&other));
}

#[test]
fn a_port_that_leads_elsewhere_by_now_takes_its_own_place() {
    let mut detours = Detours::default();
    for number in 1..=8 {
        assert!(detours.take(&numbered(number)));
    }
    let moved = Detour {
        target: at(Address(0xac1e_0103), 4),
        ..numbered(4)
    };
    assert!(detours.take(&moved));
    assert_eq!(detours.to(moved.target), Some(moved));
    assert_eq!(detours.to(at(C1, 4)), None);
}

#[test]
fn an_empty_place_is_no_target() {
    assert_eq!(Detours::<Address>::default().to(Place::default()), None);
}
