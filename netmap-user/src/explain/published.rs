//! What is published, in the words of `netmap publish`, and what of it comes close to a packet that nothing matches.

use std::net::IpAddr;

use netmap_common::maps::{Protocol, Rule, RuleId};

use super::{
    Ends, Names,
    answer::RuleRow,
    family::Family,
    naming::{ip, range, spec},
};
use crate::{maps::Maps, publish::allow_of};

/// So far from a published range counts as next to it.
const NEAR: u16 = 10;

/// How a rule is taken back and published anew: both families of it, where it stands in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// As in `8080/tcp`.
    pub(super) unpublish: String,
    /// As in `8080:80/tcp`.
    ports: String,
    /// Its containers, an address a family.
    targets: Vec<IpAddr>,
    /// Its allow-lists.
    allow: Vec<String>,
}

impl Spelling {
    /// Of this rule.
    pub(super) fn of<A: Family>(maps: &Maps, rule: &Rule<A>) -> anyhow::Result<Self> {
        let (rules, rules6) = (maps.v4.rules.live()?, maps.v6.rules.live()?);
        let mut pairs = Vec::new();
        for (id, other) in &rules {
            if is_other_half(rule, other) || is_same(rule, other) {
                let allow = maps.v4.allow.of(*id)?;
                pairs.push((
                    ip(other.target),
                    allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ));
            }
        }
        for (id, other) in &rules6 {
            if is_other_half(rule, other) || is_same(rule, other) {
                let allow = maps.v6.allow.of(*id)?;
                let target = ip(other.target);
                pairs.push((target, allow.iter().map(ToString::to_string).collect()));
            }
        }
        let protocol = Protocol::from_number(rule.protocol).map_or("", Protocol::name);
        let host_ports = range(rule.host_port.0, rule.length);
        let target_ports = range(rule.target_port.0, rule.length);
        // A rule of any address is one of both families, if both have it.
        let host = if rule.host == A::ANY && pairs.len() > 1 {
            String::new()
        } else {
            let spec = spec(rule);
            let end = spec.rfind(&format!(":{host_ports}/")).map_or(0, |at| at + 1);
            spec.get(..end).unwrap_or_default().to_owned()
        };
        let mut targets: Vec<_> = pairs.iter().map(|(target, _)| *target).collect();
        targets.dedup();
        let mut allow: Vec<_> = pairs.into_iter().flat_map(|(_, allow)| allow).collect();
        if allow.is_empty() {
            // A list that admits nobody is not none.
            let nobody = allow_of(rule, &[]);
            allow.extend(nobody.iter().map(ToString::to_string));
        }
        Ok(Self {
            unpublish: format!("{host}{host_ports}/{protocol}"),
            ports: format!("{host}{host_ports}:{target_ports}/{protocol}"),
            targets,
            allow,
        })
    }

    /// Takes it back and publishes it again, to `target` where one is given, for `more` sources beside those it has.
    pub(super) fn again(&self, target: Option<&str>, more: Option<&str>) -> String {
        let targets = match target {
            Some(target) => target.to_owned(),
            None => self
                .targets
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
        };
        let mut allow = self.allow.clone();
        allow.extend(more.map(str::to_owned));
        let allow = if allow.is_empty() {
            String::new()
        } else {
            format!(" --allow {}", allow.join(","))
        };
        format!(
            "netmap unpublish {} && netmap publish {} --to {targets}{allow}",
            self.unpublish, self.ports
        )
    }
}

/// Whether it is the same rule of the other family: of any address both, or the same one.
fn is_other_half<A: Family, B: Family>(rule: &Rule<A>, other: &Rule<B>) -> bool {
    A::BITS != B::BITS && rule.host == A::ANY && other.host == B::ANY && ports_of(rule) == ports_of(other)
}

fn is_same<A: Family, B: Family>(rule: &Rule<A>, other: &Rule<B>) -> bool {
    A::BITS == B::BITS && ports_of(rule) == ports_of(other) && ip(rule.host) == ip(other.host)
}

fn ports_of<A: Family>(rule: &Rule<A>) -> [u16; 4] {
    [
        rule.host_port.0,
        rule.target_port.0,
        rule.length,
        u16::from(rule.protocol),
    ]
}

/// A rule for JSON.
pub(super) fn row<A: Family>(
    maps: &Maps,
    names: &Names,
    (id, rule): (RuleId, &Rule<A>),
    port: u16,
) -> anyhow::Result<RuleRow> {
    let container = ip(rule.target);
    let sources: Vec<_> = A::maps(maps).allow.of(id)?.into_iter().collect();
    let allow = allow_of(rule, &sources);
    Ok(RuleRow {
        published: spec(rule),
        container,
        container_name: names.of(container).map(str::to_owned),
        container_port: rule
            .target_port_of(netmap_common::maps::Port(port))
            .map(|port| port.0),
        allow: allow.iter().map(ToString::to_string).collect(),
    })
}

