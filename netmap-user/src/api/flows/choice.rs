//! Which flows are asked for.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use netmap_common::{
    maps::{Flow, FlowKey, IfIndex, Ip, Kind, Protocol, Seconds},
    nat::state_name,
};
use serde::{Deserialize, Serialize};

use super::{super::types::EngineNames, last_seen};

/// Every state that a flow may be in.
pub const STATES: [&str; 7] = [
    "opening",
    "established",
    "closed",
    "reset",
    "unanswered",
    "answered",
    "kept",
];

/// Which flows are wanted, as users say it. What is empty does not restrict; of what is not, one of each must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowFilter {
    /// `tcp`, `udp`, `icmp`.
    pub protocols: Vec<String>,
    /// Kinds by name ([`Kind::name`]).
    pub kinds: Vec<String>,
    /// States by name ([`STATES`]).
    pub states: Vec<String>,
    /// Addresses of either end, before or after translation, or subnets that one of them is in.
    pub addresses: Vec<IpNet>,
    /// Ports of either end, before or after translation.
    pub ports: Vec<u16>,
    /// Who opened the flow, or a subnet that they are in.
    pub clients: Vec<IpNet>,
    /// Containers, by an address or by the engine's name.
    pub containers: Vec<String>,
    /// Interfaces by name that packets come by or go on by, as far as the flow has them.
    pub interfaces: Vec<String>,
    /// Without a packet for so many seconds at least.
    pub min_idle_seconds: Option<u32>,
    /// Opened so many seconds ago at least.
    pub min_age_seconds: Option<u32>,
    /// With so many bytes at least, both directions together.
    pub min_bytes: Option<u64>,
}

/// How many addresses, names or ports a filter may list: each flow is compared with all of them.
const MOST: usize = 1_024;

/// The same, ready to be compared with flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    protocols: BTreeSet<u8>,
    kinds: BTreeSet<u8>,
    states: BTreeSet<String>,
    addresses: Vec<IpNet>,
    ports: BTreeSet<u16>,
    clients: Vec<IpNet>,
    /// Containers' addresses; none of them is no restriction.
    containers: Option<BTreeSet<IpAddr>>,
    interfaces: BTreeSet<IfIndex>,
    min_idle: u32,
    min_age: u32,
    min_bytes: u64,
}

impl FlowFilter {
    /// Whether it leaves out nothing. At least nothing is no restriction.
    pub fn is_everything(&self) -> bool {
        let restricting = Self {
            min_idle_seconds: self.min_idle_seconds.filter(|least| *least > 0),
            min_age_seconds: self.min_age_seconds.filter(|least| *least > 0),
            min_bytes: self.min_bytes.filter(|least| *least > 0),
            ..self.clone()
        };
        restricting == Self::default()
    }

    /// One sentence about a name that means nothing.
    ///
    /// # Errors
    ///
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        let unknown = |what, names: &[String], is_known: &dyn Fn(&str) -> bool| {
            let unknown = names.iter().find(|name| !is_known(name));
            unknown.map_or(Ok(()), |name| Err(format!("{name:?} is no {what} of flows")))
        };
        let lists = [
            self.addresses.len(),
            self.clients.len(),
            self.containers.len(),
            self.interfaces.len(),
            self.ports.len(),
        ];
        if lists.iter().any(|length| *length > MOST) {
            return Err(format!("more than {MOST} of a kind are asked for; ask in parts"));
        }
        unknown("protocol", &self.protocols, &|name| protocol(name).is_some())?;
        unknown("kind", &self.kinds, &|name| kind(name).is_some())?;
        unknown("state", &self.states, &|name| STATES.contains(&name))
    }

    /// Whether containers are named that only the engine knows.
    pub fn has_names(&self) -> bool {
        self.containers.iter().any(|name| name.parse::<IpAddr>().is_err())
    }
}

