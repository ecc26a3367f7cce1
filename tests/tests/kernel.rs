//! What the flow table promises, asked of the real programs and the real map.

use std::{
    collections::BTreeMap,
    hint,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use netmap_common::{
    maps::{Address, Flow, FlowKey, Hook, IfIndex, Port, PortRange, Protocol, Reason},
    nat::testing::World,
};
use netmap_tests::programs::{
    DROP, Frame, Outcome, Programs, REDIRECT, flag,
    scenery::{self, Scenery, address::*, interface::*},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

#[test]
fn ports_towards_one_destination_last_to_the_end_of_the_pool() -> Result<()> {
    Scenery::run(|_| {
        let world = with_default_pool();
        let programs = Programs::load(&world)?;
        // One is reserved, one is a socket's of the host.
        let ports: u32 = world.settings.pool.iter().map(|range| range.len()).sum::<u32>() - 2;
        let failed = || {
            Ok::<_, anyhow::Error>(
                programs
                    .common
                    .count(Hook::PortIn, Reason::PortsExhausted)?
                    .packets,
            )
        };
        for number in 0..ports {
            if number == ports / 4 * 3 {
                ensure!(
                    failed()? == 0,
                    "{} flows failed before 75 % of the ports were taken",
                    failed()?
                );
            }
            open(&programs, client(number))?;
        }
        println!("{} of {ports} flows failed", failed()?);
        ensure!(
            failed()? * 1_000 < u64::from(ports) * 25,
            "{} of {ports} flows failed",
            failed()?
        );
        ensure_whole(&programs.tables.flows()?)
    })
}

#[test]
fn a_run_of_ports_that_clients_keep_leaves_the_others_to_be_found() -> Result<()> {
    Scenery::run(|_| {
        let programs = Programs::load(&with_default_pool())?;
        // Two clients want each of these ports: one keeps it, the other gets a port elsewhere.
        for port in 1_031..14_000 {
            for container in [C1, C1B] {
                let key = FlowKey::new(Protocol::Udp, container, Port(port), FAR, Port(53));
                open(&programs, key)?;
            }
        }
        let failed = programs
            .common
            .count(Hook::PortIn, Reason::PortsExhausted)?
            .packets;
        ensure!(failed == 0, "{failed} of 25,938 flows failed");
        Ok(())
    })
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_the_old() -> Result<()> {
    // With room for an odd number of entries it is a flow's second entry that does not fit.
    [64, 65]
        .into_iter()
        .try_for_each(|capacity| Scenery::run(|_| fill(capacity)))
}

fn fill(capacity: usize) -> Result<()> {
    let mut world = with_default_pool();
    world.flow_capacity = capacity;
    let mut programs = Programs::load(&world)?;
    let opened: Vec<_> = (0..32)
        .map(|number| open(&programs, client(number)))
        .collect::<Result<_>>()?;
    ensure!(
        opened.iter().all(|outcome| outcome.verdict == REDIRECT),
        "{opened:?}"
    );

    for number in 32..64 {
        let refused = open(&programs, client(number))?;
        ensure!(refused.verdict == DROP, "{refused:?}");
    }
    ensure!(programs.common.count(Hook::PortIn, Reason::TableFull)?.packets == 32);
    let flows = programs.tables.flows()?;
    ensure!(flows.len() == 64, "{} entries", flows.len());
    ensure_whole(&flows)?;

    for (number, first) in (0..).zip(&opened) {
        let next = open(&programs, client(number))?;
        ensure!(next == *first, "{next:?} after {first:?}");
        let flow = flows.get(&client(number)).context("the flow is gone")?;
        let answer = programs.run(Hook::UplinkIn, UP0, 0, &Frame::new(flow.twin(), 0).bytes()?)?;
        ensure!(answer.verdict == REDIRECT, "{answer:?}");
    }

    let ended = flows.get(&client(0)).context("the flow is gone")?;
    programs.tables.remove_flow(&client(0))?;
    programs.tables.remove_flow(&ended.twin())?;
    let opened = open(&programs, client(64))?;
    ensure!(opened.verdict == REDIRECT, "{opened:?}");
    ensure_whole(&programs.tables.flows()?)
}

#[test]
fn flows_that_two_cpus_open_at_once_are_whole() -> Result<()> {
    Scenery::run(|_| {
        let programs = Programs::load(&with_default_pool())?;
        let [one, other] = race(&programs, RACES, contender)?;
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            ensure!(
                one.verdict == REDIRECT && other.verdict == REDIRECT,
                "{number}: {one:?} {other:?}"
            );
            ensure!(
                (one.frame == other.frame) == is_one_flow(number),
                "packet {number} became\n  {one:x?} on one CPU and\n  {other:x?} on the other"
            );
        }
        ensure_whole(&programs.tables.flows()?)
    })
}

#[test]
fn a_port_that_two_cpus_map_at_once_is_one_towards_everybody() -> Result<()> {
    const SOURCE: std::ops::Range<usize> = 26..30;
    const PORT: std::ops::Range<usize> = 34..36;
    /// All that `client` numbers from one container.
    const PORTS: usize = 20_000;
    Scenery::run(|_| {
        let programs = Programs::load(&with_default_pool())?;
        // Its bridge has mappings, and two addresses to leave by.
        let asker = |number: usize, cpu: usize| {
            let client = Port(u16::try_from(32_768 + number)?);
            let server = if cpu == 0 { FAR } else { NEAR };
            let key = FlowKey::new(Protocol::Udp, C2, client, server, Port(53));
            Ok((Hook::PortIn, VC2, Frame::new(key, 0).bytes()?))
        };
        let [one, other] = race(&programs, PORTS, asker)?;
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            ensure!(
                one.verdict == REDIRECT && other.verdict == REDIRECT,
                "{number}: {one:?} {other:?}"
            );
            let source = |outcome: &Outcome| (outcome.frame[SOURCE].to_vec(), outcome.frame[PORT].to_vec());
            ensure!(
                source(one) == source(other),
                "port {number} became\n  {one:x?} on one CPU and\n  {other:x?} on the other"
            );
        }
        let flows = programs.tables.flows()?;
        // A mapping and two flows each, two entries all.
        ensure!(flows.len() == PORTS * 6, "{} entries", flows.len());
        ensure_whole(&flows)
    })
}

/// How many packets each of two CPUs shows.
const RACES: usize = 30_000;

/// A packet, and where it is shown.
type Contender = (Hook, IfIndex, Vec<u8>);

/// Shows so many packets from each of two CPUs, the same number at the same moment.
fn race(
    programs: &Programs,
    count: usize,
    contender: impl Fn(usize, usize) -> Result<Contender> + Copy + Send,
) -> Result<[Vec<Outcome>; 2]> {
    let turn = AtomicUsize::new(0);
    let outcomes = thread::scope(|scope| {
        [0, 1]
            .map(|cpu| {
                let turn = &turn;
                scope.spawn(move || run_beside(programs, turn, count, |number| contender(number, cpu), cpu))
            })
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| bail!("a CPU's thread has panicked"))
            })
    });
    let [one, other] = outcomes;
    Ok([one?, other?])
}

