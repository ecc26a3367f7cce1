//! Tables as they could be, for tests of what is printed.

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::{
    Address, Address6, Count, Flow, FlowKey, Generation, Hook, Kind, Port, Protocol, Reason, Rule, RuleId,
    Seconds, Side, TcpSeen, Way,
};

use super::read::{Bridge, Entries, TableUse, Tables, Uplink, Visit};
use crate::{api::types::Attachment, maps::Family};

/// When the tables are read.
pub(super) const NOW: Seconds = Seconds(1_000);

/// Two rules, a published TCP connection, a ping without an answer and half a flow.
pub(super) struct Sample;

fn key(protocol: Protocol, src: (&str, u16), dst: (&str, u16)) -> FlowKey {
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().into();
    FlowKey::new(protocol, address(src.0), Port(src.1), address(dst.0), Port(dst.1))
}

/// Both entries of a flow that turns `from` into `to`.
fn twins<A: Family>(
    from: FlowKey<A>,
    to: FlowKey<A>,
    original: Flow<A>,
    reply: Flow<A>,
) -> [(FlowKey<A>, Flow<A>); 2] {
    let original = Flow { to, ..original };
    let reply = Flow {
        to: from.reversed(),
        side: Side::Reply as u8,
        kind: original.kind,
        rule: original.rule,
        generation: original.generation,
        nonce: original.nonce,
        created: original.created,
        ..reply
    };
    [(from, original), (to.reversed(), reply)]
}

/// What IPv4's flow table holds.
pub(super) fn entries() -> Vec<(FlowKey, Flow)> {
    let published = twins(
        key(Protocol::Tcp, ("203.0.113.9", 41_000), ("198.51.100.1", 8080)),
        key(Protocol::Tcp, ("203.0.113.9", 41_000), ("172.30.1.2", 80)),
        Flow {
            way: Way::Peer as u8,
            kind: Kind::Published as u8,
            rule: RuleId(1),
            generation: Generation(3),
            nonce: 77,
            tcp: TcpSeen(0x12),
            created: Seconds(900),
            last_seen: Seconds(997),
            packets: 12,
            bytes: 1_200,
            ..Flow::default()
        },
        Flow {
            way: Way::Neigh as u8,
            tcp: TcpSeen(0x12),
            last_seen: Seconds(998),
            packets: 10,
            bytes: 90_000,
            ..Flow::default()
        },
    );
    let ping = twins(
        key(Protocol::Icmp, ("172.30.1.2", 7), ("192.0.2.53", 0)),
        key(Protocol::Icmp, ("198.51.100.1", 7), ("192.0.2.53", 0)),
        Flow {
            way: Way::Neigh as u8,
            kind: Kind::Egress as u8,
            nonce: 78,
            created: Seconds(991),
            last_seen: Seconds(991),
            packets: 1,
            bytes: 84,
            ..Flow::default()
        },
        Flow {
            way: Way::Peer as u8,
            ..Flow::default()
        },
    );
    let [_, half] = twins(
        key(Protocol::Udp, ("203.0.113.9", 5), ("198.51.100.1", 6)),
        key(Protocol::Udp, ("203.0.113.9", 5), ("172.30.1.2", 6)),
        Flow::default(),
        Flow::default(),
    );
    let [original, reply] = ping;
    [reply, half, original].into_iter().chain(published).collect()
}