impl Choice {
    /// What `filter` asks for, where containers are called so, and `index` knows interfaces by name.
    ///
    /// # Errors
    ///
    /// One sentence: nobody has one of the names.
    pub fn new(
        filter: &FlowFilter,
        names: &EngineNames,
        index: impl Fn(&str) -> Option<IfIndex>,
    ) -> Result<Self, String> {
        filter.check()?;
        let interfaces = filter.interfaces.iter();
        let interfaces =
            interfaces.map(|name| index(name).ok_or_else(|| format!("there is no interface {name:?}")));
        Ok(Self {
            protocols: filter
                .protocols
                .iter()
                .filter_map(|name| protocol(name))
                .collect(),
            kinds: filter.kinds.iter().filter_map(|name| kind(name)).collect(),
            states: filter.states.iter().cloned().collect(),
            addresses: filter.addresses.clone(),
            ports: filter.ports.iter().copied().collect(),
            clients: filter.clients.clone(),
            containers: containers(&filter.containers, names)?,
            interfaces: interfaces.collect::<Result<_, _>>()?,
            min_idle: filter.min_idle_seconds.unwrap_or_default(),
            min_age: filter.min_age_seconds.unwrap_or_default(),
            min_bytes: filter.min_bytes.unwrap_or_default(),
        })
    }

    /// Whether the flow may be meant, by its original entry at `key` alone.
    pub fn may_include<A: Ip>(&self, key: &FlowKey<A>, original: &Flow<A>, now: Seconds) -> bool {
        let has = |nets: &[IpNet], addresses: &[IpAddr]| {
            nets.is_empty()
                || nets
                    .iter()
                    .any(|net| addresses.iter().any(|address| net.contains(address)))
        };
        if !self.protocols.is_empty() && !self.protocols.contains(&key.protocol)
            || !self.kinds.is_empty() && !self.kinds.contains(&original.kind)
            || now.since(original.created).0 < self.min_age
            || now.since(original.last_seen).0 < self.min_idle
        {
            return false;
        }
        let ports = [
            key.src_port,
            key.dst_port,
            original.to.src_port,
            original.to.dst_port,
        ];
        if !self.ports.is_empty() && !ports.iter().any(|port| self.ports.contains(&port.0)) {
            return false;
        }
        let ends: [IpAddr; 4] = [key.src, key.dst, original.to.src, original.to.dst].map(Into::into);
        let [client, ..] = ends;
        has(&self.addresses, &ends)
            && has(&self.clients, &[client])
            && self
                .containers
                .as_ref()
                .is_none_or(|containers| ends.iter().any(|end| containers.contains(end)))
    }

    /// Whether the flow is meant.
    pub fn includes<A: Ip>(
        &self,
        key: &FlowKey<A>,
        original: &Flow<A>,
        reply: &Flow<A>,
        now: Seconds,
    ) -> bool {
        let interfaces = [original.from, original.out, reply.from, reply.out];
        self.may_include(key, original, now)
            && now.since(last_seen(original, reply)).0 >= self.min_idle
            && original.bytes.saturating_add(reply.bytes) >= self.min_bytes
            && (self.states.is_empty() || self.states.contains(state_name(original, reply)))
            && (self.interfaces.is_empty() || interfaces.iter().any(|index| self.interfaces.contains(index)))
    }
}

/// The addresses of containers that are called so, or have one of them for a name.
///
/// # Errors
///
/// One sentence: no container is called so.
pub(crate) fn containers(wanted: &[String], names: &EngineNames) -> Result<Option<BTreeSet<IpAddr>>, String> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut addresses = BTreeSet::new();
    for wanted in wanted {
        let named = names.names.iter().filter(|name| name.container == *wanted);
        let before = addresses.len();
        addresses.extend(named.map(|name| name.address).chain(wanted.parse().ok()));
        if addresses.len() == before && wanted.parse::<IpAddr>().is_err() {
            return Err(format!("no container of the engine's is called {wanted:?}"));
        }
    }
    Ok(Some(addresses))
}

fn protocol(name: &str) -> Option<u8> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
    let protocol = all.into_iter().find(|protocol| protocol.name() == name);
    protocol.map(Protocol::number)
}

