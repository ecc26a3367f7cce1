//! What is written into the maps comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use aya::{maps::MapData, programs::ProgramInfo};
use netmap_common::maps::{
    Address, Endpoint, Flow, FlowKey, Hook, IfIndex, Interface, Network, Port, PortSlots, Protocol, Reason,
    Rule, RuleId, Settings, SharedKey, Slot, name, program, socket,
};
use netmap_user::maps::{Changes, Maps, Pins};

use super::lab::Lab;

#[test]
fn everything_is_loaded_pinned_and_counted() {
    Lab::run(|lab| {
        let dataplane = lab.load();
        assert!(!dataplane.adopted());
        let stats = dataplane.programs().unwrap();
        let names: Vec<_> = stats.iter().map(|stats| stats.name).collect();
        let expected = [
            program::UPLINK_IN,
            program::UPLINK_OUT,
            program::PORT_IN,
            program::BRIDGE_IN,
            program::UPLINK_XDP,
            program::STEER,
            program::RESUME,
            program::HOLD,
            program::HOLD6,
            program::GETPEERNAME4,
            program::GETPEERNAME6,
            program::RECVMSG4,
            program::RECVMSG6,
            program::SENDMSG4,
            program::SENDMSG6,
            program::CONNECT4,
            program::CONNECT6,
        ];
        assert_eq!(names, expected);
        for stats in stats {
            assert!(stats.verified_instructions.unwrap() > 0, "{}", stats.name);
        }
        for map in name::ALL {
            assert!(Pins::new(&lab.pin_dir).map(map).exists(), "{map}");
        }
        let maps = Maps::open(&lab.pin_dir).unwrap();
        let counters = maps.counters.all().unwrap();
        assert_eq!(counters.len(), Hook::ALL.len() * Reason::ALL.len());
        assert!(counters.iter().all(|(_, _, count)| count.packets == 0));
    });
}

#[test]
fn programs_write_only_what_is_theirs_and_constants_are_frozen() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let pins = Pins::new(&lab.pin_dir);
        let written: Vec<_> = name::ALL
            .into_iter()
            .filter(|name| {
                let map = MapData::from_pin(pins.map(name)).unwrap();
                // BPF_F_RDONLY_PROG
                described(&map, "map_flags:") & 0x80 == 0
            })
            .collect();
        let families = [name::Names::V4, name::Names::V6].map(|names| {
            let theirs = [
                names.flows,
                names.fragments,
                names.containers,
                names.sources,
                names.openings,
            ];
            let passing = [names.clients, names.detours, names.hop, names.room];
            [&theirs[..], &passing].concat()
        });
        let shared = [
            name::HELD,
            name::HOLDS,
            name::EVENTS,
            name::TOLD,
            name::MESSAGES,
            name::COUNTERS,
            name::PROBING,
            name::PLACE6,
            name::TAILS,
            name::TAILS_XDP,
            name::SOCKETS,
        ];
        let expected = [families.concat(), shared.to_vec()].concat();
        assert_eq!(BTreeSet::from_iter(written), BTreeSet::from_iter(expected));
        let program = ProgramInfo::from_pin(pins.program(program::UPLINK_IN)).unwrap();
        let constants: Vec<_> = program
            .map_ids()
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|id| MapData::from_id(id).unwrap())
            .filter(|map| map.info().unwrap().name_as_str().unwrap().contains("rodata"))
            .collect();
        assert!(!constants.is_empty());
        for map in constants {
            assert_eq!(described(&map, "frozen:"), 1);
        }
    });
}

/// What the kernel says of an open map.
fn described(map: &MapData, field: &str) -> u64 {
    let number = map.fd().as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let value = value.trim();
    match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => value.parse().unwrap(),
    }
}

