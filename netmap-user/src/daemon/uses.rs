//! When what is published was last used, as far as flows that have ended since this daemon began tell.

use std::collections::HashMap;

use netmap_common::maps::{Generation, RuleId, Seconds};

use super::Daemon;
use crate::{
    api::types::{RuleUse, RuleUses},
    expiry::{Ended, Use},
    maps,
};

/// By family and number, of each number the last generation that had a flow: as many as there are rules at the most.
#[derive(Debug, Default)]
pub(super) struct LastUses(HashMap<(bool, RuleId), (Generation, Seconds)>);

impl LastUses {
    fn add(&mut self, is_ipv6: bool, last: Use) {
        let known = self.0.entry((is_ipv6, last.rule)).or_default();
        let (generation, seen) = *known;
        if seen != Seconds(0) && generation.0.wrapping_sub(last.generation.0).cast_signed() > 0 {
            // Of a rule before this one, whose flows went later.
            return;
        }
        let seen = if generation == last.generation {
            seen
        } else {
            Seconds(0)
        };
        *known = (last.generation, seen.max(last.seen));
    }
}

impl Daemon {
    /// Takes note of flows that have ended, and tells who watches.
    pub(super) fn take_ended(&mut self, mut ended: Ended) {
        for (is_ipv6, uses) in [(false, &mut ended.uses4), (true, &mut ended.uses6)] {
            for last in uses.drain(..) {
                self.uses.add(is_ipv6, last);
            }
        }
        self.tell_ended(&ended);
    }

    /// When ports were last used by flows that have ended.
    pub(super) fn uses(&self) -> RuleUses {
        let now = maps::now();
        let uses = self.uses.0.iter();
        RuleUses {
            uses: uses
                .map(|((ipv6, rule), (generation, seen))| RuleUse {
                    ipv6: *ipv6,
                    rule: rule.0,
                    generation: generation.0,
                    idle_seconds: now.since(*seen).0,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_rule_counts_and_another_generation_is_another_rule() {
        let mut uses = LastUses::default();
        let mut add = |is_ipv6, rule, generation, seen| {
            uses.add(
                is_ipv6,
                Use {
                    rule: RuleId(rule),
                    generation: Generation(generation),
                    seen: Seconds(seen),
                },
            );
        };
        add(false, 1, 1, 50);
        add(false, 1, 1, 40);
        add(true, 1, 1, 60);
        add(false, 2, 1, 90);
        add(false, 2, 2, 70);
        let of = |is_ipv6, rule| uses.0.get(&(is_ipv6, RuleId(rule))).copied();
        assert_eq!(of(false, 1), Some((Generation(1), Seconds(50))));
        assert_eq!(of(true, 1), Some((Generation(1), Seconds(60))));
        assert_eq!(of(false, 2), Some((Generation(2), Seconds(70))));
    }
}
