//! The record of what is published, for the time after a reboot.

use std::path::PathBuf;

use tracing::{debug, info, warn};

use super::{Daemon, counted};
use crate::{
    api::types::{Done, Refusal},
    binding::Binding,
    maps::Maps,
    publish::{Owner, PublishError, Publisher},
    state::State,
};

/// How many rules that are not restored get a line each.
const MOST_LINES: usize = 16;

/// The state directory, and whether it says what is published.
pub(super) struct Record {
    state: State,
    /// Why it does not, as it was last said.
    behind: Option<String>,
}

impl Record {
    /// In the state directory `path`.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            state: State::new(path),
            behind: None,
        }
    }

    /// Publishes what is recorded, unless the pins know better: they were there before (`is_restored`), and what was published
    /// or taken back since the last record is in them.
    pub(super) fn restore(&mut self, publisher: &mut Publisher, maps: &mut Maps, is_restored: bool) {
        let recorded = match self.state.read() {
            Ok(recorded) => recorded,
            Err(error) if is_restored => return warn!("{error}; what is pinned stays published"),
            Err(error) => return warn!("what was published before is not restored: {error}"),
        };
        if is_restored || recorded.is_empty() {
            return;
        }
        // What a former daemon restored before it was killed is published already.
        let missing = recorded.into_iter().filter(|binding| {
            let published = publisher.get(&binding.published);
            published.is_none_or(|(existing, _)| existing != binding)
        });
        let missing: Vec<Binding> = missing.collect();
        let refused = publish(publisher, maps, &missing);
        for (binding, why) in refused.iter().take(MOST_LINES) {
            warn!("{binding} is not published again: {why}");
        }
        if refused.len() > MOST_LINES {
            warn!("{} more are not published again", refused.len() - MOST_LINES);
        }
        let restored = missing.len() - refused.len();
        info!("published {} again, as before", counted(restored, "rule"));
    }

    /// Whether the record lacks something.
    pub(super) const fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Writes down what is published; says why not.
    fn write(&mut self, publisher: &Publisher) -> Option<String> {
        let written = self.state.write(&mut publisher.of_operator());
        let behind = written.err().map(|error| error.to_string());
        match (&behind, &self.behind) {
            (Some(why), None) => warn!("what is published now is gone after a reboot: {why}"),
            (Some(why), Some(_)) => debug!("what is published is gone after a reboot: {why}"),
            (None, Some(_)) => info!("what is published outlives a reboot again"),
            (None, None) => {}
        }
        self.behind.clone_from(&behind);
        behind
    }
}

impl Daemon {
    /// What a command is answered, once it is recorded what is published after it.
    pub(super) fn recorded(&mut self, result: Result<Done, Refusal>) -> Result<Done, Refusal> {
        let behind = self.record.write(&self.publisher);
        result.map(|mut done| {
            done.warnings
                .extend(behind.map(|why| format!("this is gone after a reboot: {why}")));
            done
        })
    }

    /// Makes up for what could not be recorded when it was published.
    pub(super) fn record_again(&mut self) {
        let _told = self.record.write(&self.publisher);
    }
}

/// Publishes what can be published, and returns what cannot.
fn publish<'a>(
    publisher: &mut Publisher,
    maps: &mut Maps,
    bindings: &'a [Binding],
) -> Vec<(&'a Binding, PublishError)> {
    let Err(error) = publisher.publish(maps, bindings, Owner::Operator) else {
        return Vec::new();
    };
    debug!("one by one, as {error}");
    let one_by_one = bindings.iter().filter_map(|binding| {
        let published = publisher.publish(maps, std::slice::from_ref(binding), Owner::Operator);
        Some((binding, published.err()?))
    });
    one_by_one.collect()
}