#[test]
fn ten_thousand_slots_are_set_within_ten_milliseconds() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let first = PortSlots::index(Protocol::Udp, Port(20_000)).unwrap();
        let fastest = (1..=5)
            .map(|rule| {
                let start = Instant::now();
                maps.v4
                    .slots
                    .set_slots(first, 10_000, RuleId(rule).into())
                    .unwrap();
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(fastest < Duration::from_millis(10), "{fastest:?}");
        assert_eq!(maps.v4.slots.slot(first - 1).unwrap(), Slot::EMPTY);
        assert_eq!(maps.v4.slots.slot(first).unwrap(), Slot(5));
        assert_eq!(maps.v4.slots.slot(first + 9_999).unwrap(), Slot(5));
        assert_eq!(maps.v4.slots.slot(first + 10_000).unwrap(), Slot::EMPTY);
        let all = maps.v4.slots.all().unwrap();
        assert_eq!(all.len(), 2 * 65_536);
        assert_eq!(all.iter().filter(|slot| **slot == Slot(5)).count(), 10_000);
        let error = maps
            .v4
            .slots
            .set_slots(2 * 65_536 - 1, 2, Slot(1))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("SLOTS") && error.contains("131072 cells"),
            "{error}"
        );
        assert_eq!(maps.v4.slots.slot(2 * 65_536 - 1).unwrap(), Slot::EMPTY);
    });
}

#[test]
fn rules_and_settings_come_back_as_they_were_written() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let rule = Rule {
            host_port: Port(8080),
            target_port: Port(80),
            length: 1,
            flags: Rule::LIVE,
            ..Rule::default()
        };
        let ended = Rule { flags: 0, ..rule };
        maps.v4.rules.set(RuleId(7), rule).unwrap();
        maps.v4.rules.set(RuleId(9), ended).unwrap();
        maps.v4.rules.set(RuleId(65_535), rule).unwrap();
        assert!(maps.v4.rules.set(RuleId(65_536), rule).is_err());
        assert_eq!(maps.v4.rules.get(RuleId(9)).unwrap(), ended);
        assert_eq!(
            maps.v4.rules.live().unwrap(),
            [(RuleId(7), rule), (RuleId(65_535), rule)]
        );
        let settings = Settings {
            netns_cookie: 42,
            secret: [1, 2],
            ..Settings::default()
        };
        maps.set_settings(settings).unwrap();
        // Another handle sees the same map.
        assert_eq!(Maps::open(&lab.pin_dir).unwrap().settings().unwrap(), settings);
    });
}

#[test]
fn every_flow_is_shown_once_and_removed_in_bulk() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let key = |number: u16| FlowKey::new(Protocol::Udp, Address(1), Port(number), Address(2), Port(53));
        for number in 1..=6_000 {
            let flow = Flow {
                nonce: u32::from(number),
                ..Flow::default()
            };
            maps.v4.flows.insert(key(number), flow).unwrap();
        }
        assert_eq!(maps.v4.flows.count().unwrap(), 6_000);
        assert_eq!(maps.v4.flows.capacity().unwrap(), 8_192);
        let mut seen = BTreeSet::new();
        maps.v4
            .flows
            .for_each_flow(|key, flow| {
                assert_eq!(u32::from(key.src_port.0), flow.nonce);
                assert!(seen.insert(*key), "shown twice: {key:?}");
            })
            .unwrap();
        assert_eq!(seen.len(), 6_000);
        // Keys that are not there do not stop it: first, in between and last.
        let mut keys: Vec<_> = (1..=3_000).map(|number| key(number * 2)).collect();
        keys.insert(0, key(60_000));
        keys.insert(1_500, key(60_001));
        keys.push(key(60_002));
        assert_eq!(maps.v4.flows.remove_all(&keys).unwrap(), 3_000);
        assert_eq!(maps.v4.flows.count().unwrap(), 3_000);
        assert_eq!(maps.v4.flows.get(&key(2)).unwrap(), None);
        assert_eq!(
            maps.v4.flows.get(&key(3)).unwrap().map(|flow| flow.nonce),
            Some(3)
        );
        assert!(maps.v4.flows.remove(&key(3)).unwrap());
        assert!(!maps.v4.flows.remove(&key(3)).unwrap());
    });
}

#[test]
fn a_full_table_says_so() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let desired = (1..=16_384)
            .map(|number| (Address(number), IfIndex(1).into()))
            .collect();
        maps.v4.locals.replace(&desired).unwrap();
        let error = maps
            .v4
            .locals
            .insert(Address(20_000), IfIndex(1).into())
            .unwrap_err();
        assert_eq!(error.to_string(), "the table LOCALS is full");
    });
}

