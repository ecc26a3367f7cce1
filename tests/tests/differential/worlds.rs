//! Both builds of the NAT, side by side.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use netmap_common::{
    maps::{Address6, Class, Flow, FlowKey, Hook, Reason, Rule, RuleId, Seconds, Side},
    nat::{
        self, Hold, Part, Step, Verdict,
        testing::{OffTheWire, World},
    },
};
use netmap_tests::programs::{
    DROP, Family, HOOKS, MARK, NEXT, Outcome, Programs, REDIRECT, Tables, XDP_DROP, XDP_PASS, XDP_REDIRECT,
    scenery::{self, BR1_MAC, C1_MAC, Places, Scenery},
};

use crate::{record::Record, step::Arrival};

/// The host build and the kernel's programs, with the same tables.
pub(crate) struct Worlds<'scenery> {
    scenery: &'scenery Scenery,
    host: World,
    host6: World<Address6>,
    kernel: Programs,
    counted: BTreeMap<(Hook, Reason), (u64, u64)>,
    left: u64,
}

impl<'scenery> Worlds<'scenery> {
    pub(crate) fn new(scenery: &'scenery Scenery, flow_capacity: usize) -> Result<Self> {
        let (mut host, mut host6) = (scenery::world(), scenery::world());
        (host.flow_capacity, host6.flow_capacity) = (flow_capacity, flow_capacity);
        Ok(Self {
            scenery,
            kernel: Programs::load_both(&host, &host6)?,
            host,
            host6,
            counted: BTreeMap::new(),
            left: 0,
        })
    }

    /// Shows both the same packet; what they agree that it becomes, if it was translated.
    pub(crate) fn show(&mut self, arrival: &Arrival) -> Result<Option<Record>> {
        let Arrival { place, mark, frame } = arrival;
        let (hook, interface) = *place;
        let (carried, told, expected) = match Family::of(frame) {
            Family::V4 => expect(self.scenery, &mut self.host, arrival),
            Family::V6 => expect(self.scenery, &mut self.host6, arrival),
        };
        let reason = carried.map_or_else(|reason| reason, |carried| carried.reason);
        let is_left = hook == Hook::UplinkXdp && (reason.class() == Class::Passed || reason.is_told());
        if is_left {
            self.left += 1;
        } else {
            let (packets, bytes) = self.counted.entry((hook, reason)).or_default();
            *packets += 1;
            *bytes += frame.len() as u64 - 14;
        }
        if told {
            let (packets, bytes) = self.counted.entry((hook, Reason::Prohibited)).or_default();
            *packets += 1;
            *bytes += expected.frame.len() as u64 - 14;
        }

        let found = self.kernel.run(hook, interface, *mark, frame)?;
        ensure!(
            found == expected,
            "the host build says {carried:?} and\n  {expected:x?},\nthe kernel\n  {found:x?}"
        );
        if is_left {
            ensure!(found.frame == *frame, "XDP has changed what it left to TC");
            return self.show(&Arrival {
                place: (Hook::UplinkIn, interface),
                ..arrival.clone()
            });
        }
        Ok(carried.ok().map(|carried| Record {
            place: *place,
            before: frame.clone(),
            after: found.frame,
            verdict: carried.verdict,
        }))
    }

