//! Both families' flow tables: of one size, swept in one lap, purged in one, listed as one.

use std::{collections::BTreeMap, path::Path, process::Command};

use netmap_common::maps::{
    Address, Address6, Endpoint, Flow, FlowKey, Generation, IfIndex, Interface, Kind, Port, Protocol, Role,
    Rule, RuleId, Seconds, Side, Way,
};
use netmap_user::{
    dataplane::{Dataplane, LoadOptions},
    expiry::{Gone, Purge, Sweeper, Swept},
    maps::{Family, FamilyMaps, Maps},
};

use super::lab::Lab;

const NOW: Seconds = Seconds(1_000_000);
const ENTRIES: u32 = 16_384;
/// More than a slice has, twice as many entries.
const FLOWS: u32 = 3_000;

fn load(lab: &Lab) -> (Dataplane, Maps) {
    let dataplane = Dataplane::load(&LoadOptions {
        flow_entries: Some(ENTRIES),
        ..lab.options()
    })
    .unwrap();
    (dataplane, Maps::open(&lab.pin_dir).unwrap())
}

/// Both entries of a datagram's flow to a published port, answered, its last packet at `last_seen`.
fn twins<A: Family>(
    [client, host, container]: [A; 3],
    port: u32,
    last_seen: Seconds,
    (rule, generation): (RuleId, Generation),
) -> [(FlowKey<A>, Flow<A>); 2] {
    let port = Port(u16::try_from(port).unwrap());
    let key = FlowKey::new(Protocol::Udp, client, port, host, Port(53));
    let to = FlowKey {
        dst: container,
        ..key
    };
    let original = Flow {
        to,
        nonce: u32::from(port.0),
        rule,
        generation,
        way: Way::Peer as u8,
        kind: Kind::Published as u8,
        out: IfIndex(u32::from(port.0) % 3),
        last_seen,
        created: Seconds(last_seen.0 - 10),
        packets: 3,
        ..bytemuck::Zeroable::zeroed()
    };
    let reply = Flow {
        to: key.reversed(),
        side: Side::Reply as u8,
        out: IfIndex(9),
        ..original
    };
    [(key, original), (to.reversed(), reply)]
}

const V4: [Address; 3] = [Address(0xcb00_7109), Address(0xc633_6401), Address(0xac1e_0102)];
const V6: [Address6; 3] = [
    Address6([0x2001_0db8, 0, 9, 9]),
    Address6([0x2001_0db8, 0, 0, 1]),
    Address6([0xfd00_0000, 0, 0, 2]),
];

/// A third idle, a third of a rule that is gone, a third neither; what neither is.
fn fill<A: Family>(
    maps: &mut FamilyMaps<A>,
    ends: [A; 3],
    live: Generation,
) -> BTreeMap<FlowKey<A>, Flow<A>> {
    let rule = Rule {
        flags: Rule::LIVE,
        generation: live,
        ..bytemuck::Zeroable::zeroed()
    };
    maps.rules.set(RuleId(7), rule).unwrap();
    let mut stays = BTreeMap::new();
    for port in 1..=FLOWS {
        let flow = match port % 3 {
            0 => twins(ends, port, Seconds(NOW.0 - 10_000), (RuleId(7), live)),
            1 => twins(ends, port, NOW, (RuleId(7), Generation(live.0 + 1))),
            _ => {
                let flow = twins(ends, port, NOW, (RuleId(7), live));
                stays.extend(flow);
                flow
            }
        };
        let (keys, flows): (Vec<_>, Vec<_>) = flow.into_iter().unzip();
        maps.flows.insert_all(&keys, &flows).unwrap();
    }
    stays
}

fn left<A: Family>(maps: &FamilyMaps<A>) -> BTreeMap<FlowKey<A>, Flow<A>> {
    let mut left = BTreeMap::new();
    maps.flows
        .for_each_flow(|key, flow| {
            left.insert(*key, *flow);
        })
        .unwrap();
    left
}

#[test]
fn the_number_of_flow_entries_is_that_of_either_table() {
    Lab::run(|lab| {
        let (dataplane, maps) = load(lab);
        assert_eq!(maps.v4.flows.capacity().unwrap(), ENTRIES);
        assert_eq!(maps.v6.flows.capacity().unwrap(), ENTRIES);
        drop((dataplane, maps));
        // Without a number they stay as they are.
        let as_it_is = LoadOptions {
            flow_entries: None,
            ..lab.options()
        };
        drop(Dataplane::load(&as_it_is).unwrap());
        let maps = Maps::open(&lab.pin_dir).unwrap();
        assert_eq!(maps.v6.flows.capacity().unwrap(), ENTRIES);
    });
}

