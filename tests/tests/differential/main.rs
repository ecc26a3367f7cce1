//! The NAT's two builds, the one for the host that all other tests of it rely on and the one in the kernel's programs,
//! make the same of the same packets.

mod damage;
mod fresh;
mod record;
mod step;
mod worlds;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use netmap_common::maps::{Class, Reason};
use netmap_tests::{
    many,
    programs::{Family, scenery::Scenery},
};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use step::Step;
use worlds::Worlds;

/// Half of them of IPv6.
const PACKETS: u64 = 100_000;
/// After so many packets flows expire or lose a half, and a rule is published or taken away.
const ROUND: usize = 1_000;
/// Room for flow entries of a family: odd, so that the table can be full between a flow's two entries, and soon full.
const CAPACITY: usize = 601;
/// How many packets of a family are remembered, for others to answer them.
const REMEMBERED: usize = 400;

#[test]
fn host_build_and_kernel_agree_on_100_000_packets() -> Result<()> {
    let seed = seed()?;
    println!("seed {seed}; NETMAP_SEED={seed} in the environment runs the same packets");
    Scenery::run(|scenery| agree(scenery, seed)).with_context(|| format!("seed {seed}"))
}

fn agree(scenery: &Scenery, seed: u64) -> Result<()> {
    let mut worlds = Worlds::new(scenery, CAPACITY)?;
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
    let steps = Step::any();
    let mut records = [Vec::new(), Vec::new()];
    let packets = many(PACKETS);
    for number in 0..usize::try_from(packets)? {
        let step = steps
            .new_tree(&mut runner)
            .map_err(|why| anyhow!("{why}"))?
            .current();
        let records = &mut records[usize::from(step.family == Family::V6)];
        let Some(arrival) = step.arrival(records)? else {
            continue;
        };
        let shown = worlds.show(&arrival);
        let record = shown.with_context(|| format!("packet {number}, {arrival:x?}, from {step:?}"))?;
        if let Some(record) = record {
            // The oldest make room, so that flows of every age are answered.
            if records.len() == REMEMBERED {
                records.remove(number % REMEMBERED);
            }
            records.push(record);
        }
        if number % ROUND == ROUND - 1 {
            worlds
                .compare()
                .with_context(|| format!("after packet {number}"))?;
            worlds.forget_fragments()?;
            change(&mut worlds, number / ROUND)?;
        }
    }
    let counted = worlds
        .counted()
        .fold(BTreeMap::new(), |mut sum, (reason, packets)| {
            *sum.entry(reason).or_insert(0) += packets;
            sum
        });
    ensure!(
        worlds.left() > packets / 100,
        "XDP left only {} packets to TC",
        worlds.left()
    );
    ensure_many_carried(&counted)?;
    if packets < PACKETS {
        // What happens to one of thousands need not have happened.
        return Ok(());
    }
    ensure_all_seen(&counted)
}

/// The world moves on.
fn change(worlds: &mut Worlds<'_>, round: usize) -> Result<()> {
    match round % 4 {
        0 => worlds.turn(round / 4)?,
        1 => worlds.halve(9, round % 8 == 1)?,
        // Two rounds later the rule is published again.
        2 => worlds.turn(round.saturating_sub(2) / 4)?,
        _ => worlds.expire(2)?,
    }
    Ok(())
}

/// Every reason was given that one packet can get.
fn ensure_all_seen(counted: &BTreeMap<Reason, u64>) -> Result<()> {
    const NEVER: &[Reason] = &[
        // Of the socket hooks.
        Reason::Proxied,
        Reason::Connected,
        Reason::NoProxy,
        Reason::PortHeld,
        // No tag outlives a test run.
        Reason::Vlan,
        // XDP's alone, and counted by TC under its own reason.
        Reason::LeftToTc,
        // Nobody is there who would hold them.
        Reason::FragmentHeld,
        // Nobody has a limit there: flows do not end as the daemon ends them.
        Reason::ContainerFull,
        Reason::ContainerTooFast,
        Reason::SourceFull,
        // No bridge is open there.
        Reason::DirectIn,
        Reason::DirectReply,
        // No network is internal there, or without masquerading.
        Reason::InternalNetwork,
        Reason::NotMasqueraded,
        // Would be a fault.
        Reason::RewriteFailed,
    ];
    // Takes a container that asks a published port behind the one narrow bridge, and asks for more than fits: a few packets
    // of 50,000 of a family, and none in a hundredth of the runs.
    const RARE: Reason = Reason::TooBigInFlow;
    let seen: BTreeSet<_> = counted.keys().copied().collect();
    let expected: BTreeSet<_> = Reason::ALL
        .iter()
        .copied()
        .filter(|reason| !NEVER.contains(reason) && (*reason != RARE || seen.contains(reason)))
        .collect();
    ensure!(
        seen == expected,
        "never seen: {:?}; not expected: {:?}",
        expected.difference(&seen).collect::<Vec<_>>(),
        seen.difference(&expected).collect::<Vec<_>>()
    );
    Ok(())
}

/// The packets were worth the name.
fn ensure_many_carried(counted: &BTreeMap<Reason, u64>) -> Result<()> {
    let total: u64 = counted.values().sum();
    let carried: u64 = counted
        .iter()
        .filter(|(reason, _)| reason.class() == Class::Carried)
        .map(|(_, packets)| packets)
        .sum();
    println!("{total} packets, {carried} carried: {counted:?}");
    ensure!(
        carried * 3 > total,
        "only {carried} of {total} packets were carried"
    );
    Ok(())
}

/// The same packets for the same seed.
fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::XorShift, &bytes)
}

fn seed() -> Result<u64> {
    match std::env::var("NETMAP_SEED") {
        Ok(seed) => seed.parse().context("NETMAP_SEED is not a number"),
        Err(_) => Ok(u64::try_from(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
        )?),
    }
}
