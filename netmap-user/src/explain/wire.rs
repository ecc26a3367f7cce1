//! A packet at netmap's programs: what each decides, and why.

use netmap_common::{
    maps::{Class, Hook, IfIndex, Kind, Reason, Side},
    nat::{self, Carried, Env as _, Verdict},
};

use super::{
    Case, Ends,
    answer::{FlowRow, Outcome, Seen},
    arrival::has_ports,
    family::Family,
    frame,
    naming::{name, range, spec},
    published,
    sight::Sight,
};

impl<A: Family> Case<'_, A> {
    /// A packet at an interface with a hook.
    pub(super) fn arrive_at(&mut self, hook: Hook, interface: IfIndex) -> anyhow::Result<()> {
        let mut bytes = frame::make(&self.question)?;
        let before = self.answer.packet;
        let result = self.run(hook, interface, &mut bytes)?;
        let after = frame::read(&bytes).unwrap_or(before);
        match result {
            Ok(Carried {
                verdict: Verdict::Stack,
                ..
            }) => {
                self.answer.step(
                    "way",
                    "It goes on by the host's own stack, with its firewall, which forwards it.",
                );
                self.by_stack(after, Some(interface), hook)
            }
            Ok(_) => Ok(()),
            Err(reason) if reason.class() == Class::Dropped => {
                self.answer.end(Outcome::Dropped, Some(reason));
                Ok(())
            }
            Err(Reason::OnLink) => {
                self.answer.step(
                    "end",
                    "The bridge switches it to the neighbour: netmap has no part in it.",
                );
                self.answer.end(Outcome::Forwarded, Some(Reason::OnLink));
                Ok(())
            }
            Err(_) => {
                // To the host's stack, containers' packets come by their bridge.
                let from = match hook {
                    Hook::PortIn => self
                        .world
                        .interface(interface)
                        .map_or(interface, |port| port.bridge),
                    _ => interface,
                };
                self.by_stack(after, Some(from), hook)
            }
        }
    }

    /// One program, and what it sees in words.
    pub(super) fn run(
        &mut self,
        hook: Hook,
        interface: IfIndex,
        bytes: &mut [u8],
    ) -> anyhow::Result<Result<Carried, Reason>> {
        let before = frame::read(bytes).unwrap_or(self.answer.packet);
        self.world.arrive(interface);
        let result = nat::process(bytes, &self.world, hook);
        self.world.check()?;
        let sight = self.world.seen.take();
        let after = frame::read(bytes).unwrap_or(before);
        let reason = match result {
            Ok(carried) => carried.reason,
            Err(reason) => reason,
        };
        let at = name(interface);
        self.tell_flow(&sight);
        self.tell_rule(&sight, hook, before, reason)?;
        self.tell_policy(&sight, hook, reason);
        if let Ok(carried) = result {
            self.tell_translation(&sight, before, after, hook, carried);
        }
        let verb = match reason.class() {
            Class::Carried => "carries it",
            Class::Passed => "leaves it to the host",
            Class::Dropped => "drops it",
        };
        self.answer.step(
            "policy",
            format!(
                "netmap's program at {at} ({hook}) {verb}: {reason}. {meaning}",
                hook = hook.name(),
                reason = reason.name(),
                meaning = reason.meaning()
            ),
        );
        self.answer.hooks.push(Seen::new(hook, at, result, before, after));
        self.answer.end(
            match reason.class() {
                Class::Carried => Outcome::Carried,
                Class::Passed => Outcome::Forwarded,
                Class::Dropped => Outcome::Dropped,
            },
            Some(reason),
        );
        Ok(result)
    }

    fn tell_flow(&mut self, sight: &Sight<A>) {
        match (&sight.flow, &sight.opened) {
            (Some((_, flow)), None) => {
                let kind = flow.kind().map_or("unknown", Kind::name);
                let side = match flow.side() {
                    Side::Original => "original",
                    Side::Reply => "reply",
                };
                let age = self.world.now().since(flow.created).0;
                self.answer.step(
                    "flow",
                    format!("It belongs to a flow: {kind}, opened {age} s ago, in the direction '{side}'."),
                );
                self.answer.flow = Some(FlowRow {
                    exists: true,
                    kind: flow.kind().map(Kind::name),
                    side,
                });
            }
            (Some(_), Some(_)) => {
                self.answer.step(
                    "flow",
                    "Its flow counts no more, as the rule is another now: it opens a new one.",
                );
            }
            (None, Some(_)) => {
                self.answer.step("flow", "It has no flow yet, and opens one.");
            }
            (None, None) => self.answer.step("flow", "It has no flow."),
        }
        if sight.opened.is_some() {
            self.answer.flow = Some(FlowRow {
                exists: false,
                kind: None,
                side: "original",
            });
        }
    }

    fn tell_rule(&mut self, sight: &Sight<A>, hook: Hook, ends: Ends, reason: Reason) -> anyhow::Result<()> {
        let protocol = self.question.protocol;
        let is_here = hook != Hook::UplinkOut && self.world.is_local(A::of(ends.dst));
        if let Some((id, rule)) = sight.rule
            && (is_here || sight.flow.is_some())
        {
            // Shared slots lead to rules of other addresses too.
            let is_match = sight.flow.is_some() || reason != Reason::ToHost;
            if is_match {
                let port = if is_here { ends.dport } else { rule.host_port.0 };
                self.answer.rule = Some(published::row(
                    self.maps,
                    &self.surroundings.names,
                    (id, &rule),
                    port,
                )?);
                self.answer.step(
                    "rule",
                    format!(
                        "{} is published to port {} of {}.",
                        spec(&rule),
                        range(rule.target_port.0, rule.length),
                        self.container(rule.target)
                    ),
                );
                return Ok(());
            }
        }
        if !has_ports(protocol) || hook == Hook::UplinkOut {
            return Ok(());
        }
        if is_here {
            self.tell_unpublished(ends)?;
        } else if self.world.network(A::of(ends.dst)).is_some() {
            let rules = self.world.tables().rules.live()?;
            for close in published::of_container(&rules, protocol, ends) {
                self.answer.step("near", format!("Close: {close}."));
            }
        }
        Ok(())
    }

    /// Nothing is published there, and what comes close.
    pub(super) fn tell_unpublished(&mut self, ends: Ends) -> anyhow::Result<()> {
        let protocol = self.question.protocol;
        self.answer.step(
            "rule",
            format!("Nothing is published at {}/{}.", ends.target(), protocol.name()),
        );
        let rules = self.world.tables().rules.live()?;
        for close in published::near(&rules, protocol, ends) {
            self.answer.step("near", format!("Close: {close}."));
        }
        Ok(())
    }

    fn tell_policy(&mut self, sight: &Sight<A>, hook: Hook, reason: Reason) {
        let source = self.answer.packet.src;
        if let Some(rule) = &self.answer.rule
            && let Some(allowed) = sight.allowed
        {
            let list = rule.allow.join(", ");
            let text = match (allowed, list.as_str()) {
                (true, _) => format!("Its allow-list has {source}: {list}."),
                (false, "0.0.0.0/32" | "::/128") => format!(
                    "Its allow-list has sources of the other family only: nobody of {source}'s may connect."
                ),
                (false, _) => format!("Its allow-list misses {source}: {list}."),
            };
            self.answer.step("policy", text);
        }
        if let Some((address, None)) = sight.endpoint
            && reason == Reason::NoEndpoint
        {
            let container = self.container(address);
            let text = match self.world.network(address) {
                Some(network) => format!(
                    "{container} is not there: its address belongs to {}, and nobody answers for it. The container is stopped, or has another address now.",
                    name(network.bridge)
                ),
                None => format!("{container} is behind no bridge that netmap manages."),
            };
            self.answer.step("policy", text);
        }
        if reason == Reason::PortsExhausted {
            self.answer.step(
                "policy",
                format!(
                    "{} source ports were tried for it: {} have a flow to the same destination, the others are published or the host's own.",
                    sight.tries, sight.taken
                ),
            );
        }
        if reason == Reason::TableFull {
            let (entries, capacity) = self.world.fill();
            self.answer.step(
                "policy",
                format!("The flow table has {entries} of {capacity} entries, two a flow."),
            );
        }
        if hook != Hook::UplinkOut
            && let Some(route) = sight.route
        {
            let text = match route {
                nat::Route::Out(out) => format!("The host routes it out of {}.", name(out)),
                nat::Route::ForwardingOff => "The host does not forward what comes in there.".to_owned(),
                nat::Route::Nowhere => "The host has no route for it, or takes it itself.".to_owned(),
            };
            self.answer.step("policy", text);
        }
    }

    fn tell_translation(
        &mut self,
        sight: &Sight<A>,
        before: Ends,
        after: Ends,
        hook: Hook,
        carried: Carried,
    ) {
        let protocol = self.question.protocol;
        self.answer.becomes(after);
        if before == after {
            self.answer.step("translation", "Nothing of it is translated.");
        } else {
            self.answer.step(
                "translation",
                format!("{} becomes {}.", before.told(protocol), after.told(protocol)),
            );
            self.answer.step(
                "answers",
                format!(
                    "The answer {} becomes {}.",
                    after.reversed().told(protocol),
                    before.reversed().told(protocol)
                ),
            );
        }
        if let Some(kind) = opened_kind(sight, carried.reason)
            && let Some(flow) = &mut self.answer.flow
        {
            flow.kind = Some(kind.name());
        }
        let way = match carried.verdict {
            Verdict::Peer(out) => format!(
                "It goes straight into the container behind {} (redirect to the veth's other end), past the host's stack and its firewall.",
                name(out)
            ),
            Verdict::Neigh(out) => format!(
                "It leaves by {} (redirect to the neighbour there), past the host's stack and its firewall.",
                name(out)
            ),
            // What leaves an uplink has been forwarded.
            Verdict::Stack if hook == Hook::UplinkOut => {
                format!("It leaves by {}.", name(self.world.arrival()))
            }
            Verdict::Stack => return,
        };
        self.answer.step("way", way);
    }
}

/// What kind of flow was opened.
fn opened_kind<A: Family>(sight: &Sight<A>, reason: Reason) -> Option<Kind> {
    let kind = sight.flow.as_ref().and_then(|(_, flow)| flow.kind());
    sight.opened?;
    match reason {
        Reason::PublishedIn | Reason::StackPublishedIn => Some(Kind::Published),
        Reason::EgressOut | Reason::StackEgressOut => Some(Kind::Egress),
        Reason::HairpinIn => Some(Kind::Hairpin),
        Reason::OwnPortIn => Some(Kind::OwnPort),
        Reason::DirectIn => Some(Kind::Direct),
        Reason::MappedIn => Some(Kind::Mapped),
        _ => kind,
    }
}