    /// How many packets XDP left to TC, where they were shown again.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// How many packets became what.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.counted
            .iter()
            .map(|((_, reason), (packets, _))| (*reason, *packets))
    }

    /// Both have the same flows and have counted the same.
    pub(crate) fn compare(&self) -> Result<()> {
        compare(&self.kernel.tables, &self.host)?;
        compare(&self.kernel.tables6, &self.host6)?;
        for hook in HOOKS {
            for reason in Reason::ALL {
                let found = self.kernel.common.count(hook, *reason)?;
                let expected = self.counted.get(&(hook, *reason)).copied().unwrap_or_default();
                ensure!(
                    (found.packets, found.bytes) == expected,
                    "{} {}: the kernel counted {found:?}, the host build {expected:?}",
                    hook.name(),
                    reason.name()
                );
            }
        }
        Ok(())
    }

    /// Ends every `one_in`th flow, as expiry does.
    pub(crate) fn expire(&mut self, one_in: usize) -> Result<()> {
        expire(&mut self.kernel.tables, &self.host, one_in)?;
        expire(&mut self.kernel.tables6, &self.host6, one_in)
    }

    /// Forgets every datagram of which pieces have come: the kernel's clock is real, and to it they grow too old for others
    /// on a machine that is slow enough.
    pub(crate) fn forget_fragments(&mut self) -> Result<()> {
        self.host.fragments.get_mut().clear();
        self.host6.fragments.get_mut().clear();
        self.kernel.tables.forget_fragments()?;
        self.kernel.tables6.forget_fragments()
    }

    /// Removes one half of every `one_in`th flow. The other half was last seen so long ago that both builds look for
    /// its twin at the next packet.
    pub(crate) fn halve(&mut self, one_in: usize, keep_reply: bool) -> Result<()> {
        halve(&mut self.kernel.tables, &self.host, one_in, keep_reply)?;
        halve(&mut self.kernel.tables6, &self.host6, one_in, keep_reply)
    }

    /// Publishes a rule anew, under another generation, or takes it away if it is published.
    pub(crate) fn turn(&mut self, index: usize) -> Result<()> {
        turn(&mut self.kernel.tables, &self.host, index)?;
        turn(&mut self.kernel.tables6, &self.host6, index)
    }
}

/// Both have the same flows.
fn compare<A: Places>(kernel: &Tables<A>, host: &World<A>) -> Result<()> {
    let kernel = kernel.flows()?;
    let host = host.flows.borrow();
    for (key, flow) in &kernel {
        let expected = host
            .get(key)
            .with_context(|| format!("only the kernel has {key:?}: {flow:?}"))?;
        ensure!(
            comparable(*flow) == comparable(*expected),
            "at {key:?} the kernel has\n  {flow:?}, the host build\n  {expected:?}"
        );
    }
    for (key, flow) in host.iter() {
        ensure!(
            kernel.contains_key(key),
            "only the host build has {key:?}: {flow:?}"
        );
    }
    Ok(())
}

fn expire<A: Places>(kernel: &mut Tables<A>, host: &World<A>, one_in: usize) -> Result<()> {
    for (original, reply) in pairs(host, one_in) {
        remove(kernel, host, &original)?;
        remove(kernel, host, &reply)?;
    }
    Ok(())
}

fn halve<A: Places>(kernel: &mut Tables<A>, host: &World<A>, one_in: usize, keep_reply: bool) -> Result<()> {
    for (original, reply) in pairs(host, one_in) {
        let (gone, left) = if keep_reply {
            (original, reply)
        } else {
            (reply, original)
        };
        remove(kernel, host, &gone)?;
        let mut flows = host.flows.borrow_mut();
        let half = flows.get_mut(&left).context("a pair has two halves")?;
        half.last_seen = Seconds(0);
        kernel.set_flow(left, *half)?;
    }
    Ok(())
}

fn turn<A: Places>(kernel: &mut Tables<A>, host: &World<A>, index: usize) -> Result<()> {
    let mut rules = host.rules.borrow_mut();
    let id = RuleId(u32::try_from(index % rules.len())? + 1);
    let rule = rules.get_mut(&id).context("rules are numbered from 1")?;
    rule.generation.0 += 1;
    rule.flags ^= Rule::LIVE;
    kernel.set_rule(id, *rule)
}

/// The keys of every `one_in`th flow that has both entries.
fn pairs<A: Places>(host: &World<A>, one_in: usize) -> Vec<(FlowKey<A>, FlowKey<A>)> {
    let flows = host.flows.borrow();
    let is_whole = |flow: &Flow<A>| {
        flows
            .get(&flow.twin())
            .is_some_and(|twin| twin.nonce == flow.nonce)
    };
    flows
        .iter()
        .filter(|(_, flow)| flow.side() == Side::Original && is_whole(flow))
        .map(|(key, flow)| (*key, flow.twin()))
        .step_by(one_in)
        .collect()
}

