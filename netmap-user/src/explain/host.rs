//! What the host does by itself: it forwards, has the packet, or gives it to the proxy.

use std::net::IpAddr;

use netmap_common::{
    maps::{AllowKey, Hook, IfIndex, Interface, Port, Protocol, Reason, Role},
    nat::{self, Carried, Env as _, HostSocket, Route, Verdict},
};

use super::{
    Case, Ends,
    answer::Outcome,
    arrival::has_ports,
    family::Family,
    frame,
    naming::{ip, name, spec},
    published, routes,
};

impl<A: Family> Case<'_, A> {
    /// The proxy takes it to `target`.
    pub(super) fn by_proxy(&mut self, asked: Ends, target: A) -> anyhow::Result<()> {
        if !self.surroundings.daemon {
            self.answer.step(
                "end",
                "The proxy would take it, and the daemon that has it does not run: whoever else listens there gets it, or it is refused.",
            );
            self.answer.end(Outcome::Refused, Some(Reason::NoProxy));
            return Ok(());
        }
        let gateway = self.gateway(target)?;
        let seen = match gateway {
            Some(gateway) => format!("sees {gateway}, its bridge's address"),
            None => "sees the address that this host reaches it by".to_owned(),
        };
        let port = self.answer.rule.as_ref().and_then(|rule| rule.container_port);
        let container = self.container(target);
        let port = port.unwrap_or(asked.dport);
        self.answer.step(
            "way",
            format!("netmap's proxy takes it, and connects to port {port} of {container} itself: the container {seen}."),
        );
        if self.world.endpoint(target).is_none() && !target.is_mapped() {
            self.answer.step(
                "end",
                format!("Nobody is known to be at {container}, so the proxy will hardly reach it: then the client's connection is closed."),
            );
        }
        let target = ip(target);
        let after = Ends {
            src: gateway.unwrap_or(asked.src),
            sport: 0,
            dst: target,
            dport: port,
        };
        self.answer.becomes(after);
        self.answer.outcome = Outcome::Proxied;
        if self.answer.reason.is_none() {
            self.answer.end(Outcome::Proxied, Some(Reason::Proxied));
        }
        self.world.check()
    }

    /// The address that a container sees the proxy by: its bridge's.
    fn gateway(&self, target: A) -> anyhow::Result<Option<IpAddr>> {
        let IpAddr::V4(target4) = ip(target) else {
            return Ok(self.world.network(target).map(|network| ip(network.gateway)));
        };
        let networks = self.maps.v4.networks.all()?;
        let around = networks.iter().filter(|(net, _)| net.contains(&target4));
        let nearest = around.max_by_key(|(net, _)| net.prefix_len());
        Ok(nearest.map(|(_, network)| ip(network.gateway)))
    }

    /// What reaches the host itself. `from` is the interface; none for its own processes.
    pub(super) fn deliver(&mut self, ends: Ends, from: Option<IfIndex>) -> anyhow::Result<()> {
        let protocol = self.question.protocol;
        if !has_ports(protocol) {
            self.answer.step(
                "end",
                "It is for this host, which answers echo requests by itself.",
            );
            self.answer.outcome = Outcome::Host;
            return Ok(());
        }
        let found = nat::published(&self.world, protocol, A::of(ends.dst), Port(ends.dport));
        self.world.check()?;
        let socket = self.world.socket(protocol, ends);
        if protocol == Protocol::Tcp && self.question.established && socket != HostSocket::Connected {
            self.answer.step(
                "end",
                "It is for this host, which has no such connection: the sender gets a reset.",
            );
            self.answer.outcome = Outcome::Refused;
            return self.world.check();
        }
        let Some((id, rule)) = found else {
            if from.is_none() {
                self.tell_unpublished(ends)?;
            }
            return self.by_socket(ends, socket);
        };
        if self.answer.rule.is_none() {
            self.answer.rule = Some(published::row(
                self.maps,
                &self.surroundings.names,
                (id, &rule),
                ends.dport,
            )?);
            self.answer.step(
                "rule",
                format!("{} is published to {}.", spec(&rule), self.container(rule.target)),
            );
        }
        if rule.yields() {
            self.answer.step(
                "policy",
                "Another program of this host had the port before it was published, and keeps it here.",
            );
            return self.by_socket(ends, socket);
        }
        if socket == HostSocket::Connected {
            return self.by_socket(ends, socket);
        }
        if let Some(from) = from
            && self.is_closed(from, A::of(ends.dst))
        {
            self.answer.step(
                "end",
                "Nothing is published by that interface at this address (`--publish-on`).",
            );
            self.answer.end(Outcome::Dropped, Some(Reason::NotPublishedHere));
            return Ok(());
        }
        let source = A::of(ends.src);
        if from.is_some()
            && rule.has_allow_list()
            && !self.world.is_local(source)
            && !self.world.allows(&AllowKey::new(id, source))
        {
            self.answer.step(
                "policy",
                "The proxy takes it, and closes it: the source is not in the rule's allow-list.",
            );
            self.answer.outcome = Outcome::Refused;
            return self.world.check();
        }
        if from.is_none() && rule.target.is_mapped() {
            self.answer.step(
                "policy",
                "The container has no address of this family: the proxy carries all of it.",
            );
        } else if from.is_none() && self.world.endpoint(rule.target).is_none() {
            let container = self.container(rule.target);
            self.answer.step(
                "policy",
                format!(
                    "{container} has no place that netmap knows: it is stopped, or behind no managed bridge."
                ),
            );
            self.answer.end(Outcome::Proxied, Some(Reason::NoEndpoint));
        }
        self.by_proxy(ends, rule.target)
    }

    /// See the program `steer`, which decides just so.
    fn is_closed(&self, from: IfIndex, address: A) -> bool {
        let closed = self.world.is_closed(address);
        match self.world.interface(from) {
            Some(uplink) if uplink.role == Role::Uplink as u8 => {
                uplink.flags & Interface::<A>::CLOSED != 0 && (closed || !self.world.is_local(address))
            }
            Some(_) => false,
            None => closed,
        }
    }

    fn by_socket(&mut self, ends: Ends, socket: HostSocket) -> anyhow::Result<()> {
        let told = format!("{}/{}", ends.target(), self.question.protocol.name());
        if socket == HostSocket::Absent {
            let answer = match self.question.protocol {
                Protocol::Udp => "an ICMP error, 'port unreachable'",
                _ => "a reset",
            };
            self.answer.step(
                "end",
                format!("It is for this host, and no program of it listens at {told}: the sender gets {answer}, or nothing where a firewall drops it."),
            );
            self.answer.outcome = Outcome::Refused;
        } else {
            self.answer.step("end", format!("It is for this host, where a program has a socket at {told}; its firewall may still refuse it."));
            self.answer.outcome = Outcome::Host;
        }
        self.world.check()
    }

    /// What the host's stack does with a packet that came in by `from`, and that `hook` had before.
    pub(super) fn by_stack(&mut self, ends: Ends, from: Option<IfIndex>, hook: Hook) -> anyhow::Result<()> {
        let to = A::of(ends.dst);
        if to.is_loopback() || self.world.is_local(to) {
            return self.deliver(ends, from);
        }
        let Some(from) = from else {
            return self.leave_by_route(ends);
        };
        let key = A::key(self.question.protocol, ends);
        match self.world.routes().forward(&key, from)? {
            Route::ForwardingOff => {
                self.answer.step(
                    "end",
                    format!("It is not for this host, and what comes in by {} is not forwarded: the host drops it.", name(from)),
                );
                self.answer.outcome = Outcome::Dropped;
                Ok(())
            }
            Route::Nowhere => {
                self.answer.step("end", "The host does not route it: there is no route, or it cannot come from there (`rp_filter`).");
                self.answer.outcome = Outcome::Dropped;
                Ok(())
            }
            Route::Out(out) => {
                self.answer.step(
                    "way",
                    format!(
                        "The host's stack forwards it by {}, if its firewall lets it.",
                        name(out)
                    ),
                );
                self.leave(ends, out, hook)
            }
        }
    }

    pub(super) fn leave_by_route(&mut self, ends: Ends) -> anyhow::Result<()> {
        let key = A::key(self.question.protocol, ends);
        match self.world.routes().ask(&key, None)? {
            routes::Answer::Out(out) => {
                self.answer
                    .step("way", format!("The host routes it out of {}.", name(out)));
                self.leave(ends, out, Hook::Socket)
            }
            routes::Answer::Local => {
                self.answer.step("end", "The host takes it itself.");
                self.answer.outcome = Outcome::Host;
                Ok(())
            }
            routes::Answer::Nowhere => {
                self.answer.step("end", "The host has no route for it.");
                self.answer.outcome = Outcome::Refused;
                Ok(())
            }
        }
    }

    /// By an uplink past the program at its egress, else by an interface where netmap sees nothing that leaves.
    fn leave(&mut self, ends: Ends, out: IfIndex, hook: Hook) -> anyhow::Result<()> {
        let is_uplink = self
            .world
            .interface(out)
            .is_some_and(|interface| interface.role == Role::Uplink as u8);
        let was_carried = self.answer.hooks.iter().any(|seen| seen.class == "carried");
        if !is_uplink || hook == Hook::UplinkOut {
            self.answer.step(
                "end",
                format!(
                    "It leaves by {}, where netmap has no program for what leaves.",
                    name(out)
                ),
            );
            self.answer.outcome = if was_carried {
                Outcome::Carried
            } else {
                Outcome::Forwarded
            };
            return Ok(());
        }
        let mut question = self.question;
        question.from = ends.source();
        question.to = ends.target();
        let mut bytes = frame::make(&question)?;
        let result = self.run(Hook::UplinkOut, out, &mut bytes)?;
        if let Ok(Carried {
            verdict: Verdict::Stack,
            ..
        }) = result
        {
            self.answer.outcome = Outcome::Carried;
        }
        Ok(())
    }

    /// A packet at an interface without any program of netmap's.
    pub(super) fn arrive_unseen(&mut self, interface: IfIndex) -> anyhow::Result<()> {
        let ends = self.answer.packet;
        self.by_stack(ends, Some(interface), Hook::Socket)
    }
}
