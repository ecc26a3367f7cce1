//! A flow table with many entries: listed and swept a part at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use netmap_common::maps::{
    Address, Flow, FlowKey, Generation, IfIndex, Kind, Port, Protocol, Rule, RuleId, Seconds, Side, TcpSeen,
    Way,
};
use netmap_user::{
    dataplane::{Dataplane, LoadOptions},
    expiry::{Gone, Purge, Sweeper, Swept},
    maps::Maps,
};

use super::lab::Lab;

/// Twice as many entries.
const FLOWS: u32 = 100_000;
const NOW: Seconds = Seconds(1_000_000);
/// No bucket has so many entries beyond the slice's.
const SLICE: usize = 1_024;

fn load(lab: &Lab) -> (Dataplane, Maps) {
    let dataplane = Dataplane::load(&LoadOptions {
        flow_entries: Some(262_144),
        ..lab.options()
    })
    .unwrap();
    (dataplane, Maps::open(&lab.pin_dir).unwrap())
}

/// The key of the packet that opened flow `number`.
fn key(number: u32, protocol: Protocol) -> FlowKey {
    let port = Port(u16::try_from(number % 50_000).unwrap() + 1);
    FlowKey::new(protocol, Address(number), port, Address(2), Port(443))
}

/// Both entries of flow `number`: a container's, answered, its last packet at `last_seen`.
fn twins(number: u32, protocol: Protocol, last_seen: Seconds) -> [(FlowKey, Flow); 2] {
    let from = key(number, protocol);
    let to = FlowKey {
        src: Address(number | 1 << 31),
        ..from
    };
    let original = Flow {
        to,
        nonce: number,
        way: Way::Neigh as u8,
        kind: Kind::Egress as u8,
        // SYN and ACK.
        tcp: TcpSeen(0x12),
        last_seen,
        created: Seconds(last_seen.0.saturating_sub(10)),
        packets: 3,
        ..Flow::default()
    };
    let reply = Flow {
        to: from.reversed(),
        side: Side::Reply as u8,
        ..original
    };
    [(from, original), (to.reversed(), reply)]
}

fn fill(maps: &mut Maps, entries: impl IntoIterator<Item = (FlowKey, Flow)>) {
    let (keys, flows): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    maps.v4.flows.insert_all(&keys, &flows).unwrap();
}

/// The memory that a process has for itself, kilobytes: without the pages of its own file, which are as many as it has code.
fn memory(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_large_and_busy_table_is_listed_once_and_in_bounded_memory() {
    const ASIDE: u32 = 10_000;
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        let flows = |numbers: std::ops::Range<u32>| {
            numbers.flat_map(|number| twins(number, Protocol::Udp, Seconds(1)))
        };
        fill(&mut maps, flows(0..FLOWS));
        let mut listing = Command::new(env!("CARGO_BIN_EXE_netmap"))
            .args(["flows", "--json", "--pin-dir"])
            .arg(&lab.pin_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut peaks = Vec::new();
        let mut output = BufReader::new(listing.stdout.take().unwrap());
        while output.read_line(&mut text).unwrap() > 0 {
            // The pipe is full at each of these, so it still has to be read.
            let rows = peaks.len();
            if text.len() > rows * 8_000_000 + 100_000 {
                peaks.push(memory(listing.id()));
                // It stands within the table: some flows go and others come.
                let base = u32::try_from(rows).unwrap() * ASIDE;
                let gone: Vec<_> = flows(base..base + ASIDE / 10).map(|(key, _)| key).collect();
                assert_eq!(maps.v4.flows.remove_all(&gone).unwrap(), gone.len());
                fill(&mut maps, flows(FLOWS + base..FLOWS + base + ASIDE / 10));
            }
        }
        assert!(listing.wait().unwrap().success());
        assert!(peaks.len() > 3, "only {} bytes", text.len());
        let (first, last) = (peaks[0], peaks[peaks.len() - 1]);
        assert!(last < first + 2_048, "memory grows with the table: {peaks:?} kB");
        assert!(last < 8_192, "{peaks:?} kB");

        let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = listed["flows"].as_array().unwrap();
        assert_eq!(listed["total"], rows.len());
        let mut seen = BTreeSet::new();
        for row in rows {
            let source: std::net::Ipv4Addr = row["original"]["src"].as_str().unwrap().parse().unwrap();
            let source = Address::from(source).0;
            assert!(seen.insert(source), "printed twice: {row}");
            let (original, translated) = (&row["original"], &row["translated"]);
            assert_eq!(original["sport"], key(source, Protocol::Udp).src_port.0, "{row}");
            assert_eq!(translated["sport"], original["sport"], "{row}");
            assert_eq!(row["packets_reply"], 3, "{row}");
        }
        let steady = (0..FLOWS).filter(|number| number % ASIDE >= ASIDE / 10);
        let missing: Vec<_> = steady.filter(|number| !seen.contains(number)).collect();
        assert!(missing.is_empty(), "{} are missing", missing.len());
    });
}

