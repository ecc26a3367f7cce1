//! The values, read out of the maps when somebody asks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use netmap_common::maps::{Generation, Hook, Kind, Protocol, Rule, RuleId, capacity};

use super::{
    Word,
    catalogue::{
        ATTACHMENTS, BUILD, CONTAINER_FLOWS, CONTAINER_FLOWS_OPENED, CONTAINERS_UNRESOLVED, ENGINE_ADDRESSES,
        ENGINE_CONNECTED, ENGINE_NETWORKS, ENGINE_PORTS, EVENTS_MISSED, FLOW_LIFETIMES, FLOWS, FLOWS_ENDED,
        FLOWS_OPENED, FRAGMENTS_WAITING, INTERFACES_MISSING, LEFT_OUT, PACKET_BYTES, PACKETS, PROXY_BYTES,
        PROXY_CONNECT_FAILURES, PROXY_CONNECTIONS, PROXY_CONNECTIONS_OPEN, PROXY_DATAGRAMS,
        PROXY_DATAGRAMS_LOST, PROXY_REFUSED, PROXY_SESSIONS, PROXY_SESSIONS_OPEN, PUBLISHED_PORTS,
        RULE_FLOWS, RULE_PORTS, RULES, SCRAPE_DURATION, TABLE_CAPACITY, TABLE_ENTRIES,
    },
    page::{Label, Page},
    process,
};
use crate::{
    api::types::NamedAddress,
    binding::{PortSpan, Published, Transport},
    dataplane,
    expiry::FlowCounts,
    maps::{Family, FamilyMaps, Gate, Maps, MapsError, Pins},
    proxy::Counters,
    publish::Owner,
};

/// How many rules of a family have series of their own.
const MOST_RULES: usize = 16_384;
/// How many containers' addresses of a family: those with the most flows.
const MOST_CONTAINERS: usize = 1_024;

/// Where the values are.
pub(super) struct Reader {
    maps: Maps,
    gate: Gate,
    pin_dir: PathBuf,
}

/// What the tables of one family are called, beside those of both.
struct Names {
    family: &'static str,
    suffix: &'static str,
}

const FAMILIES: [Names; 2] = [
    Names {
        family: "ipv4",
        suffix: "",
    },
    Names {
        family: "ipv6",
        suffix: "6",
    },
];

impl Reader {
    /// Opens the maps that are pinned below `pin_dir`.
    pub(super) fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        Ok(Self {
            maps: Maps::open(pin_dir)?,
            gate: Gate::open(pin_dir)?,
            pin_dir: pin_dir.to_owned(),
        })
    }

    /// Everything as `OpenMetrics` text.
    pub(super) fn read(&self, word: &Word) -> anyhow::Result<String> {
        let began = Instant::now();
        let mut page = Page::new();
        let version = env!("CARGO_PKG_VERSION");
        page.add(&BUILD, [version.into(), Pins::LAYOUT.into()], 1_u64);
        self.packets(&mut page)?;
        let containers = Containers::new(&word.names.names);
        let [v4, v6] = &word.flows;
        let [names4, names6] = &FAMILIES;
        let left_out = [
            family(&mut page, names4, &self.maps.v4, v4, &containers)?,
            family(&mut page, names6, &self.maps.v6, v6, &containers)?,
        ];
        for (what, count) in [
            ("rules", left_out.iter().map(|left| left.rules).sum::<usize>()),
            ("containers", left_out.iter().map(|left| left.containers).sum()),
        ] {
            page.add(&LEFT_OUT, [what.into()], count);
        }
        page.set(&EVENTS_MISSED, self.gate.missed()?);
        self.attachments(&mut page)?;
        told(&mut page, word);
        process::describe(&mut page);
        page.set(&SCRAPE_DURATION, began.elapsed().as_secs_f64());
        Ok(page.text()?)
    }

    fn packets(&self, page: &mut Page) -> Result<(), MapsError> {
        for (hook, reason, count) in self.maps.counters.all()? {
            let labels: [Label; 3] = [
                hook.name().into(),
                reason.class().name().into(),
                reason.name().into(),
            ];
            // Connections have no bytes.
            if hook != Hook::Socket {
                page.add(&PACKET_BYTES, labels.clone(), count.bytes);
            }
            page.add(&PACKETS, labels, count.packets);
        }
        Ok(())
    }

    fn attachments(&self, page: &mut Page) -> anyhow::Result<()> {
        let mut counts: BTreeMap<[&'static str; 3], u64> = BTreeMap::new();
        for attachment in dataplane::attachments(&self.pin_dir)? {
            let place = &attachment.place;
            let key = [place.role(), place.hook(), attachment.mode.name()];
            *counts.entry(key).or_default() += 1;
        }
        for (key, count) in counts {
            page.add(&ATTACHMENTS, key.map(Label::from), count);
        }
        Ok(())
    }
}

