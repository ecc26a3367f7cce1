//! Who of the engine stands for a published port. What stands in the kernel's tables is the daemon's business
//! (`daemon::claims`); this is what it knows beside them, and how it decides. It does not outlive the daemon: a new one
//! finds the engine's rules unclaimed.

use std::collections::BTreeMap;

use crate::{
    binding::{Binding, Published},
    publish::Owner,
};

/// A `netmap-docker-proxy`: the connection that it keeps is its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShimId(pub u64);

/// Who stands for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimant {
    /// The program that the engine starts for each port. It lives as long as the port is published, and knows first.
    Shim(ShimId),
    /// What the Engine API lists.
    Engine,
}

/// Who stands for one port now, at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What they want there.
    pub binding: Binding,
    /// The proxy that stands for it.
    pub shim: Option<ShimId>,
    /// Whether the Engine API lists it.
    pub engine: bool,
}

/// Every claim. A port that `netmap unpublish` took from the engine stays claimed, so that nobody publishes it again
/// before its container has been stopped.
#[derive(Debug, Default)]
pub struct Claims {
    claims: BTreeMap<Published, Claim>,
}

/// What becomes of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is published there as yet.
    Publish,
    /// It is published already, just so.
    Adopt,
    /// It leads elsewhere: to be published anew.
    Replace,
    /// It stays as it is: another claimant knows better.
    Keep,
    /// Another proxy stands for something else there.
    Refuse(Binding),
}

/// What a proxy leaves that has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The port that it stood for.
    pub published: Published,
    /// Whether the Engine API lists it still.
    pub is_claimed: bool,
}

impl Claims {
    /// What becomes of a claim to `binding`, where `rule` is published at the moment.
    pub fn decide(&self, claimant: Claimant, binding: &Binding, rule: Option<(&Binding, Owner)>) -> Decision {
        let claim = self.claims.get(&binding.published);
        let other_shim =
            claim.filter(|claim| claim.shim.is_some_and(|shim| claimant != Claimant::Shim(shim)));
        match (claimant, other_shim) {
            // The API tells what was a moment ago.
            (Claimant::Engine, Some(shims)) if shims.binding != *binding => return Decision::Keep,
            (Claimant::Shim(_), Some(others)) if others.binding != *binding => {
                return Decision::Refuse(others.binding.clone());
            }
            _ => {}
        }
        match rule {
            Some((existing, Owner::Docker { .. })) if existing == binding => Decision::Adopt,
            Some((_, Owner::Docker { .. })) => Decision::Replace,
            None if claimant == Claimant::Engine && claim.is_some_and(|claim| claim.binding == *binding) => {
                Decision::Keep
            }
            // The operator's is in the way, and will say so.
            None | Some((_, Owner::Operator)) => Decision::Publish,
        }
    }

    /// Notes that `claimant` stands for `binding`. A claim to something else at the same port is over.
    pub fn add(&mut self, claimant: Claimant, binding: &Binding) {
        let claim = self.claims.entry(binding.published).or_insert_with(|| Claim {
            binding: binding.clone(),
            shim: None,
            engine: false,
        });
        if claim.binding != *binding {
            if claimant == Claimant::Engine && claim.shim.is_some() {
                return;
            }
            claim.binding = binding.clone();
            claim.engine = false;
        }
        match claimant {
            Claimant::Shim(shim) => claim.shim = Some(shim),
            Claimant::Engine => claim.engine = true,
        }
    }

    /// Who stands for a port.
    pub fn get(&self, published: &Published) -> Option<&Claim> {
        self.claims.get(published)
    }

    /// The engine's proxy takes a port back. What the API still lists of it is of a moment ago: it publishes nothing before
    /// the API has listed it no longer.
    pub fn release(&mut self, published: &Published) {
        if let Some(claim) = self.claims.get_mut(published) {
            claim.shim = None;
            if !claim.engine {
                self.claims.remove(published);
            }
        }
    }

    /// A proxy is gone without a word; `None` if nobody stands there for it any more.
    pub fn close(&mut self, shim: ShimId) -> Option<Closed> {
        let (published, claim) = self
            .claims
            .iter_mut()
            .find(|(_, claim)| claim.shim == Some(shim))?;
        let closed = Closed {
            published: *published,
            is_claimed: claim.engine,
        };
        claim.shim = None;
        if !closed.is_claimed {
            self.claims.remove(&closed.published);
        }
        Some(closed)
    }

    /// Ends the API's claims to what is not `listed`; returns the ports that nobody stands for now.
    pub fn unlist(&mut self, listed: &[Binding]) -> Vec<Published> {
        let listed: std::collections::BTreeSet<_> = listed.iter().map(|binding| binding.published).collect();
        let mut ended = Vec::new();
        self.claims.retain(|published, claim| {
            if claim.engine && !listed.contains(published) {
                claim.engine = false;
            }
            let is_claimed = claim.engine || claim.shim.is_some();
            if !is_claimed {
                ended.push(*published);
            }
            is_claimed
        });
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        binding::{PortSpan, Transport},
        docker::claim::Decision::{Adopt, Keep, Publish, Refuse, Replace},
    };

