//! What would change what becomes of a packet: in words, and where there is one, the command.

use netmap_common::{
    maps::{Port, Reason, Rule},
    nat,
};

use super::{
    Case, Ends, Outcome,
    answer::Advice,
    arrival::has_ports,
    family::Family,
    naming::{ip, name},
    published::Spelling,
};

impl<A: Family> Case<'_, A> {
    /// Adds what would change it.
    pub(super) fn advise(&mut self) -> anyhow::Result<()> {
        // Of the program that decided first: what the host does with what that left follows from it.
        let first = self.answer.hooks.first().map(|seen| seen.reason);
        let last = self.answer.reason;
        for named in [first.filter(|_| first != last), last].into_iter().flatten() {
            let Some(reason) = Reason::ALL.iter().find(|reason| reason.name() == named) else {
                continue;
            };
            let advice = self.of(*reason)?;
            self.answer.advice.extend(advice);
        }
        let is_lost = matches!(self.answer.outcome, Outcome::Refused | Outcome::Dropped);
        if self.answer.hooks.is_empty() && is_lost && self.answer.reason.is_none() {
            let advice = self.to_publish();
            self.answer.advice.extend(advice);
        }
        Ok(())
    }

    fn of(&self, reason: Reason) -> anyhow::Result<Vec<Advice>> {
        let packet = self.answer.packet;
        let source = packet.src;
        let port_name = self.answer.from.interface.clone().unwrap_or_default();
        let rule = self.rule()?;
        Ok(match reason {
            Reason::NoEndpoint => self.without_endpoint(rule.as_ref())?,
            Reason::NotAllowed => match &rule {
                Some(rule) if rule.is_of_engine() => vec![Advice::words(
                    "The engine published it: its own allow-list decides.",
                )],
                Some(rule) => vec![Advice::command(
                    format!(
                        "To let {source} in, publish the port again with it in the list (connections are decided anew):"
                    ),
                    Spelling::of(self.maps, rule)?.again(None, Some(&source.to_string())),
                )],
                None => Vec::new(),
            },
            Reason::ForwardingOff => vec![Advice::command(
                format!(
                    "This host does not forward, so that containers reach nobody outside. Switch it on, and keep it in /etc/sysctl.d ({} = 1):",
                    A::FORWARDING
                ),
                format!("sysctl -w {}=1", A::FORWARDING),
            )],
            Reason::PortsExhausted => self.without_ports(packet),
            Reason::TableFull => vec![
                Advice::command("See who has so many flows:", "netmap flows --limit 20"),
                Advice::words(
                    "Start netmap with a larger table: `netmap run --flow-entries N`, after `netmap down --keep-published`. Or end idle flows sooner: `--timeout`.",
                ),
            ],
            Reason::ContainerFull | Reason::ContainerTooFast => vec![Advice::words(
                "The container is at its limit: raise --max-flows or --max-new-flows of `netmap run`, or look at what it does (`netmap flows --address`).",
            )],
            Reason::SourceFull => vec![Advice::command(
                format!(
                    "{source} has as many flows as it may (`netmap run --max-source-flows`). What they are:"
                ),
                format!("netmap flows --address {source}"),
            )],
            Reason::ToHost => self.to_publish(),
            Reason::DirectAccess => self.direct(packet),
            Reason::NotPublishedHere => vec![Advice::words(
                "`netmap run --publish-on` names the addresses and uplinks at which ports are published: add this one, or ask one of those.",
            )],
            Reason::Unpublished => vec![Advice::words(
                "Its port is not published any more: the client must connect anew, once it is again.",
            )],
            Reason::MidFlow => vec![Advice::words(
                "It is in the middle of a connection that netmap does not know, older than netmap or ended since: the client must connect anew.",
            )],
            Reason::NotOurRoute => vec![Advice::command(
                "The route does not lead out of an uplink of netmap's. See which there are, and name this one with `netmap run --uplink`:",
                format!("ip route get {}", packet.dst),
            )],
            Reason::NoUplinkAddress => vec![Advice::words(
                "The uplink has no address of this family to leave by: give it one (`ip address add`), or leave by another with `netmap run --egress`.",
            )],
            Reason::NoEgressAddress => vec![Advice::words(
                "`netmap run --egress` names an address that this host does not have: give it that (`ip address add`), or name another.",
            )],
            Reason::SpoofedSource => vec![Advice::command(
                format!("{source} cannot be behind {port_name}. Where netmap knows containers:"),
                "ip neigh show".to_owned(),
            )],
            Reason::InternalNetwork => vec![Advice::words(
                "The container's network is internal: it reaches its neighbours and this host only. Connect it to another network.",
            )],
            Reason::NotMasqueraded => vec![Advice::words(
                "The container's network is not masqueraded: it leaves with its own address, and whoever is asked needs a route back.",
            )],
            Reason::NoProxy => vec![Advice::command(
                "The daemon does not run:",
                "systemctl start netmap",
            )],
            Reason::NoInterface => vec![Advice::command(
                "netmap does not know the interface (yet). What is attached:",
                "netmap status",
            )],
            Reason::HostSocket => vec![Advice::words(
                "A program of this host is connected to the sender from that port, and gets it.",
            )],
            Reason::LinkLocal => vec![Advice::words(
                "Ask by an address that is not link-local: the container then sees the client's own.",
            )],
            Reason::OtherFamily => self.other_family(rule.as_ref())?,
            Reason::LoopbackOnWire => vec![Advice::words(
                "A loopback address never comes by a wire: --from host explains what a process of this host gets.",
            )],
            _ => Vec::new(),
        })
    }

    /// What is published has no address of the asker's family.
    fn other_family(&self, rule: Option<&Rule<A>>) -> anyhow::Result<Vec<Advice>> {
        Ok(match rule {
            Some(rule) if rule.is_of_engine() => vec![Advice::words(
                "The engine published it: give the container an address of this family by its network.",
            )],
            Some(rule) => vec![Advice::command(
                "The container has no address of this family. With one of each family, it sees the client's own:",
                Spelling::of(self.maps, rule)?.again(Some("IPV4_ADDRESS,IPV6_ADDRESS"), None),
            )],
            None => Vec::new(),
        })
    }

    /// The rule that the packet asks for.
    fn rule(&self) -> anyhow::Result<Option<Rule<A>>> {
        let packet = self.answer.packet;
        if !has_ports(self.question.protocol) {
            return Ok(None);
        }
        let found = nat::published(
            &self.world,
            self.question.protocol,
            A::of(packet.dst),
            Port(packet.dport),
        );
        self.world.check()?;
        Ok(found.map(|(_, rule)| rule))
    }

    fn without_endpoint(&self, rule: Option<&Rule<A>>) -> anyhow::Result<Vec<Advice>> {
        let Some(rule) = rule else { return Ok(Vec::new()) };
        let target = ip(rule.target);
        let mut advice = Vec::new();
        match self.surroundings.names.of(target) {
            Some(name) => advice.push(Advice::command(
                format!("Start the container, if it is stopped; netmap finds it when it is up ({target}):"),
                format!("docker start {name}"),
            )),
            None => advice.push(Advice::words(format!(
                "Start the container, if it is stopped: netmap finds {target} when it is up, on a bridge that netmap manages (`netmap run --bridge`)."
            ))),
        }
        if !rule.is_of_engine() {
            let spelling = Spelling::of(self.maps, rule)?;
            advice.push(Advice::command(
                "If it has another address now, publish to that:",
                spelling.again(Some("CONTAINER_IP"), None),
            ));
            advice.push(Advice::command(
                "If it is gone for good, take the port back:",
                format!("netmap unpublish {}", spelling.unpublish),
            ));
        }
        Ok(advice)
    }

    fn without_ports(&self, packet: Ends) -> Vec<Advice> {
        let [below, above] = nat::Env::settings(&self.world).pool;
        let pool = [below, above]
            .iter()
            .filter(|range| !range.is_empty())
            .map(|range| format!("{}-{}", range.first.0, range.last.0))
            .collect::<Vec<_>>()
            .join(", ");
        let pool = if pool.is_empty() { "empty".to_owned() } else { pool };
        vec![
            Advice::command(
                format!(
                    "The pool of source ports ({pool}) has none free towards {}. It is what lies outside of the host's own range; make that smaller, and netmap has more within ten seconds (keep it in /etc/sysctl.d):",
                    packet.dst
                ),
                "sysctl -w net.ipv4.ip_local_port_range=\"49152 60999\"",
            ),
            Advice::command(
                "See who has so many connections there; they may be reused, or end sooner (`netmap run --timeout`):",
                format!("netmap flows --address {}", packet.dst),
            ),
            Advice::words(
                "Or give the bridge's containers more addresses to leave by: `netmap run --egress BRIDGE=ADDRESS,BRIDGE=ADDRESS`.",
            ),
        ]
    }

    fn to_publish(&self) -> Vec<Advice> {
        let packet = self.answer.packet;
        let protocol = self.question.protocol;
        let is_host = A::of(packet.dst).is_loopback() || nat::Env::is_local(&self.world, A::of(packet.dst));
        if !has_ports(protocol) || !is_host || matches!(self.answer.outcome, Outcome::Host) {
            return Vec::new();
        }
        vec![Advice::command(
            "To publish the port to a container:",
            format!(
                "netmap publish {}:CONTAINER_PORT/{} --to CONTAINER_IP",
                packet.dport,
                protocol.name()
            ),
        )]
    }

    fn direct(&self, packet: Ends) -> Vec<Advice> {
        let mut advice = Vec::new();
        if has_ports(self.question.protocol) {
            advice.push(Advice::command(
                "Ask this host at a published port instead. To publish it:",
                format!(
                    "netmap publish HOST_PORT:{}/{} --to {}",
                    packet.dport,
                    self.question.protocol.name(),
                    packet.dst
                ),
            ));
        }
        let bridge = nat::Env::network(&self.world, A::of(packet.dst)).map(|network| name(network.bridge));
        if self.answer.from.role == "uplink"
            && let Some(bridge) = bridge
        {
            advice.push(Advice::words(format!(
                "Or let everybody outside go straight to the containers of {bridge}: `netmap run --direct {bridge}=allow`."
            )));
        }
        advice
    }
}
