//! What an engine has published: claimed by its proxies and by what its API lists, and taken back with the last claim.
//!
//! A rule of the operator's is in the engine's way and never touched. A rule that is unclaimed carries on, but keeps no
//! port: an engine that starts anew binds its ports before it asks for them.

use std::{collections::BTreeSet, net::IpAddr, os::fd::OwnedFd};

use anyhow::anyhow;
use tracing::{debug, warn};

use super::Daemon;
use crate::{
    binding::{Binding, Published},
    docker::{Claimant, Closed, Decision, ShimId},
    proxy::{Hold, HoldError},
    publish::{Owner, PublishError},
    spec,
};

const CLAIMED: Owner = Owner::Docker { claimed: true };
const UNCLAIMED: Owner = Owner::Docker { claimed: false };

impl Daemon {
    /// Publishes `binding` for the engine, or takes a rule over that is published so already: then no flow is touched.
    /// `socket` is the engine's own on the port, which keeps it from now on.
    ///
    /// # Errors
    ///
    /// Why not, in the words in which engines say it; then nothing has changed.
    pub(super) fn claim(
        &mut self,
        claimant: Claimant,
        binding: &Binding,
        socket: Option<OwnedFd>,
    ) -> anyhow::Result<()> {
        spec::check(binding)?;
        let published = binding.published;
        let rule = self.publisher.get(&published);
        match self.claims.decide(claimant, binding, rule) {
            Decision::Keep => {}
            Decision::Refuse(existing) => {
                return Err(taken(
                    &published,
                    &format!("another netmap-docker-proxy has published {existing}"),
                ));
            }
            Decision::Adopt => {
                self.proxy.forget_replies(&[published]);
                if let Some(hold) = self.hold_for(claimant, &published, socket)? {
                    self.proxy.rehold(&published, hold);
                }
                self.publisher.set_owner(&mut self.maps, &published, CLAIMED)?;
            }
            Decision::Publish | Decision::Replace => self.publish_claimed(claimant, binding, socket)?,
        }
        self.claims.add(claimant, binding);
        Ok(())
    }

    /// The engine itself takes a port back, in the words of the proxy that it had started for it. False if it was not
    /// published, or not so.
    pub(super) fn release(&mut self, binding: &Binding) -> anyhow::Result<bool> {
        let published = binding.published;
        if self
            .claims
            .get(&published)
            .is_some_and(|claim| claim.binding == *binding)
        {
            self.claims.release(&published);
        }
        match self.publisher.get(&published) {
            Some((existing, owner)) if owner.is_docker() && existing == binding => {}
            _ => return Ok(false),
        }
        self.take_back_claimed(&[published])?;
        Ok(true)
    }

    /// A proxy is gone without a word: its engine died, or somebody killed it. The rule stays.
    pub(super) fn abandon(&mut self, shim: ShimId) {
        let Some(Closed {
            published,
            is_claimed,
        }) = self.claims.close(shim)
        else {
            return;
        };
        self.proxy.rehold(&published, Hold::elsewhere());
        if !is_claimed {
            self.set_unclaimed(&published);
        }
    }

    /// Everything that the Engine API lists: claims it, and takes back what nobody stands for any more. Returns what was
    /// refused, and why.
    pub(super) fn confirm(&mut self, listed: &[Binding]) -> Vec<(Binding, anyhow::Error)> {
        let mut ended = self.claims.unlist(listed);
        let listed_sides: BTreeSet<Published> = listed.iter().map(|binding| binding.published).collect();
        let unclaimed = self.publisher.of_docker().filter(|(_, claimed)| !claimed);
        let unclaimed = unclaimed.map(|(binding, _)| binding.published);
        ended.extend(unclaimed.filter(|published| !listed_sides.contains(published)));
        ended.retain(|published| self.is_of_docker(published));
        ended.sort_unstable();
        ended.dedup();
        if !ended.is_empty() {
            self.take_back_claimed(&ended).unwrap_or_else(|error| {
                warn!("what docker publishes no longer stays published: {error:#}");
            });
        }
        let (new, mut known): (Vec<Binding>, Vec<Binding>) =
            listed.iter().cloned().partition(|binding| self.is_new(binding));
        if !new.is_empty() {
            known.extend(self.publish_listed(new));
        }
        let claimed = known
            .iter()
            .map(|binding| (binding, self.claim(Claimant::Engine, binding, None)));
        claimed
            .filter_map(|(binding, claimed)| Some((binding.clone(), claimed.err()?)))
            .collect()
    }