#[test]
fn one_lap_goes_over_both_tables_and_each_by_its_own_rules() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        // The same number is another rule in each family.
        let stays4 = fill(&mut maps.v4, V4, Generation(2));
        let stays6 = fill(&mut maps.v6, V6, Generation(40));
        let mut sweeper = Sweeper::default();
        let mut slices = 0;
        let swept = loop {
            let slice = sweeper.slice(&mut maps, NOW).unwrap();
            slices += 1;
            assert!(slice.swept.entries <= 1_024 && slices < 1_000, "{slice:?}");
            if let Some(swept) = slice.lap {
                break swept;
            }
        };
        let third = FLOWS as usize / 3;
        // Of a pair that is ended at its first half, the other may not be read any more.
        assert!(
            swept.entries >= 2 * third * 4 && swept.entries <= 4 * FLOWS as usize,
            "{swept:?}"
        );
        assert_eq!((swept.ended, swept.orphans), (2 * 2 * third, 0));
        assert_eq!(left(&maps.v4), stays4);
        assert_eq!(left(&maps.v6), stays6);

        // The next lap begins with IPv4's again.
        let laps = std::iter::repeat_with(|| sweeper.slice(&mut maps, NOW).unwrap().lap);
        let next = laps.take(1_000).find_map(|lap| lap).unwrap();
        let expected = Swept {
            entries: stays4.len() + stays6.len(),
            ..Swept::default()
        };
        assert_eq!(next, expected);
    });
}

#[test]
fn a_purge_ends_in_each_table_what_is_gone_of_its_family() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        let none = (RuleId(0), Generation(0));
        for port in 1..=FLOWS {
            for (key, flow) in twins(V4, port, NOW, none) {
                maps.v4.flows.insert(key, flow).unwrap();
            }
            for (key, flow) in twins(V6, port, NOW, none) {
                maps.v6.flows.insert(key, flow).unwrap();
            }
        }
        let mut purge = Purge::default();
        purge.begin();
        let gone = Gone {
            v4: &|_, flow| flow.out == IfIndex(1),
            v6: &|_, flow| flow.out == IfIndex(2),
        };
        let ended = std::iter::repeat_with(|| purge.slice(&mut maps, &gone).unwrap());
        assert_eq!(
            ended.take(1_000).find_map(|ended| ended),
            Some(2 * FLOWS as usize / 3)
        );
        assert!(!purge.is_running());
        let outs = |out: &mut dyn Iterator<Item = IfIndex>| -> Vec<u32> {
            let mut outs: Vec<_> = out.map(|out| out.0).collect();
            outs.sort_unstable();
            outs.dedup();
            outs
        };
        let (v4, v6) = (left(&maps.v4), left(&maps.v6));
        assert_eq!((v4.len(), v6.len()), (4_000, 4_000));
        assert_eq!(outs(&mut v4.values().map(|flow| flow.out)), [0, 2, 9]);
        assert_eq!(outs(&mut v6.values().map(|flow| flow.out)), [0, 1, 9]);
    });
}

fn netmap(pin_dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_netmap"))
        .args(arguments)
        .arg("--pin-dir")
        .arg(pin_dir)
        // Where no daemon listens.
        .arg("--socket")
        .arg(std::env::temp_dir().join("no-netmap-here/netmap.sock"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_commands_list_both_families() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        for (key, flow) in twins(V4, 5, NOW, (RuleId(0), Generation(0))) {
            maps.v4.flows.insert(key, flow).unwrap();
        }
        for (key, flow) in twins(V6, 6, NOW, (RuleId(0), Generation(0))) {
            maps.v6.flows.insert(key, flow).unwrap();
        }
        let lo = IfIndex(1);
        let uplink = |address| Interface {
            role: Role::Uplink as u8,
            address,
            ..Interface::default()
        };
        let v4 = BTreeMap::from([(lo, uplink(V4[1]))]);
        maps.v4.interfaces.replace(&v4).unwrap();
        let endpoint = Endpoint {
            gateway: V6[1],
            ..bytemuck::Zeroable::zeroed()
        };
        maps.v6
            .endpoints
            .replace(&BTreeMap::from([(V6[2], endpoint)]))
            .unwrap();

        let flows: serde_json::Value =
            serde_json::from_str(&netmap(&lab.pin_dir, &["flows", "--json"])).unwrap();
        assert_eq!((&flows["total"], &flows["entries"]), (&2.into(), &4.into()));
        let sources: Vec<_> = flows["flows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flow| &flow["original"]["src"])
            .collect();
        assert_eq!(sources, ["203.0.113.9", "2001:db8::9:0:9"]);
        let text = netmap(&lab.pin_dir, &["flows"]);
        assert!(text.contains("]:6->[2001:db8::1]:53"), "{text}");

        let status: serde_json::Value =
            serde_json::from_str(&netmap(&lab.pin_dir, &["status", "--json"])).unwrap();
        for (table, entries) in [
            ("flows", 2),
            ("flows6", 2),
            ("endpoints", 0),
            ("endpoints6", 1),
            ("interfaces", 1),
        ] {
            assert_eq!(status["tables"][table]["entries"], entries, "{table}");
        }
        assert_eq!(status["tables"]["flows6"]["capacity"], ENTRIES);
        let expected = serde_json::json!([{"interface": "lo", "ipv4": "198.51.100.1", "ipv6": null}]);
        assert_eq!(status["uplinks"], expected);
        let text = netmap(&lab.pin_dir, &["status"]);
        assert!(
            text.contains("lo IPv4 as 198.51.100.1; IPv6 not carried: it has no address"),
            "{text}"
        );
    });
}