/// What comes close, a sentence each: of `rules`, for a packet to `ends` at this host.
pub(super) fn near<A: Family>(rules: &[(RuleId, Rule<A>)], protocol: Protocol, ends: Ends) -> Vec<String> {
    let mut found = Vec::new();
    for (_, rule) in rules {
        let is_transport = rule.protocol == protocol.number();
        let (first, last) = (rule.host_port.0, rule.last_port().0);
        let covers = (first..=last).contains(&ends.dport);
        let host: IpAddr = rule.host.into();
        let serves = rule.host == A::ANY || host == ends.dst;
        let spec = spec(rule);
        let target = ip(rule.target);
        if covers && is_transport && !serves {
            found.push(format!(
                "{spec} is published at {host} alone, not at {}",
                ends.dst
            ));
        } else if covers && !is_transport {
            found.push(format!(
                "{spec} is published, for another protocol than {}",
                protocol.name()
            ));
        } else if is_transport && serves && last < ends.dport && ends.dport - last <= NEAR {
            found.push(format!(
                "{spec} ends {} below port {}",
                ports(ends.dport - last),
                ends.dport
            ));
        } else if is_transport && serves && first > ends.dport && first - ends.dport <= NEAR {
            found.push(format!(
                "{spec} begins {} above port {}",
                ports(first - ends.dport),
                ends.dport
            ));
        } else if is_transport && target_covers(rule, ends.dport) {
            found.push(format!(
                "port {} is one of the container's ({target}): from outside it is {spec}",
                ends.dport
            ));
        }
    }
    found
}

/// Where a container's own port is published, for a packet straight to it.
pub(super) fn of_container<A: Family>(
    rules: &[(RuleId, Rule<A>)],
    protocol: Protocol,
    ends: Ends,
) -> Vec<String> {
    let is_target = |rule: &Rule<A>| ip(rule.target) == ends.dst;
    let mut found = Vec::new();
    for (_, rule) in rules.iter().filter(|(_, rule)| is_target(rule)) {
        let spec = spec(rule);
        if rule.protocol == protocol.number() && target_covers(rule, ends.dport) {
            found.push(format!(
                "port {} of {} is published as {spec}",
                ends.dport, ends.dst
            ));
        } else {
            found.push(format!(
                "{spec} leads to port {} of {}",
                range(rule.target_port.0, rule.length),
                ends.dst
            ));
        }
    }
    found
}

fn target_covers<A: Family>(rule: &Rule<A>, port: u16) -> bool {
    let first = rule.target_port.0;
    (first..=first.saturating_add(rule.length.saturating_sub(1))).contains(&port)
}

fn ports(number: u16) -> String {
    match number {
        1 => "one".to_owned(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Port};

    use super::*;

    fn rule(host: [u8; 4], port: u16, length: u16, protocol: Protocol) -> (RuleId, Rule<Address>) {
        let rule = Rule {
            host: Address::from(std::net::Ipv4Addr::from(host)),
            target: Address(0xac1e_0102),
            host_port: Port(port),
            target_port: Port(80),
            length,
            protocol: protocol.number(),
            flags: Rule::LIVE,
            ..Rule::default()
        };
        (RuleId(1), rule)
    }

    fn ends(to: &str) -> Ends {
        let question = super::super::Question::parse("192.0.2.7:1", to).unwrap();
        Ends::from(&question)
    }

    #[test]
    fn each_way_to_miss_a_rule_has_its_sentence() {
        let any = [0; 4];
        let near = |rule, to| near(&[rule], Protocol::Tcp, ends(to));
        assert_eq!(
            near(rule([192, 0, 2, 1], 8080, 1, Protocol::Tcp), "192.0.2.2:8080"),
            ["192.0.2.1:8080/tcp is published at 192.0.2.1 alone, not at 192.0.2.2"]
        );
        assert_eq!(
            near(rule(any, 8080, 1, Protocol::Udp), "192.0.2.2:8080"),
            ["0.0.0.0:8080/udp is published, for another protocol than tcp"]
        );
        assert_eq!(
            near(rule(any, 8000, 80, Protocol::Tcp), "192.0.2.2:8080"),
            ["0.0.0.0:8000-8079/tcp ends one below port 8080"]
        );
        assert_eq!(
            near(rule(any, 8083, 1, Protocol::Tcp), "192.0.2.2:8080"),
            ["0.0.0.0:8083/tcp begins 3 above port 8080"]
        );
        assert_eq!(
            near(rule(any, 9000, 1, Protocol::Tcp), "192.0.2.2:80"),
            ["port 80 is one of the container's (172.30.1.2): from outside it is 0.0.0.0:9000/tcp"]
        );
        assert!(near(rule(any, 9000, 1, Protocol::Tcp), "192.0.2.2:8080").is_empty());
    }

    #[test]
    fn a_containers_port_is_told_by_what_it_is_outside() {
        let to = ends("172.30.1.2:80");
        assert_eq!(
            of_container(&[rule([0; 4], 8080, 1, Protocol::Tcp)], Protocol::Tcp, to),
            ["port 80 of 172.30.1.2 is published as 0.0.0.0:8080/tcp"]
        );
        assert_eq!(
            of_container(&[rule([0; 4], 8080, 1, Protocol::Udp)], Protocol::Tcp, to),
            ["0.0.0.0:8080/udp leads to port 80 of 172.30.1.2"]
        );
    }

    #[test]
    fn a_rule_is_spelled_as_it_is_published() {
        let spelling = Spelling {
            unpublish: "8080/tcp".to_owned(),
            ports: "8080:80/tcp".to_owned(),
            targets: vec!["172.30.1.2".parse().unwrap()],
            allow: vec!["10.0.0.0/8".to_owned()],
        };
        assert_eq!(
            spelling.again(None, Some("192.0.2.7")),
            "netmap unpublish 8080/tcp && netmap publish 8080:80/tcp --to 172.30.1.2 --allow 10.0.0.0/8,192.0.2.7"
        );
        assert!(
            spelling
                .again(Some("NEW_ADDRESS"), None)
                .contains("--to NEW_ADDRESS --allow 10.0.0.0/8")
        );
    }
}