fn remove<A: Places>(kernel: &mut Tables<A>, host: &World<A>, key: &FlowKey<A>) -> Result<()> {
    host.flows.borrow_mut().remove(key);
    kernel.remove_flow(key)
}

/// What the host build makes of a packet.
fn expect<A: Places>(scenery: &Scenery, host: &mut World<A>, arrival: &Arrival) -> Expected {
    let Arrival { place, mark, frame } = arrival;
    let (hook, interface) = *place;
    scenery.surround(host, interface, frame);
    host.hold
        .set(if mark & MARK == 0 { Hold::Full } else { Hold::Back });
    host.redirects = (hook == Hook::UplinkXdp).then(scenery::reached_by_xdp);
    // A later second for every packet, so that the host build never skips its look at a twin. The kernel, whose
    // clock is real, does so rarely. That must make no difference.
    let now = host.now.get();
    host.now.set(Seconds(now.0 + 1));
    // Nor does that make pieces of a datagram too old for each other.
    for fragment in host.fragments.get_mut().values_mut() {
        fragment.since = host.now.get();
    }
    on_the_host(host, hook, *mark, frame)
}

type Expected = (Result<nat::Carried, Reason>, bool, Outcome);

/// What the programs do around the NAT, and whether they told the sender of a refused packet.
fn on_the_host<A: Places>(world: &World<A>, hook: Hook, mark: u32, frame: &[u8]) -> Expected {
    let mut frame = frame.to_vec();
    if hook == Hook::UplinkXdp {
        let carried = off_the_wire(&mut frame, world);
        let verdict = match carried {
            Ok(_) => XDP_REDIRECT,
            Err(reason) if reason.class() == Class::Dropped && !reason.is_told() => XDP_DROP,
            Err(_) => XDP_PASS,
        };
        if carried.is_ok() {
            frame[..6].copy_from_slice(&C1_MAC);
            frame[6..12].copy_from_slice(&BR1_MAC);
        }
        return (carried, false, Outcome { verdict, mark, frame });
    }
    let done = matches!(hook, Hook::UplinkOut | Hook::BridgeIn) && mark & MARK != 0;
    let carried = if done {
        Err(Reason::Done)
    } else {
        nat::process(frame.as_mut_slice(), world, hook)
    };
    let told = carried.is_err_and(Reason::is_told) && nat::tell(&mut frame, world, hook).is_ok();
    let is_in = matches!(hook, Hook::UplinkIn | Hook::PortIn);
    let mark = if is_in { mark & !MARK } else { mark };
    let (verdict, mark) = match carried {
        Err(_) if told => (REDIRECT, mark | MARK),
        Ok(carried) => match carried.verdict {
            Verdict::Peer(_) => (REDIRECT, 0),
            Verdict::Neigh(_) => (REDIRECT, mark | MARK),
            Verdict::Stack => (NEXT, mark),
        },
        Err(reason) if reason.class() == Class::Dropped => (DROP, mark),
        Err(Reason::ToHost) if hook == Hook::PortIn => (NEXT, mark | MARK),
        Err(Reason::Done) if hook == Hook::BridgeIn => (NEXT, mark & !MARK),
        Err(_) => (NEXT, mark),
    };
    (carried, told, Outcome { verdict, mark, frame })
}

/// The programs for IPv6 leave to TC whatever has no ports of its own, without another look.
fn off_the_wire<A: Places>(frame: &mut [u8], world: &World<A>) -> Result<nat::Carried, Reason> {
    let mut part = match Family::of(frame) {
        Family::V4 => return nat::process(&mut OffTheWire(frame), world, Hook::UplinkIn),
        Family::V6 => Part::Known,
    };
    loop {
        match nat::process_part(&mut OffTheWire(frame), world, Hook::UplinkIn, part)? {
            Step::Done(carried) => return Ok(carried),
            Step::Next(Part::Other) => return Err(Reason::LeftToTc),
            Step::Next(next) => part = next,
        }
    }
}

/// A flow without what must differ: chance and clock.
fn comparable<A: Places>(flow: Flow<A>) -> Flow<A> {
    Flow {
        nonce: 0,
        last_seen: Seconds(0),
        created: Seconds(0),
        ..flow
    }
}