fn kind(name: &str) -> Option<u8> {
    let kinds = (0..=u8::MAX).map_while(Kind::from_number);
    kinds
        .into_iter()
        .find(|kind| kind.name() == name)
        .map(|kind| kind as u8)
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Port, Side, TcpSeen};

    use super::*;
    use crate::api::types::NamedAddress;

    const NOW: Seconds = Seconds(1_000);

    /// A connection from 192.0.2.9 to 198.51.100.1:8080, which is 172.30.1.2:80, opened 100 s ago.
    fn flow() -> (FlowKey<Address>, Flow, Flow) {
        let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().into();
        let key = FlowKey::new(
            Protocol::Tcp,
            address("192.0.2.9"),
            Port(41_000),
            address("198.51.100.1"),
            Port(8080),
        );
        let to = FlowKey {
            dst: address("172.30.1.2"),
            dst_port: Port(80),
            ..key
        };
        let original = Flow {
            to,
            out: IfIndex(7),
            tcp: TcpSeen(0x12),
            created: Seconds(900),
            last_seen: Seconds(950),
            bytes: 1_000,
            ..Flow::default()
        };
        let reply = Flow {
            to: key.reversed(),
            out: IfIndex(2),
            from: IfIndex(7),
            side: Side::Reply as u8,
            tcp: TcpSeen(0x12),
            last_seen: Seconds(960),
            bytes: 500,
            ..original
        };
        (key, original, reply)
    }

    fn names() -> EngineNames {
        let web = NamedAddress {
            address: "172.30.1.2".parse().unwrap(),
            container: "web".to_owned(),
            network: "front".to_owned(),
        };
        EngineNames { names: vec![web] }
    }

    fn choice(filter: serde_json::Value) -> Result<Choice, String> {
        let filter: FlowFilter = serde_json::from_value(filter).unwrap();
        let index = |name: &str| match name {
            "eth0" => Some(IfIndex(2)),
            "veth1" => Some(IfIndex(7)),
            "veth2" => Some(IfIndex(8)),
            _ => None,
        };
        Choice::new(&filter, &names(), index)
    }

    fn is_chosen(filter: serde_json::Value) -> bool {
        let (key, original, reply) = flow();
        choice(filter).unwrap().includes(&key, &original, &reply, NOW)
    }

    #[test]
    fn at_least_nothing_is_no_restriction() {
        let nothing = FlowFilter {
            min_idle_seconds: Some(0),
            min_age_seconds: Some(0),
            min_bytes: Some(0),
            ..FlowFilter::default()
        };
        assert!(nothing.is_everything());
        let idle = FlowFilter {
            min_idle_seconds: Some(1),
            ..nothing
        };
        assert!(!idle.is_everything());
    }

    #[test]
    fn a_filter_that_would_hold_the_daemon_up_is_refused() {
        let ports = FlowFilter {
            ports: (1..=2_000).collect(),
            ..FlowFilter::default()
        };
        assert!(ports.check().unwrap_err().contains("more than 1024"));
    }

    #[test]
    fn every_field_chooses_and_leaves_out() {
        use serde_json::json;
        for (key, fits, other) in [
            ("protocols", json!(["udp", "tcp"]), json!(["udp", "icmp"])),
            ("kinds", json!(["published"]), json!(["egress", "mapping"])),
            ("states", json!(["established"]), json!(["opening", "closed"])),
            (
                "addresses",
                json!(["172.30.0.0/16"]),
                json!(["172.31.0.0/16", "fd00::/8"]),
            ),
            ("ports", json!([80]), json!([81])),
            ("clients", json!(["192.0.2.0/24"]), json!(["172.30.1.2/32"])),
            ("containers", json!(["web"]), json!(["172.30.1.3"])),
            ("interfaces", json!(["eth0"]), json!(["veth2"])),
            ("min_idle_seconds", json!(40), json!(41)),
            ("min_age_seconds", json!(100), json!(101)),
            ("min_bytes", json!(1_500), json!(1_501)),
        ] {
            assert!(is_chosen(json!({ (key): fits })), "{key} {fits}");
            assert!(!is_chosen(json!({ (key): other })), "{key} {other}");
        }
        assert!(is_chosen(json!({})), "nothing is left out");
        assert!(
            !is_chosen(json!({"ports": [80], "protocols": ["udp"]})),
            "all must fit"
        );
    }

    #[test]
    fn what_is_called_nothing_is_told() {
        use serde_json::json;
        for (filter, sentence) in [
            (
                json!({"protocols": ["sctp"]}),
                r#""sctp" is no protocol of flows"#,
            ),
            (json!({"kinds": ["tcp"]}), r#""tcp" is no kind of flows"#),
            (json!({"states": ["open"]}), r#""open" is no state of flows"#),
            (
                json!({"containers": ["db"]}),
                r#"no container of the engine's is called "db""#,
            ),
            (json!({"interfaces": ["eth9"]}), r#"there is no interface "eth9""#),
        ] {
            assert_eq!(choice(filter).unwrap_err(), sentence);
        }
        assert!(FlowFilter::default().is_everything());
    }
}