/// What has no series of its own.
struct LeftOut {
    rules: usize,
    containers: usize,
}

/// What one family's maps hold.
fn family<A: Family>(
    page: &mut Page,
    names: &Names,
    maps: &FamilyMaps<A>,
    flows: &FlowCounts,
    containers: &Containers<'_>,
) -> Result<LeftOut, MapsError> {
    for (metric, kinds) in [
        (&FLOWS, &flows.live),
        (&FLOWS_OPENED, &flows.opened),
        (&FLOWS_ENDED, &flows.ended),
    ] {
        for (kind, count) in (0..=u8::MAX).filter_map(Kind::from_number).zip(kinds) {
            page.add(metric, [names.family.into(), kind.name().into()], *count);
        }
    }
    let rules = maps.rules.live()?;
    let known = known(maps, &rules, containers)?;
    tables(page, names, maps, flows, rules.len())?;
    Ok(LeftOut {
        rules: describe_rules(page, names, &rules, flows, containers),
        containers: describe_containers(page, maps, &known, containers)?,
    })
}

fn tables<A: Family>(
    page: &mut Page,
    names: &Names,
    maps: &FamilyMaps<A>,
    flows: &FlowCounts,
    rules: usize,
) -> Result<(), MapsError> {
    let [loads, sources, ended] = maps.loads.usage()?;
    let entries: u64 = flows.live.iter().sum();
    let flows = usize::try_from(2 * entries).unwrap_or(usize::MAX);
    // Number 0 is never used.
    let most = |capacity: usize| u32::try_from(capacity).unwrap_or(u32::MAX);
    let refusing = [
        ("flows", (flows, maps.flows.capacity()?)),
        ("rules", (rules, most(capacity::RULES - 1))),
        ("shared", (maps.shared.count()?, maps.shared.capacity()?)),
        ("allow", (maps.allow.all()?.len(), most(capacity::ALLOW))),
        ("addresses", (maps.locals.count()?, maps.locals.capacity()?)),
        ("networks", (maps.networks.all()?.len(), most(capacity::NETWORKS))),
        ("egress", (maps.egress.count()?, maps.egress.capacity()?)),
        (
            "interfaces",
            (maps.interfaces.count()?, maps.interfaces.capacity()?),
        ),
        ("owners", (maps.owners.count()?, maps.owners.capacity()?)),
        ("endpoints", (maps.endpoints.count()?, maps.endpoints.capacity()?)),
        ("clients", (maps.clients.count()?, maps.clients.capacity()?)),
        ("ended", ended),
    ];
    let forgetting = [
        ("fragments", (maps.fragments.count()?, maps.fragments.capacity()?)),
        ("containers", loads),
        ("sources", sources),
    ];
    for (tables, when_full) in [(&refusing[..], "refuses"), (&forgetting[..], "forgets")] {
        for (table, (entries, capacity)) in tables {
            let labels = || [format!("{table}{}", names.suffix).into(), when_full.into()];
            page.add(&TABLE_ENTRIES, labels(), *entries);
            page.add(&TABLE_CAPACITY, labels(), *capacity);
        }
    }
    Ok(())
}

/// Says what is published; how many rules have no series of their own.
fn describe_rules<A: Family>(
    page: &mut Page,
    names: &Names,
    rules: &[(RuleId, Rule<A>)],
    flows: &FlowCounts,
    containers: &Containers<'_>,
) -> usize {
    let owners = [
        Owner::Operator,
        Owner::Docker { claimed: true },
        Owner::Docker { claimed: false },
    ];
    for owner in owners {
        let count = rules.iter().filter(|(_, rule)| Owner::of(rule.flags) == owner);
        page.add(&RULES, [names.family.into(), owner.name().into()], count.count());
    }
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let rules = rules.iter().filter(|(_, rule)| rule.protocol == protocol as u8);
        let ports: u64 = rules.map(|(_, rule)| u64::from(rule.length)).sum();
        page.add(
            &PUBLISHED_PORTS,
            [names.family.into(), protocol.name().into()],
            ports,
        );
    }
    for (id, rule) in rules.iter().take(MOST_RULES) {
        let key: (RuleId, Generation) = (*id, rule.generation);
        let flows = flows.rules.get(&key).copied().unwrap_or_default();
        let labels = rule_labels(rule, containers);
        page.add(&RULE_PORTS, labels.clone(), u32::from(rule.length));
        page.add(&RULE_FLOWS, labels, flows);
    }
    rules.len().saturating_sub(MOST_RULES)
}