#[test]
fn tables_are_brought_to_what_is_wanted() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let changes = |inserted, updated, removed| Changes {
            inserted,
            updated,
            removed,
        };

        let local = |address, interface| (Address(address), IfIndex(interface).into());
        let first = BTreeMap::from([local(1, 1), local(2, 2)]);
        let second = BTreeMap::from([local(2, 9), local(3, 3)]);
        assert_eq!(maps.v4.locals.replace(&first).unwrap(), changes(2, 0, 0));
        assert_eq!(maps.v4.locals.replace(&second).unwrap(), changes(1, 1, 1));
        assert!(maps.v4.locals.replace(&second).unwrap().is_empty());
        assert_eq!(
            maps.v4
                .locals
                .all()
                .unwrap()
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            second
        );

        let networks = BTreeMap::from([
            (
                "10.0.0.0/8".parse().unwrap(),
                Network {
                    bridge: IfIndex(1),
                    ..Network::default()
                },
            ),
            (
                "10.1.0.0/16".parse().unwrap(),
                Network {
                    bridge: IfIndex(2),
                    ..Network::default()
                },
            ),
        ]);
        assert_eq!(maps.v4.networks.replace(&networks).unwrap(), changes(2, 0, 0));
        assert_eq!(maps.v4.networks.all().unwrap(), networks);
        assert_eq!(
            maps.v4.networks.replace(&BTreeMap::new()).unwrap(),
            changes(0, 0, 2)
        );

        let endpoints = BTreeMap::from([(Address(5), Endpoint::default())]);
        assert_eq!(maps.v4.endpoints.replace(&endpoints).unwrap(), changes(1, 0, 0));
        let interfaces = BTreeMap::from([(IfIndex(5), Interface::default())]);
        assert_eq!(maps.v4.interfaces.replace(&interfaces).unwrap(), changes(1, 0, 0));

        let mut words = vec![0; 2 * 1_024];
        words[3] = 0b1001;
        assert_eq!(maps.reserved.replace(&words).unwrap(), 1);
        assert_eq!(maps.reserved.replace(&words).unwrap(), 0);
        assert!(maps.reserved.contains(Protocol::Tcp, Port(3 * 64 + 3)).unwrap());
        assert!(!maps.reserved.contains(Protocol::Tcp, Port(3 * 64 + 2)).unwrap());
        assert!(!maps.reserved.contains(Protocol::Udp, Port(3 * 64 + 3)).unwrap());
    });
}

#[test]
fn allow_lists_are_kept_apart_by_rule() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let sources = "192.0.2.0/24".parse().unwrap();
        let everybody = "0.0.0.0/0".parse().unwrap();
        maps.v4.allow.insert(RuleId(1), sources).unwrap();
        maps.v4.allow.insert(RuleId(2), everybody).unwrap();
        assert_eq!(maps.v4.allow.of(RuleId(1)).unwrap(), BTreeSet::from([sources]));
        assert_eq!(maps.v4.allow.of(RuleId(2)).unwrap(), BTreeSet::from([everybody]));
        assert!(!maps.v4.allow.remove(RuleId(2), sources).unwrap());
        assert!(maps.v4.allow.remove(RuleId(2), everybody).unwrap());
        let desired = BTreeSet::from([(RuleId(3), sources)]);
        let changes = maps.v4.allow.replace(&desired).unwrap();
        assert_eq!((changes.inserted, changes.removed), (1, 1));
        assert_eq!(maps.v4.allow.all().unwrap(), desired);
    });
}

#[test]
fn shared_ports_and_sockets_can_be_set_and_cleared() {
    Lab::run(|lab| {
        let _dataplane = lab.load();
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        let key = SharedKey {
            host: Address(1),
            port: Port(80),
            protocol: 6,
            pad: 0,
        };
        maps.v4.shared.insert(key, RuleId(4)).unwrap();
        assert_eq!(maps.v4.shared.all().unwrap(), [(key, RuleId(4))]);
        assert!(maps.v4.shared.remove(&key).unwrap());
        assert_eq!(maps.v4.shared.get(&key).unwrap(), None);

        super::lab::sh("ip link set lo up");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        maps.sockets.set(socket::TCP4, listener.as_fd()).unwrap();
        assert!(maps.sockets.clear(socket::TCP4).unwrap());
        assert!(!maps.sockets.clear(socket::TCP4).unwrap());
        assert!(maps.sockets.set(4, listener.as_fd()).is_err());
    });
}
