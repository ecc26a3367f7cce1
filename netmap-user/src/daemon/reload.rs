//! The configuration file, read again: all of it is applied, or nothing.

use std::time::Instant;

use anyhow::{Context as _, bail};
use tracing::{info, warn};

use super::{Daemon, SOCKET_MARK, limits, ports, start};
use crate::{
    api::types::{ConfigReport, Reloaded},
    config::{Change, Effective, Source},
    log::Logs,
    options::RunOptions,
};

/// What counts, and where it came from.
pub(super) struct Settings {
    source: Source,
    in_force: Effective,
    logs: Logs,
}

impl Settings {
    pub(super) const fn new(source: Source, in_force: Effective, logs: Logs) -> Self {
        Self {
            source,
            in_force,
            logs,
        }
    }

    /// Whether there is something to read again.
    pub(super) const fn has_file(&self) -> bool {
        self.source.file.is_some()
    }

    /// What counts.
    pub(super) const fn in_force(&self) -> &Effective {
        &self.in_force
    }

    /// Why the file as it is now is not what counts, if that is so.
    pub(super) fn pending(&self) -> Option<String> {
        let file = self.source.file.as_ref()?.display();
        let now = match self.source.read() {
            Ok(now) => now,
            Err(error) => return Some(format!("{error}; what was read before counts")),
        };
        let changes = self.in_force.changes(&now);
        let (live, waiting): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.is_live());
        let mut told = Vec::new();
        if !live.is_empty() {
            told.push(format!("{} (`netmap reload` changes that)", keys(&live)));
        }
        if !waiting.is_empty() {
            told.push(format!("{} (starting netmap anew changes that)", keys(&waiting)));
        }
        (!told.is_empty()).then(|| format!("{file} says something else of {}", told.join(", and of ")))
    }

    /// Everything, for people.
    pub(super) fn report(&self) -> ConfigReport {
        ConfigReport {
            running: true,
            file: self.source.file.as_ref().map(|file| file.display().to_string()),
            settings: self.in_force.settings.clone(),
            pending: self.pending(),
        }
    }
}

/// What is asked of the uplinks that are wanted.
#[derive(Clone, Copy)]
enum Uplinks {
    /// What is new is refused without them.
    MustBeThere,
    /// What counted before counts again as far as it can.
    MayBeGone,
}

impl Daemon {
    /// Reads the file again and applies what has changed.
    ///
    /// # Errors
    ///
    /// The file is refused, or what it says cannot be done; then everything is as before.
    pub(super) fn reload(&mut self) -> anyhow::Result<Reloaded> {
        if self.settings.source.file.is_none() {
            bail!("netmap was started without --config: there is no file to read again");
        }
        let read = self.settings.source.read();
        let new = read.context("nothing has changed, and what was read before goes on to count")?;
        let (changed, needs_restart): (Vec<_>, Vec<_>) = self
            .settings
            .in_force
            .changes(&new)
            .into_iter()
            .partition(Change::is_live);
        let new = self.settings.in_force.reloaded(&new);
        let old = self.settings.in_force.options.clone();
        let known = self.host.view().notes.clone();
        if let Err(error) = self.put(&old, &new.options, Uplinks::MustBeThere) {
            if let Err(error) = self.put(&new.options, &old, Uplinks::MayBeGone) {
                warn!("what counted before does not count in full, trying again: {error:#}");
            }
            return Err(error.context("nothing has changed, and what was read before goes on to count"));
        }
        self.settings.logs.set_level(&new.options.log.level);
        self.settings.in_force = new;
        for Change { key, from, to } in &changed {
            info!("{key} is {to}, was {from}");
        }
        for Change { key, from, to } in &needs_restart {
            warn!("{key} stays {from}; start netmap anew for {to}");
        }
        let view = self.host.view();
        let mut warnings: Vec<String> = view
            .notes
            .iter()
            .filter(|note| !known.contains(note))
            .cloned()
            .collect();
        warnings.extend(start::closed_names(view, &self.settings.in_force.options));
        warnings.extend(
            view.missing
                .iter()
                .map(|name| format!("there is no interface {name} (yet)")),
        );
        let unfulfilled = self.accelerator.unfulfilled();
        warnings.extend(unfulfilled.map(|reason| format!("{reason}; netmap will not start so")));
        Ok(Reloaded {
            changed,
            needs_restart,
            warnings,
        })
    }

    /// What nobody waits for an answer to.
    pub(super) fn reload_for_signal(&mut self) {
        match self.reload() {
            Ok(reloaded) => {
                let count = super::counted(reloaded.changed.len(), "setting");
                info!("the configuration was read again: {count} changed");
                for warning in reloaded.warnings {
                    warn!("{warning}");
                }
            }
            Err(error) => warn!("{error:#}"),
        }
    }

    /// Brings everything from one set of options to another. What fails in the middle can be brought back by the same.
    fn put(&mut self, old: &RunOptions, new: &RunOptions, uplinks: Uplinks) -> anyhow::Result<()> {
        // First what may be refused for what somebody has written.
        self.host.select(start::selection(new), |view| match uplinks {
            Uplinks::MustBeThere => start::check_uplinks(view, new),
            Uplinks::MayBeGone => Ok(()),
        })?;
        if self.engine.is_wanted() {
            // The engine's word on egress goes into what the user says.
            self.manage(self.topology.engine().to_vec());
        }
        self.topology.set_wishes(new.direct.clone(), new.outlets.clone());
        limits::write(&mut self.maps, new.shares)?;
        ports::write_settings(&mut self.maps, SOCKET_MARK, &new.mappings)?;
        if (old.lifetimes, &old.mappings) != (new.lifetimes, &new.mappings) {
            let ended = self.sweeper.ended();
            self.take_ended(ended);
            // Mappings live on where no more are made.
            let keeps_mappings = self.sweeper.keeps_mappings() || new.mappings.has_any_for_all();
            self.sweeper.restart(new.lifetimes, keeps_mappings);
            self.next_slice = Instant::now();
        }
        self.follow_host()
    }
}

fn keys(changes: &[&Change]) -> String {
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    keys.join(", ")
}