#[test]
fn a_limit_keeps_the_latest_of_a_large_table() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        fill(
            &mut maps,
            (0..FLOWS).flat_map(|number| twins(number, Protocol::Tcp, Seconds(number % 7_919 * 13))),
        );
        let output = Command::new(env!("CARGO_BIN_EXE_netmap"))
            .args(["flows", "--json", "--limit", "20", "--pin-dir"])
            .arg(&lab.pin_dir)
            .output()
            .unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&listed["total"], &listed["entries"]),
            (&FLOWS.into(), &(2 * FLOWS).into())
        );
        let mut latest: Vec<u32> = (0..FLOWS).collect();
        latest.sort_by_key(|number| (std::cmp::Reverse(number % 7_919 * 13), *number));
        let sources = |list: &[serde_json::Value]| -> Vec<u32> {
            let address = |row: &serde_json::Value| -> std::net::Ipv4Addr {
                row["original"]["src"].as_str().unwrap().parse().unwrap()
            };
            list.iter().map(|row| Address::from(address(row)).0).collect()
        };
        assert_eq!(sources(listed["flows"].as_array().unwrap()), latest[..20]);
    });
}

/// Does slices until a lap is over; how many, and what the lap did.
fn lap(sweeper: &mut Sweeper, maps: &mut Maps, now: Seconds) -> (usize, Swept) {
    for slices in 1..=FLOWS as usize {
        let slice = sweeper.slice(maps, now).unwrap();
        assert!(slice.swept.entries <= SLICE, "{slice:?}");
        if let Some(lap) = slice.lap {
            return (slices, lap);
        }
    }
    panic!("the lap does not end");
}

#[test]
fn a_lap_of_slices_ends_what_is_over_and_nothing_else() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        let rule = Rule {
            flags: Rule::LIVE,
            generation: Generation(2),
            ..Rule::default()
        };
        maps.v4.rules.set(RuleId(7), rule).unwrap();
        let ago = |seconds| Seconds(NOW.0 - seconds);
        let of_rule = |entries: [(FlowKey, Flow); 2], generation| {
            entries.map(|(key, flow)| {
                let (rule, generation) = (RuleId(7), Generation(generation));
                (
                    key,
                    Flow {
                        rule,
                        generation,
                        ..flow
                    },
                )
            })
        };
        let (mut stays, mut goes) = (BTreeMap::new(), BTreeMap::new());
        for number in 0..FLOWS {
            let udp = |idle| twins(number, Protocol::Udp, ago(idle));
            let tcp = |idle| twins(number, Protocol::Tcp, ago(idle));
            match number % 10 {
                0 => goes.extend(udp(300)),
                1 => stays.extend(udp(299)),
                2 => stays.extend(tcp(400_000)),
                3 => goes.extend(tcp(432_000)),
                4 => goes.extend(of_rule(udp(1), 1)),
                5 => stays.extend(of_rule(udp(200), 2)),
                // Only the answers had a packet lately.
                6 => {
                    let [(key, original), reply] = udp(10);
                    let last_seen = ago(1_000);
                    stays.extend([
                        (
                            key,
                            Flow {
                                last_seen,
                                ..original
                            },
                        ),
                        reply,
                    ]);
                }
                7 => goes.extend(udp(100).into_iter().skip(1)),
                8 => stays.extend(udp(0).into_iter().skip(1)),
                _ => stays.extend(udp(0)),
            }
        }
        fill(&mut maps, stays.clone());
        fill(&mut maps, goes.clone());

        let mut sweeper = Sweeper::default();
        let (slices, swept) = lap(&mut sweeper, &mut maps, NOW);
        let tenth = FLOWS as usize / 10;
        assert!(slices * SLICE >= stays.len() + 2 * tenth, "{slices} slices");
        assert_eq!((swept.ended, swept.orphans), (3 * tenth, tenth));
        let mut left = BTreeMap::new();
        maps.v4
            .flows
            .for_each_flow(|key, flow| {
                left.insert(*key, *flow);
            })
            .unwrap();
        assert!(left == stays, "{} of {} are left", left.len(), stays.len());

        // The next lap begins at the start again, and ends what has come of age since.
        let (_, swept) = lap(&mut sweeper, &mut maps, Seconds(NOW.0 + 1));
        assert_eq!((swept.ended, swept.orphans), (tenth, 0));
        assert_eq!(maps.v4.flows.count().unwrap(), stays.len() - 2 * tenth);
    });
}

