//! Who has lost how many flows, and lap after lap whether what is known of everybody's number is true.

use std::collections::HashMap;

use netmap_common::maps::{Flow, FlowKey, Payer, Side};

use crate::maps::{Family, Loads, MapsError};

/// What a lap has found of everybody who pays for flows. There are as many as the tables of loads have room for.
#[derive(Debug)]
pub(super) struct Tally<A: Family> {
    /// Of everybody: flows in the table, and those that were ended.
    found: HashMap<Payer<A>, Found>,
    /// What everybody had opened when the lap began; none while nothing is known of that.
    before: Option<HashMap<Payer<A>, u64>>,
    /// What a slice has ended.
    ending: HashMap<Payer<A>, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    flows: u64,
    ended: u64,
}

impl<A: Family> Default for Tally<A> {
    fn default() -> Self {
        Self {
            found: HashMap::new(),
            before: None,
            ending: HashMap::new(),
        }
    }
}

impl<A: Family> Tally<A> {
    /// An entry that the lap came by.
    pub(super) fn see(&mut self, key: &FlowKey<A>, flow: &Flow<A>) {
        for payer in payers(key, flow).into_iter().flatten() {
            self.found.entry(payer).or_default().flows += 1;
        }
    }

    /// An entry that was ended.
    pub(super) fn end(&mut self, key: &FlowKey<A>, flow: &Flow<A>) {
        for payer in payers(key, flow).into_iter().flatten() {
            *self.ending.entry(payer).or_default() += 1;
        }
    }

    /// Tells packets what was ended.
    pub(super) fn tell(&mut self, loads: &mut Loads<A>) -> Result<(), MapsError> {
        for (payer, count) in self.ending.drain() {
            self.found.entry(payer).or_default().ended += count;
            // Who had to make room is known again with the next flow, and counted by the lap after.
            if loads.load(&payer)?.is_some() {
                let ended = loads.ended(&payer)?;
                loads.set_ended(payer, ended.saturating_add(count))?;
            }
        }
        Ok(())
    }

    /// The lap is over: what cannot be true is put right.
    pub(super) fn settle(&mut self, loads: &mut Loads<A>) -> Result<(), MapsError> {
        let opened = loads.opened()?;
        let found = std::mem::take(&mut self.found);
        if let Some(before) = &self.before {
            for (payer, opened) in &opened {
                let Some(before) = before.get(payer) else { continue };
                let ended = loads.ended(payer)?;
                let found = found.get(payer).copied().unwrap_or_default();
                let right = found.ended_of(*opened, opened.saturating_sub(*before), ended);
                if right != ended {
                    loads.set_ended(*payer, right)?;
                }
            }
        }
        self.before = Some(opened);
        Ok(())
    }
}

impl Found {
    /// How many have ended of those `opened`, `fresh` of them in this lap, where `ended` is what was thought.
    ///
    /// There are as many now as the lap has seen, without those that were ended meanwhile, at least; and as many as it has
    /// seen and those opened meanwhile, at most.
    fn ended_of(self, opened: u64, fresh: u64, ended: u64) -> u64 {
        let least = self.flows.saturating_sub(self.ended);
        let most = self.flows.saturating_add(fresh);
        ended.clamp(opened.saturating_sub(most), opened.saturating_sub(least))
    }
}

/// Who pays for a flow, told by its first entry; nobody by its second.
fn payers<A: Family>(key: &FlowKey<A>, flow: &Flow<A>) -> [Option<Payer<A>>; 2] {
    match flow.kind() {
        Some(kind) if flow.side() == Side::Original => [
            Some(Payer::container(kind, key, &flow.to)),
            Payer::source(kind, key),
        ],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Found = Found { flows: 10, ended: 2 };

    #[test]
    fn what_may_be_true_stays() {
        for ended in 85..=92 {
            assert_eq!(SEEN.ended_of(100, 5, ended), ended);
        }
    }

    #[test]
    fn flows_that_nobody_has_told_of_are_ended_and_forgotten_ones_come_back() {
        // A packet of a rule that is gone has ended some: at most 15 can be there.
        assert_eq!(SEEN.ended_of(100, 5, 60), 85);
        // The entry had to make room and came back: at least 8 are there.
        assert_eq!(SEEN.ended_of(10, 3, 90), 2);
        assert_eq!(SEEN.ended_of(100, 5, 99), 92);
    }
}