/// Shows packets from one CPU, each at the same moment as the other CPU shows its own.
fn run_beside(
    programs: &Programs,
    turn: &AtomicUsize,
    count: usize,
    contender: impl Fn(usize) -> Result<Contender>,
    cpu: usize,
) -> Result<Vec<Outcome>> {
    let show = |number| {
        let (hook, arrival, frame) = contender(number)?;
        turn.fetch_add(1, Ordering::AcqRel);
        while turn.load(Ordering::Acquire) < 2 * number + 2 {
            hint::spin_loop();
        }
        programs.run(hook, arrival, 0, &frame)
    };
    let outcomes = pin(cpu).and_then(|()| (0..count).map(show).collect());
    // Whatever went wrong, the other does not wait for this one.
    turn.fetch_add(2 * count, Ordering::AcqRel);
    outcomes
}

fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).context("two CPUs are needed")
}

/// Two of three packets open the same flow on both CPUs, the third opens two that want the same port.
fn contender(number: usize, cpu: usize) -> Result<Contender> {
    let flow = u16::try_from(number / 3)?;
    let client = Port(1_031 + flow);
    let (hook, arrival, key) = match number % 3 {
        0 => (
            Hook::PortIn,
            VC1,
            FlowKey::new(Protocol::Tcp, C1, client, FAR, Port(80)),
        ),
        1 => (
            Hook::UplinkIn,
            UP0,
            FlowKey::new(Protocol::Tcp, FAR, client, HOST, Port(8_080)),
        ),
        _ => {
            let (container, port) = if cpu == 0 { (C1, VC1) } else { (C1B, VC1B) };
            (
                Hook::PortIn,
                port,
                FlowKey::new(Protocol::Udp, container, client, FAR, Port(53)),
            )
        }
    };
    Ok((hook, arrival, Frame::new(key, flag::SYN).bytes()?))
}

fn is_one_flow(number: usize) -> bool {
    number % 3 != 2
}

/// Shows the first packet of a container's flow to the outside.
fn open(programs: &Programs, key: FlowKey) -> Result<Outcome> {
    programs.run(Hook::PortIn, VC1, 0, &Frame::new(key, 0).bytes()?)
}

/// One of many clients of one server, with a port that the host does not keep.
fn client(number: u32) -> FlowKey {
    const PORTS: u32 = 28_000;
    let address = Address(C1.0 + number / PORTS);
    let [_, _, high, low] = (32_768 + number % PORTS).to_be_bytes();
    let port = Port(u16::from_be_bytes([high, low]));
    FlowKey::new(Protocol::Udp, address, port, FAR, Port(53))
}

/// The host's tables, with the ports that masquerading has by default.
fn with_default_pool() -> World {
    let mut world = scenery::world();
    // What is refused is dropped, and the packet with it.
    world.limits.messages = 0;
    world.settings.pool = [(1_024, 32_767), (61_000, 65_535)].map(|(first, last)| PortRange {
        first: Port(first),
        last: Port(last),
    });
    world
}

/// Every entry has a twin that points back.
fn ensure_whole(flows: &BTreeMap<FlowKey, Flow>) -> Result<()> {
    let broken: Vec<_> = flows
        .iter()
        .filter(|(key, flow)| {
            !flows
                .get(&flow.twin())
                .is_some_and(|twin| twin.nonce == flow.nonce && twin.twin() == **key)
        })
        .collect();
    ensure!(
        broken.is_empty(),
        "{} of {} entries are orphans, {:?} the first",
        broken.len(),
        flows.len(),
        broken[0]
    );
    Ok(())
}