fn rule_labels<A: Family>(rule: &Rule<A>, containers: &Containers<'_>) -> [Label; 4] {
    let (host, target): (IpAddr, IpAddr) = (rule.host.into(), rule.target.into());
    let target = target.to_canonical();
    let transport = if rule.protocol == Protocol::Udp as u8 {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    let side = |host, first: u16| {
        let ports = PortSpan::new(first, first.saturating_add(rule.length.saturating_sub(1)));
        ports.map_or_else(
            |_| String::new(),
            |ports| {
                Published {
                    host,
                    ports,
                    transport,
                }
                .to_string()
            },
        )
    };
    let name = containers.0.get(&target).map_or("", |named| &named.container);
    [
        side(host, rule.host_port.0).into(),
        side(target, rule.target_port.0).into(),
        name.to_owned().into(),
        Owner::of(rule.flags).name().into(),
    ]
}

/// What the engine calls them.
struct Containers<'word>(HashMap<IpAddr, &'word NamedAddress>);

impl<'word> Containers<'word> {
    fn new(names: &'word [NamedAddress]) -> Self {
        Self(names.iter().map(|named| (named.address, named)).collect())
    }
}

/// The addresses that are known to be containers': what claims to be one is no reason for another series.
fn known<A: Family>(
    maps: &FamilyMaps<A>,
    rules: &[(RuleId, Rule<A>)],
    containers: &Containers<'_>,
) -> Result<HashSet<A>, MapsError> {
    let mut known: HashSet<A> = rules.iter().map(|(_, rule)| rule.target).collect();
    known.extend(containers.0.keys().filter_map(|address| A::from_ip(*address)));
    maps.owners.for_each(|address, _| {
        known.insert(*address);
    })?;
    Ok(known)
}

/// Says how many flows containers have; how many containers have no series of their own.
fn describe_containers<A: Family>(
    page: &mut Page,
    maps: &FamilyMaps<A>,
    known: &HashSet<A>,
    containers: &Containers<'_>,
) -> Result<usize, MapsError> {
    let mut loads = maps.loads.containers()?;
    loads.retain(|(address, ..)| known.contains(address));
    loads.sort_unstable_by_key(|(address, opened, ended)| {
        (std::cmp::Reverse(opened.saturating_sub(*ended)), *address)
    });
    for (address, opened, ended) in loads.iter().take(MOST_CONTAINERS) {
        let address: IpAddr = (*address).into();
        let named = containers.0.get(&address);
        let (container, network) = named.map_or(("", ""), |named| (&named.container, &named.network));
        let labels: [Label; 3] = [
            address.to_string().into(),
            container.to_owned().into(),
            network.to_owned().into(),
        ];
        page.add(&CONTAINER_FLOWS, labels.clone(), opened.saturating_sub(*ended));
        page.add(&CONTAINER_FLOWS_OPENED, labels, *opened);
    }
    Ok(loads.len().saturating_sub(MOST_CONTAINERS))
}

/// What no map knows.
fn told(page: &mut Page, word: &Word) {
    page.set(&FLOW_LIFETIMES, f64::from(word.lifetimes_percent) / 100.0);
    page.set(&FRAGMENTS_WAITING, word.fragments_waiting);
    page.set(&INTERFACES_MISSING, word.missing_interfaces);
    page.set(&CONTAINERS_UNRESOLVED, word.unresolved_containers);
    if let Some(engine) = &word.engine {
        page.set(&ENGINE_CONNECTED, u64::from(engine.answers));
        page.set(&ENGINE_NETWORKS, engine.networks);
        page.set(&ENGINE_ADDRESSES, engine.addresses);
        page.set(&ENGINE_PORTS, engine.ports);
    }
    proxied(page, &word.proxy);
}

fn proxied(page: &mut Page, proxy: &Counters) {
    page.set(&PROXY_CONNECTIONS, proxy.connections.get());
    page.set(&PROXY_CONNECTIONS_OPEN, proxy.connections_open.get());
    page.set(&PROXY_CONNECT_FAILURES, proxy.connect_failures.get());
    page.set(&PROXY_SESSIONS, proxy.sessions.get());
    page.set(&PROXY_SESSIONS_OPEN, proxy.sessions_open.get());
    page.set(&PROXY_DATAGRAMS_LOST, proxy.datagrams_lost.get());
    for (direction, datagrams, bytes) in [
        ("in", &proxy.datagrams_in, &proxy.bytes_in),
        ("out", &proxy.datagrams_out, &proxy.bytes_out),
    ] {
        page.add(&PROXY_DATAGRAMS, [direction.into()], datagrams.get());
        page.add(&PROXY_BYTES, [direction.into()], bytes.get());
    }
    for (reason, counter) in [
        ("unpublished", &proxy.refused_unpublished),
        ("source", &proxy.refused_source),
        ("full", &proxy.refused_full),
        ("client-full", &proxy.refused_client_full),
        ("resources", &proxy.refused_resources),
    ] {
        page.add(&PROXY_REFUSED, [reason.into()], counter.get());
    }
}
