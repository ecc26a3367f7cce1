//! What the metrics ask the loop for.

use std::sync::Arc;

use super::Daemon;
use crate::metrics::Word;

impl Daemon {
    /// How things are: nothing that takes long, for packets' fragments and commands wait.
    pub(super) fn word(&self) -> Word {
        let view = self.host.view();
        Word {
            flows: self.sweeper.counts(),
            lifetimes_percent: self.sweeper.lifetimes_left(),
            missing_interfaces: view.missing.len(),
            unresolved_containers: view.unresolved.len(),
            fragments_waiting: self.waiting_room.len(),
            engine: self.engine.status(),
            names: self.names(),
            proxy: Arc::clone(self.proxy.counters()),
        }
    }
}