    /// Publishes all at once, for of a thousand each by itself would take the whole host in anew; returns those that have to
    /// be claimed one by one, as some of them are in each other's way.
    fn publish_listed(&mut self, listed: Vec<Binding>) -> Vec<Binding> {
        let holds = listed.iter().map(|_| Hold::elsewhere()).collect();
        match self.publish_as(listed.clone(), holds, CLAIMED) {
            Ok(warnings) => warn_of(warnings),
            Err(error) => {
                debug!("{error:#}");
                return listed;
            }
        }
        for binding in &listed {
            self.claims.add(Claimant::Engine, binding);
        }
        Vec::new()
    }

    /// Whether what the Engine API lists there is the first that anybody publishes.
    fn is_new(&self, binding: &Binding) -> bool {
        let Binding { published, .. } = binding;
        spec::check(binding).is_ok()
            && self.publisher.overlaps(published).is_empty()
            && self.claims.decide(Claimant::Engine, binding, None) == Decision::Publish
    }

    /// Nobody has come yet for a rule that a former daemon published for the engine.
    pub(super) fn set_unclaimed(&mut self, published: &Published) {
        if let Err(error) = self.publisher.set_owner(&mut self.maps, published, UNCLAIMED) {
            warn!("{published} is listed as docker's, which is gone: {error}");
        }
    }

    fn publish_claimed(
        &mut self,
        claimant: Claimant,
        binding: &Binding,
        socket: Option<OwnedFd>,
    ) -> anyhow::Result<()> {
        let published = binding.published;
        let in_the_way = self.abandoned(&published)?;
        self.proxy.forget_replies(&in_the_way);
        let hold = self.hold_for(claimant, &published, socket)?;
        if !in_the_way.is_empty() {
            self.take_back_claimed(&in_the_way)?;
        }
        let hold = vec![hold.unwrap_or_else(Hold::elsewhere)];
        warn_of(self.publish_as(vec![binding.clone()], hold, CLAIMED)?);
        Ok(())
    }

    fn take_back_claimed(&mut self, published: &[Published]) -> anyhow::Result<()> {
        let (containers, warnings) = self.take_back(published)?;
        warn_of(warnings);
        self.cut_strays_soon(&containers);
        Ok(())
    }

    /// The rules that a claim to `published` replaces.
    ///
    /// # Errors
    ///
    /// One of them is the operator's, or claimed at another address.
    fn abandoned(&self, published: &Published) -> anyhow::Result<Vec<Published>> {
        let mut abandoned = Vec::new();
        for (existing, owner) in self.publisher.overlaps(published) {
            // Of the same side `Claims::decide` has spoken.
            if owner == UNCLAIMED || owner.is_docker() && existing.published == *published {
                abandoned.push(existing.published);
                continue;
            }
            let existing = Box::new(existing.clone());
            let wanted = *published;
            let overlap = PublishError::Overlap {
                wanted,
                existing,
                owner,
            };
            return Err(taken(published, &overlap.to_string()));
        }
        Ok(abandoned)
    }

    /// What keeps the port of a claim; none where the hold that there is, or the engine, keeps it.
    fn hold_for(
        &self,
        claimant: Claimant,
        published: &Published,
        socket: Option<OwnedFd>,
    ) -> anyhow::Result<Option<Hold>> {
        let hold = match (claimant, socket) {
            (_, Some(socket)) => Some(self.proxy.keep(published, socket)),
            // It may be claimed by another proxy, whose end is not noticed yet: then ours keeps it still.
            (Claimant::Shim(_), None) if self.proxy.is_held(published) => None,
            (Claimant::Shim(_), None) => self.proxy.hold(&[*published]).pop(),
            // The engine has bound it itself.
            (Claimant::Engine, None) => None,
        };
        hold.transpose().map_err(|error| match error {
            HoldError::InUse(in_use) => taken(published, &in_use.to_string()),
            error => error.into(),
        })
    }

    fn is_of_docker(&self, published: &Published) -> bool {
        let rule = self.publisher.get(published);
        rule.is_some_and(|(_, owner)| owner.is_docker())
    }
}

/// As the engine's own proxy says it, and whose it is.
fn taken(published: &Published, why: &str) -> anyhow::Error {
    let Published {
        host,
        ports,
        transport,
    } = published;
    let (family, address) = match host {
        IpAddr::V4(host) => (4, host.to_string()),
        IpAddr::V6(host) => (6, format!("[{host}]")),
    };
    anyhow!("listen {transport}{family} {address}:{ports}: bind: address already in use ({why})")
}

fn warn_of(warnings: Vec<String>) {
    for warning in warnings {
        warn!("{warning}");
    }
}
