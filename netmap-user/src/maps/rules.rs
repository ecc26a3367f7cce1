//! The published ranges.

use netmap_common::maps::{Rule, RuleId};

use super::{Cells, Family, MapsError, Pins};

/// One cell a rule.
pub struct Rules<A: Family>(Cells<Rule<A>>);

impl<A: Family> Rules<A> {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapsError> {
        Cells::open(pins, A::NAMES.rules).map(Self)
    }

    /// How many there can be, rule 0 ("none") included.
    pub fn capacity(&self) -> u32 {
        self.0.len()
    }

    /// The rule with this number, live or not: its generation outlives it.
    ///
    /// # Errors
    ///
    /// No such number, or what bpf(2) fails with.
    pub fn get(&self, id: RuleId) -> Result<Rule<A>, MapsError> {
        self.0.get(id.0)
    }

    /// Sets the rule with this number.
    ///
    /// # Errors
    ///
    /// No such number, or what bpf(2) fails with.
    pub fn set(&mut self, id: RuleId, rule: Rule<A>) -> Result<(), MapsError> {
        self.0.set(id.0, rule)
    }

    /// Every live rule, in order of its number.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn live(&self) -> Result<Vec<(RuleId, Rule<A>)>, MapsError> {
        let mut rules = Vec::new();
        self.0.for_each(|index, rule| {
            if rule.is_live() {
                rules.push((RuleId(index), *rule));
            }
        })?;
        Ok(rules)
    }

    /// Every rule, live or not, by its number.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn all(&self) -> Result<Vec<Rule<A>>, MapsError> {
        self.0.all()
    }
}