/// What IPv6's holds: a hairpin through the range, with answers.
pub(super) fn entries6() -> Vec<(FlowKey<Address6>, Flow<Address6>)> {
    let key = |src, dst: (&str, u16)| {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().into();
        FlowKey::new(
            Protocol::Tcp,
            address(src),
            Port(41_000),
            address(dst.0),
            Port(dst.1),
        )
    };
    let hairpin = twins(
        key("fd00::3", ("2001:db8::1", 8081)),
        key("fd00::3", ("fd00::2", 81)),
        Flow {
            way: Way::Peer as u8,
            kind: Kind::Hairpin as u8,
            rule: RuleId(2),
            generation: Generation(4),
            nonce: 79,
            tcp: TcpSeen(0x12),
            created: Seconds(990),
            last_seen: Seconds(995),
            packets: 5,
            bytes: 500,
            ..bytemuck::Zeroable::zeroed()
        },
        Flow {
            way: Way::Peer as u8,
            tcp: TcpSeen(0x12),
            last_seen: Seconds(995),
            packets: 4,
            bytes: 4_000,
            ..bytemuck::Zeroable::zeroed()
        },
    );
    hairpin.to_vec()
}

/// What both flow tables hold.
#[derive(Clone, Default)]
pub(super) struct FlowTables {
    pub(super) v4: Vec<(FlowKey, Flow)>,
    pub(super) v6: Vec<(FlowKey<Address6>, Flow<Address6>)>,
}

impl<A: Family> Entries<A> for Vec<(FlowKey<A>, Flow<A>)> {
    fn each_entry(&self, visit: &mut Visit<'_, A>) -> anyhow::Result<()> {
        self.iter().try_for_each(|(key, flow)| visit(key, flow))
    }

    fn entry(&self, key: &FlowKey<A>) -> anyhow::Result<Option<Flow<A>>> {
        Ok(self.iter().find(|(known, _)| known == key).map(|(_, flow)| *flow))
    }
}

impl Entries<Address> for FlowTables {
    fn each_entry(&self, visit: &mut Visit<'_, Address>) -> anyhow::Result<()> {
        self.v4.each_entry(visit)
    }

    fn entry(&self, key: &FlowKey) -> anyhow::Result<Option<Flow>> {
        self.v4.entry(key)
    }
}

impl Entries<Address6> for FlowTables {
    fn each_entry(&self, visit: &mut Visit<'_, Address6>) -> anyhow::Result<()> {
        self.v6.each_entry(visit)
    }

    fn entry(&self, key: &FlowKey<Address6>) -> anyhow::Result<Option<Flow<Address6>>> {
        self.v6.entry(key)
    }
}

impl Entries<Address> for Sample {
    fn each_entry(&self, visit: &mut Visit<'_, Address>) -> anyhow::Result<()> {
        entries().each_entry(visit)
    }

    fn entry(&self, key: &FlowKey) -> anyhow::Result<Option<Flow>> {
        entries().entry(key)
    }
}

impl Entries<Address6> for Sample {
    fn each_entry(&self, visit: &mut Visit<'_, Address6>) -> anyhow::Result<()> {
        entries6().each_entry(visit)
    }

    fn entry(&self, key: &FlowKey<Address6>) -> anyhow::Result<Option<Flow<Address6>>> {
        entries6().entry(key)
    }
}

impl Tables for Sample {
    fn rules(&self) -> anyhow::Result<Vec<(RuleId, Rule)>> {
        let rule = |host: &str, port, target: &str, target_port, length, protocol: Protocol| Rule {
            host: host.parse::<std::net::Ipv4Addr>().unwrap().into(),
            target: target.parse::<std::net::Ipv4Addr>().unwrap().into(),
            host_port: Port(port),
            target_port: Port(target_port),
            length,
            protocol: protocol.number(),
            flags: Rule::LIVE,
            generation: Generation(1),
            since: NOW,
        };
        let range = Rule {
            flags: Rule::LIVE | Rule::ENGINE,
            ..rule("127.0.0.1", 20_000, "172.30.1.3", 30_000, 10_000, Protocol::Udp)
        };
        let web = Rule {
            flags: Rule::LIVE | Rule::ALLOW_LIST,
            generation: Generation(3),
            since: Seconds(60),
            ..rule("0.0.0.0", 8080, "172.30.1.2", 80, 1, Protocol::Tcp)
        };
        Ok(vec![(RuleId(2), range), (RuleId(1), web)])
    }