#[test]
fn an_entry_that_loses_its_twin_in_old_age_goes_within_sixteen_laps() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        let flows = || (0..5_000).map(|number| twins(number, Protocol::Tcp, Seconds(1)));
        fill(&mut maps, flows().flatten());
        let mut sweeper = Sweeper::default();
        assert_eq!(lap(&mut sweeper, &mut maps, Seconds(1_000)).1.orphans, 0);
        let originals: Vec<_> = flows().map(|[(key, _), _]| key).step_by(5).collect();
        assert_eq!(maps.v4.flows.remove_all(&originals).unwrap(), 1_000);
        let orphans: usize = (1..=16)
            .map(|number| {
                let (_, swept) = lap(&mut sweeper, &mut maps, Seconds(1_000 + 5 * number));
                assert_eq!(swept.ended, 0);
                swept.orphans
            })
            .sum();
        assert_eq!(orphans, 1_000);
        assert_eq!(maps.v4.flows.count().unwrap(), 8_000);
    });
}

#[test]
fn a_purge_ends_all_that_leads_nowhere_also_what_is_lost_meanwhile() {
    Lab::run(|lab| {
        let (_dataplane, mut maps) = load(lab);
        for number in 0..FLOWS {
            let [(from, original), reply] = twins(number, Protocol::Udp, NOW);
            let out = IfIndex(number % 4);
            fill(&mut maps, [(from, Flow { out, ..original }), reply]);
        }
        let mut purge = Purge::default();
        assert!(!purge.is_running());
        purge.begin();
        for _ in 0..10 {
            let is_gone = |_: &FlowKey, flow: &Flow| flow.out == IfIndex(1);
            let gone = Gone {
                v4: &is_gone,
                v6: &|_, _| true,
            };
            assert_eq!(purge.slice(&mut maps, &gone).unwrap(), None);
        }
        purge.begin();
        let is_gone = |_: &FlowKey, flow: &Flow| matches!(flow.out, IfIndex(1 | 2));
        let gone = Gone {
            v4: &is_gone,
            v6: &|_, _| true,
        };
        let ended = std::iter::repeat_with(|| purge.slice(&mut maps, &gone).unwrap())
            .take(1_000)
            .find_map(|ended| ended);
        assert!(!purge.is_running());
        assert_eq!(ended, Some(FLOWS as usize / 2));
        let mut left = 0;
        maps.v4
            .flows
            .for_each_flow(|_, flow| {
                assert!(!is_gone(&FlowKey::default(), flow) && flow.nonce % 4 != 1 && flow.nonce % 4 != 2);
                left += 1;
            })
            .unwrap();
        assert_eq!(left, FLOWS);
    });
}
