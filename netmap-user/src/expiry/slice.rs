//! The next slice of one family's table.

use std::collections::HashMap;

use netmap_common::maps::{Flow, FlowKey, Generation, RuleId, Seconds};

use super::{
    Swept,
    count::Count,
    mappings,
    obituary::Obituaries,
    tally::Tally,
    verdict::{Lap, Verdict, judge},
    walk::Part,
};
use crate::maps::{Family, FamilyMaps, MapsError, Rules};

/// Ends what is over in the next slice.
pub(super) fn sweep<A: Family>(
    maps: &mut FamilyMaps<A>,
    Part {
        cursor,
        tally,
        pressure,
        obituaries,
        count,
    }: &mut Part<A>,
    lap: Lap,
    now: Seconds,
) -> Result<Swept, MapsError> {
    let lap = pressure.applied_to(lap, maps.flows.capacity()?);
    maps.flows.read(cursor)?;
    let mut rules = Published::default();
    let mut swept = Swept::default();
    for (key, flow) in cursor.entries() {
        swept.entries += 1;
        tally.see(key, flow);
        count.see(flow, now);
        let is_stale = rules.is_stale(&maps.rules, flow)?;
        if lap.keeps_mappings {
            mappings::keep(&mut maps.flows, key, flow, now)?;
        }
        if !is_stale && !lap.looks_at(key, flow, now) {
            continue;
        }
        let twin = maps.flows.get(&flow.twin())?;
        if judge(key, flow, twin.as_ref(), is_stale, &lap.lifetimes, now) == Verdict::Keep {
            continue;
        }
        // Read a moment ago: what has had a packet since stays, and so does a later flow under the same key.
        let again = |current: &Flow<A>, twin: Option<&Flow<A>>| {
            let is_stale = is_stale && (current.rule, current.generation) == (flow.rule, flow.generation);
            judge(key, current, twin, is_stale, &lap.lifetimes, now)
        };
        end(maps, key, again, (tally, obituaries, count), &mut swept)?;
    }
    tally.tell(&mut maps.loads)?;
    pressure.add(swept);
    if cursor.is_at_end() {
        pressure.end_lap();
        count.end_lap();
        tally.settle(&mut maps.loads)?;
    }
    Ok(swept)
}

/// Does what `verdict` says of the entry at `key` and its twin, as they are now.
pub(super) fn end<A: Family>(
    maps: &mut FamilyMaps<A>,
    key: &FlowKey<A>,
    verdict: impl FnOnce(&Flow<A>, Option<&Flow<A>>) -> Verdict,
    (tally, obituaries, count): (&mut Tally<A>, &mut Obituaries<A>, &mut Count),
    swept: &mut Swept,
) -> Result<(), MapsError> {
    let Some(flow) = maps.flows.get(key)? else {
        return Ok(());
    };
    let twin = maps.flows.get(&flow.twin())?;
    match verdict(&flow, twin.as_ref()) {
        Verdict::Keep => {}
        Verdict::Over => {
            if maps.flows.remove(key)? {
                tally.end(key, &flow);
            }
            if let (true, Some(twin)) = (maps.flows.remove(&flow.twin())?, twin) {
                tally.end(&flow.twin(), &twin);
                obituaries.add(key, &flow, &twin);
            }
            count.end(&flow);
            swept.ended += 1;
        }
        Verdict::Orphan => {
            if maps.flows.remove(key)? {
                tally.end(key, &flow);
            }
            count.end_orphan(&flow);
            swept.orphans += 1;
        }
    }
    Ok(())
}

/// What the rules of a slice's flows are. Kept no longer than that: between slices the daemon publishes.
#[derive(Default)]
struct Published(HashMap<RuleId, Option<Generation>>);

impl Published {
    fn is_stale<A: Family>(&mut self, rules: &Rules<A>, flow: &Flow<A>) -> Result<bool, MapsError> {
        if flow.rule == RuleId(0) {
            return Ok(false);
        }
        if let Some(generation) = self.0.get(&flow.rule) {
            return Ok(*generation != Some(flow.generation));
        }
        // An entry with a number that no rule can have is nobody's.
        let generation = if flow.rule.0 < rules.capacity() {
            let rule = rules.get(flow.rule)?;
            rule.is_live().then_some(rule.generation)
        } else {
            None
        };
        self.0.insert(flow.rule, generation);
        Ok(generation != Some(flow.generation))
    }
}