    const CLAIMED: Owner = Owner::Docker { claimed: true };
    const UNCLAIMED: Owner = Owner::Docker { claimed: false };
    const ONE: Claimant = Claimant::Shim(ShimId(1));
    const TWO: Claimant = Claimant::Shim(ShimId(2));
    const API: Claimant = Claimant::Engine;

    fn to(target: &str) -> Binding {
        Binding {
            published: Published {
                host: "0.0.0.0".parse().unwrap(),
                ports: PortSpan::new(8080, 8080).unwrap(),
                transport: Transport::Tcp,
            },
            target: target.parse().unwrap(),
            target_ports: PortSpan::new(80, 80).unwrap(),
            allow: Vec::new(),
        }
    }

    #[test]
    fn a_first_claim_publishes_and_one_to_what_a_former_daemon_left_adopts() {
        let claims = Claims::default();
        let (old, new) = (to("172.17.0.2"), to("172.17.0.3"));
        for claimant in [ONE, API] {
            assert_eq!(claims.decide(claimant, &new, None), Publish);
            assert_eq!(claims.decide(claimant, &old, Some((&old, UNCLAIMED))), Adopt);
            assert_eq!(claims.decide(claimant, &new, Some((&old, UNCLAIMED))), Replace);
        }
    }

    #[test]
    fn a_proxy_knows_before_the_api() {
        let mut claims = Claims::default();
        let (old, new) = (to("172.17.0.2"), to("172.17.0.3"));
        claims.add(API, &old);
        assert_eq!(claims.decide(ONE, &new, Some((&old, CLAIMED))), Replace);
        claims.add(ONE, &new);
        assert!(!claims.get(&new.published).unwrap().engine);
        // What the API listed before.
        assert_eq!(claims.decide(API, &old, Some((&new, CLAIMED))), Keep);
        claims.add(API, &old);
        assert_eq!(claims.get(&new.published).unwrap().binding, new);
        assert_eq!(claims.decide(API, &new, Some((&new, CLAIMED))), Adopt);
    }

    #[test]
    fn two_proxies_cannot_stand_for_different_containers_but_the_second_takes_the_same_over() {
        let mut claims = Claims::default();
        let (old, new) = (to("172.17.0.2"), to("172.17.0.3"));
        claims.add(ONE, &old);
        assert_eq!(
            claims.decide(TWO, &new, Some((&old, CLAIMED))),
            Refuse(old.clone())
        );
        assert_eq!(claims.decide(TWO, &old, Some((&old, CLAIMED))), Adopt);
        claims.add(TWO, &old);
        // The engine was restarted, and the old proxy's end is noticed late.
        assert_eq!(claims.close(ShimId(1)), None);
        let closed = claims.close(ShimId(2)).unwrap();
        assert!(!closed.is_claimed && closed.published == old.published);
        assert_eq!(claims.get(&old.published), None);
    }

    #[test]
    fn a_rule_goes_with_the_last_claim() {
        let mut claims = Claims::default();
        let binding = to("172.17.0.2");
        claims.add(ONE, &binding);
        claims.add(API, &binding);
        assert_eq!(claims.unlist(&[]), []);
        assert_eq!(
            claims.close(ShimId(1)).map(|closed| closed.is_claimed),
            Some(false)
        );
        claims.add(API, &binding);
        claims.add(ONE, &binding);
        assert_eq!(
            claims.close(ShimId(1)).map(|closed| closed.is_claimed),
            Some(true)
        );
        assert_eq!(claims.unlist(std::slice::from_ref(&binding)), []);
        assert_eq!(claims.unlist(&[]), [binding.published]);
    }

    #[test]
    fn what_a_proxy_took_back_is_not_published_again_by_a_list_of_before() {
        let mut claims = Claims::default();
        let binding = to("172.17.0.2");
        claims.add(ONE, &binding);
        claims.add(API, &binding);
        claims.release(&binding.published);
        assert_eq!(claims.decide(API, &binding, None), Keep);
        assert_eq!(claims.decide(TWO, &binding, None), Publish, "it is started again");
        claims.unlist(&[]);
        assert_eq!(claims.get(&binding.published), None);
        claims.add(ONE, &binding);
        claims.release(&binding.published);
        assert_eq!(claims.get(&binding.published), None);
    }

    #[test]
    fn what_the_operator_took_back_is_not_published_again_by_the_next_list() {
        let mut claims = Claims::default();
        let binding = to("172.17.0.2");
        claims.add(API, &binding);
        assert_eq!(claims.decide(API, &binding, None), Keep);
        assert_eq!(claims.decide(API, &to("172.17.0.3"), None), Publish);
        claims.unlist(&[]);
        assert_eq!(claims.decide(API, &binding, None), Publish);
    }
}
