//! What a process of this host gets that asks: led by the socket hooks, served by the proxy, or left to the host.

use netmap_common::{
    maps::{Detour, IfIndex, Place, Port, Reason},
    nat::{
        self, Env as _,
        local::{self, Caller},
    },
};

use super::{
    Case, Ends,
    answer::Outcome,
    arrival::has_ports,
    family::Family,
    naming::{ip, name, range, spec},
    published,
};

/// A process's socket that is bound to no address and no interface: as most are.
struct Unbound {
    netns: u64,
}

impl<A: Family> Caller<A> for Unbound {
    fn source(&self) -> A {
        A::ANY
    }

    fn device(&self) -> IfIndex {
        IfIndex(0)
    }

    fn mark(&self) -> u32 {
        0
    }

    fn netns(&self) -> u64 {
        self.netns
    }
}

impl<A: Family> Case<'_, A> {
    /// What a process of this host sends.
    pub(super) fn ask_as_process(&mut self) -> anyhow::Result<()> {
        let asked = self.answer.packet;
        let settings = nat::Env::settings(&self.world);
        let unbound = Unbound {
            netns: settings.netns_cookie,
        };
        let to = Place::new(A::of(asked.dst), Port(asked.dport));
        let detour = if has_ports(self.question.protocol) {
            local::detour(&self.world, &unbound, self.question.protocol, to)
        } else {
            None
        };
        self.world.check()?;
        if let Some(detour) = detour {
            self.tell_process_rule(&detour)?;
            if self.attached.connect {
                return self.by_hook(&unbound, &detour);
            }
            self.answer.step(
                "policy",
                "The socket hooks are not attached (`netmap run --no-socket-hooks`, or no control group): the proxy serves the host's own processes.",
            );
            return self.by_proxy(asked, detour.target.address);
        }
        let local = A::of(asked.dst);
        if local.is_loopback() || local == A::ANY || self.world.is_local(local) {
            return self.deliver(asked, None);
        }
        self.answer.step(
            "rule",
            format!(
                "{} is not this host's: nothing that is published matters.",
                asked.dst
            ),
        );
        self.leave_by_route(asked)
    }

    fn tell_process_rule(&mut self, detour: &Detour<A>) -> anyhow::Result<()> {
        let found = nat::published(
            &self.world,
            self.question.protocol,
            detour.origin.address,
            detour.origin.port,
        );
        let Some((id, rule)) = found else { return Ok(()) };
        let row = published::row(
            self.maps,
            &self.surroundings.names,
            (id, &rule),
            detour.origin.port.0,
        )?;
        if rule.has_allow_list() {
            self.answer.step(
                "policy",
                format!(
                    "Its allow-list ({}) is for others: processes of this host may always connect.",
                    row.allow.join(", ")
                ),
            );
        }
        self.answer.rule = Some(row);
        self.answer.step(
            "rule",
            format!(
                "{} is published to port {} of {}.",
                spec(&rule),
                range(rule.target_port.0, rule.length),
                self.container(rule.target)
            ),
        );
        Ok(())
    }

    /// The hook at connect(2) or sendmsg(2) takes it.
    fn by_hook(&mut self, caller: &Unbound, detour: &Detour<A>) -> anyhow::Result<()> {
        let asked = self.answer.packet;
        let endpoint = self.world.endpoint(detour.target.address);
        let gateway = endpoint.map(|endpoint| endpoint.gateway);
        let source = local::source(caller, detour)
            .or(gateway)
            .unwrap_or_else(|| A::of(asked.src));
        let after = Ends {
            src: ip(source),
            sport: asked.sport,
            dst: ip(detour.target.address),
            dport: detour.target.port.0,
        };
        self.answer.becomes(after);
        self.answer.step(
            "translation",
            format!(
                "The socket hook leads the process straight to {} when it connects or sends: no packet is translated.",
                after.target()
            ),
        );
        self.answer.step(
            "answers",
            format!(
                "The container sees {}; the process sees {} as its peer.",
                after.src,
                asked.target()
            ),
        );
        if let Some(endpoint) = endpoint {
            self.answer.step(
                "way",
                format!("It leaves by {}, the container's bridge.", name(endpoint.bridge)),
            );
        }
        self.answer.step(
            "end",
            "A socket that is bound to a loopback address or to an interface, and a process outside netmap's control group, is served by the proxy instead.",
        );
        self.answer.end(Outcome::Connected, Some(Reason::Connected));
        self.world.check()
    }
}