    /// The other half of the web's rule, by the proxy and for nobody, and a range of its own.
    fn rules6(&self) -> anyhow::Result<Vec<(RuleId, Rule<Address6>)>> {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().into();
        let web = Rule {
            host: Address6::ANY,
            target: address("::ffff:172.30.1.2"),
            host_port: Port(8080),
            target_port: Port(80),
            length: 1,
            protocol: Protocol::Tcp.number(),
            flags: Rule::LIVE | Rule::ALLOW_LIST,
            generation: Generation(1),
            since: Seconds(60),
        };
        let range = Rule {
            host: address("2001:db8::1"),
            target: address("fd00::2"),
            length: 2,
            flags: Rule::LIVE | Rule::ALLOW_LIST | Rule::ENGINE | Rule::UNCLAIMED,
            generation: Generation(4),
            ..web
        };
        Ok(vec![(RuleId(1), web), (RuleId(2), range)])
    }

    fn allow6(&self) -> anyhow::Result<Vec<(RuleId, Ipv6Net)>> {
        Ok(vec![(RuleId(2), "fd00::/8".parse()?)])
    }

    fn allow(&self) -> anyhow::Result<Vec<(RuleId, Ipv4Net)>> {
        Ok(vec![
            (RuleId(1), "192.0.2.7/32".parse()?),
            (RuleId(1), "10.0.0.0/8".parse()?),
        ])
    }

    fn counters(&self) -> anyhow::Result<Vec<(Hook, Reason, Count)>> {
        let count = |packets, bytes| Count { packets, bytes };
        Ok(vec![
            (Hook::Socket, Reason::Proxied, count(2, 0)),
            (Hook::UplinkIn, Reason::NotAllowed, count(1, 60)),
            (Hook::UplinkIn, Reason::PublishedIn, count(10, 1_000)),
            (Hook::PortIn, Reason::EgressOut, count(0, 0)),
        ])
    }

    fn usage(&self) -> anyhow::Result<Vec<TableUse>> {
        let table = |name, entries, capacity| TableUse {
            name,
            entries,
            capacity,
        };
        Ok(vec![
            table("flows", 5, 262_144),
            table("rules", 2, 65_535),
            table("flows6", 2, 262_144),
        ])
    }

    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>> {
        Ok(vec![
            Uplink {
                interface: "eth0".to_owned(),
                ipv4: Some("198.51.100.1".parse()?),
                ipv6: Some("2001:db8::1".parse()?),
            },
            Uplink {
                interface: "eth1".to_owned(),
                ipv4: Some("192.0.2.1".parse()?),
                ipv6: None,
            },
        ])
    }

    fn bridges(&self) -> anyhow::Result<Vec<Bridge>> {
        let plain = Bridge {
            interface: "br0".to_owned(),
            nat: "edm",
            mappings: 0,
            direct: "trusted",
            egress: Vec::new(),
            egress_missing: Vec::new(),
            internal: false,
            not_masqueraded: Vec::new(),
        };
        let own = Bridge {
            interface: "br1".to_owned(),
            nat: "eim",
            mappings: 3,
            direct: "deny",
            egress: vec!["198.51.100.7".parse()?, "198.51.100.8".parse()?],
            egress_missing: vec!["ipv6"],
            internal: false,
            not_masqueraded: Vec::new(),
        };
        let engines = Bridge {
            interface: "br2".to_owned(),
            nat: "edm",
            mappings: 0,
            direct: "deny",
            egress: Vec::new(),
            egress_missing: Vec::new(),
            internal: true,
            not_masqueraded: vec!["ipv6"],
        };
        Ok(vec![plain, own, engines])
    }

    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        Ok(vec![Attachment {
            interface: "eth0".to_owned(),
            role: "uplink".to_owned(),
            hook: "ingress".to_owned(),
            mode: "tcx".to_owned(),
        }])
    }

    fn now(&self) -> Seconds {
        NOW
    }
}
