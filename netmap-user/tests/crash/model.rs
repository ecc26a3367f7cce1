//! What has to be published, and whether the kernel's tables, the pins and the record say so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use netmap_common::maps::{
    Address, Flow, FlowKey, Kind, Port, PortSlots, Protocol, Rule, RuleId, Seconds, SharedKey, Side, Slot,
    TcpSeen, Way, capacity,
};
use netmap_user::{
    api::types::{PublishRequest, UnpublishRequest},
    binding::{Binding, PortSpan, Published, Transport},
    dataplane::{attachments, program_stats},
    maps::{self, Family, FamilyMaps, Maps, Pins},
    spec::PublishSpec,
};

use super::{dice::Dice, host::Host, lab::tree};

/// All that may be published; none of them is in another's way.
const SPECS: [(&str, &str, &[&str]); 12] = [
    ("0.0.0.0:8080:80/tcp", "172.30.1.2", &[]),
    (
        "0.0.0.0:8080:80/udp",
        "172.30.1.2",
        &["198.51.100.0/24", "203.0.113.7/32"],
    ),
    ("[::]:8080:80/tcp", "fd00::2", &[]),
    ("[::]:8081:80/tcp", "172.30.1.3", &["2001:db8::/32"]),
    ("0.0.0.0:2000-2031:3000-3031/tcp", "172.30.1.2", &[]),
    (
        "0.0.0.0:20000-20099:20000-20099/tcp",
        "172.30.1.3",
        &["10.0.0.0/8"],
    ),
    ("0.0.0.0:30000-34999:40000-44999/udp", "172.30.1.2", &[]),
    ("[::]:30000-34999:40000-44999/udp", "fd00::3", &[]),
    // Shared ports.
    ("192.0.2.2:9000:80/tcp", "172.30.1.2", &[]),
    ("172.30.1.1:9000:81/tcp", "172.30.1.2", &["172.30.1.0/24"]),
    ("192.0.2.2:9100-9131:100-131/udp", "172.30.1.2", &["10.0.0.0/8"]),
    ("172.30.1.1:9100-9131:200-231/udp", "172.30.1.3", &[]),
];

/// Flows that are idle when the next daemon starts, so that it is killed while it ends them.
const IDLE: u32 = 1_500;
/// Flows that are not.
const LIVING: u32 = 200;

/// The published side, the container, and who may connect.
pub(crate) type Row = (Published, (IpAddr, u16), BTreeSet<IpNet>);

/// What was answered, and what was asked for last and not answered.
pub(crate) struct Model {
    pin_dir: PathBuf,
    state: PathBuf,
    all: Vec<Binding>,
    published: BTreeSet<Row>,
    /// Of these each may be published or not.
    uncertain: BTreeSet<Row>,
}

impl Model {
    pub(crate) fn new(pin_dir: &Path, state: PathBuf) -> Self {
        let all = SPECS.map(|(spec, target, allow)| {
            let allow: Vec<IpNet> = allow.iter().map(|source| source.parse().unwrap()).collect();
            let spec: PublishSpec = spec.parse().unwrap();
            let mut bindings = spec.bind(&[target.parse().unwrap()], &allow).unwrap();
            bindings.remove(0)
        });
        Self {
            pin_dir: pin_dir.to_owned(),
            state,
            all: all.to_vec(),
            published: BTreeSet::new(),
            uncertain: BTreeSet::new(),
        }
    }

    /// Asks the daemon to publish or to take back some; says whether it has answered.
    pub(crate) fn change(&mut self, host: &Host, dice: &mut Dice) -> bool {
        let (there, free): (Vec<_>, Vec<_>) = self
            .all
            .iter()
            .cloned()
            .partition(|binding| self.published.contains(&row(binding)));
        let publishes = there.is_empty() || !free.is_empty() && dice.one_in(2);
        let mut some = if publishes { free } else { there };
        let most = 1 + dice.below(4);
        while u64::try_from(some.len()).unwrap() > most {
            let one = dice.below(u64::try_from(some.len()).unwrap());
            some.swap_remove(usize::try_from(one).unwrap());
        }
        let rows: BTreeSet<Row> = some.iter().map(row).collect();
        let answer = if publishes {
            host.post("/v1/publish", &PublishRequest { bindings: some })
        } else {
            let published = some.iter().map(|binding| binding.published.into()).collect();
            host.post("/v1/unpublish", &UnpublishRequest { published })
        };
        match answer {
            None => self.uncertain = rows,
            Some(()) if publishes => self.published.extend(rows),
            Some(()) => self.published.retain(|row| !rows.contains(row)),
        }
        answer.is_some()
    }

    /// Everything must be so, but for what was not answered: that is published or not, whole in either case.
    pub(crate) fn check(&mut self) {
        let found = published(&self.pin_dir);
        let certain =
            |rows: &BTreeSet<Row>| -> BTreeSet<Row> { rows.difference(&self.uncertain).cloned().collect() };
        assert_eq!(certain(&found), certain(&self.published));
        self.published = found;
        self.uncertain.clear();
        self.check_record();
        self.check_pins();
        self.check_hooks();
    }

    fn check_record(&self) {
        let text = fs::read_to_string(self.state.join("published.json")).unwrap_or_default();
        let recorded: BTreeSet<Row> = if text.is_empty() {
            BTreeSet::new()
        } else {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let bindings: Vec<Binding> = serde_json::from_value(value["published"].clone()).unwrap();
            bindings.iter().map(row).collect()
        };
        assert_eq!(recorded, self.published, "the record");
        let beside = fs::read_dir(&self.state).unwrap().count();
        assert!(beside <= 2, "{:?}", tree(&self.state));
    }

    fn check_pins(&self) {
        let pins = tree(&self.pin_dir);
        let mut rest: Vec<&str> = pins
            .iter()
            .filter_map(|path| {
                path.strip_prefix("./")?
                    .strip_prefix(Pins::LAYOUT)?
                    .strip_prefix('/')
            })
            .filter(|path| {
                !["maps/", "links/", "types/"]
                    .iter()
                    .any(|folder| path.starts_with(folder))
            })
            .collect();
        let programs = program_stats(&self.pin_dir).unwrap();
        for program in &programs {
            let path = format!("programs/{}", program.name);
            rest.retain(|other| *other != path);
        }
        assert_eq!(programs.len(), 17);
        let maps = pins.iter().filter(|path| path.contains("/maps/")).count();
        assert_eq!(maps, netmap_common::maps::name::ALL.len());
        let known = [
            "clsact", "links", "loaded-", "maps", "netns-", "programs", "restored", "types",
        ];
        assert_eq!(rest.len(), known.len(), "{rest:?}");
        for (path, known) in rest.iter().zip(known) {
            assert!(path.starts_with(known), "{rest:?}");
        }
    }

    fn check_hooks(&self) {
        let ids: BTreeMap<_, _> = program_stats(&self.pin_dir)
            .unwrap()
            .into_iter()
            .map(|program| (program.name, program.id))
            .collect();
        let attached = attachments(&self.pin_dir).unwrap();
        let mut found: Vec<_> = attached
            .iter()
            .map(|attachment| (attachment.place.interface(), attachment.place.hook()))
            .collect();
        let mut expected = Host::hooks();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        for attachment in &attached {
            assert_eq!(
                attachment.link.unwrap().program_id,
                ids[attachment.program],
                "{attachment:?}"
            );
        }
        let links = fs::read_dir(self.pin_dir.join(Pins::LAYOUT).join("links"))
            .unwrap()
            .count();
        assert_eq!(links, attached.len(), "a link that is attached to nothing");
    }

    /// Flows that no daemon may end.
    pub(crate) fn open_living_flows(&self) {
        // As far from now as the whole test may take.
        let last = Seconds(maps::now().0 + 100_000);
        self.open(0..LIVING, last);
    }

    /// Flows that the next daemon ends.
    pub(crate) fn open_idle_flows(&self, round: u32) {
        let first = LIVING + round * IDLE;
        self.open(first..first + IDLE, Seconds(1));
    }

    fn open(&self, numbers: std::ops::Range<u32>, last: Seconds) {
        let mut maps = Maps::open(&self.pin_dir).unwrap();
        // The table has room for a few rounds, should they be too many at once.
        let room = maps.v4.flows.capacity().unwrap() / 2;
        if maps.v4.flows.count().unwrap() > usize::try_from(room).unwrap() {
            return;
        }
        let (keys, flows): (Vec<_>, Vec<_>) = numbers.flat_map(|number| twins(number, last)).unzip();
        maps.v4.flows.insert_all(&keys, &flows).unwrap();
    }

    /// The idle ones end, none by halves, and the living ones stay.
    pub(crate) fn check_flows(&self) {
        let maps = Maps::open(&self.pin_dir).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let living: BTreeSet<FlowKey> = (0..LIVING)
            .flat_map(|number| twins(number, Seconds(0)).map(|(key, _)| key))
            .collect();
        loop {
            let mut left = BTreeSet::new();
            maps.v4
                .flows
                .for_each_flow(|key, _| {
                    left.insert(*key);
                })
                .unwrap();
            assert!(
                left.is_superset(&living),
                "a flow that was not idle has been ended"
            );
            if left == living {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} entries are left over",
                left.len() - living.len()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What the tables publish, all of which fit together.
pub(crate) fn published(pin_dir: &Path) -> BTreeSet<Row> {
    let maps = Maps::open(pin_dir).unwrap();
    let mut rows = rows_of(&maps.v4);
    rows.extend(rows_of(&maps.v6));
    rows
}

fn rows_of<A: Family>(maps: &FamilyMaps<A>) -> BTreeSet<Row> {
    let live = maps.rules.live().unwrap();
    let mut slots: BTreeMap<u32, Vec<(RuleId, A)>> = BTreeMap::new();
    let mut allow: BTreeMap<RuleId, BTreeSet<IpNet>> = BTreeMap::new();
    for (id, sources) in maps.allow.all().unwrap() {
        allow.entry(id).or_default().insert(sources.into());
    }
    let mut rows = BTreeSet::new();
    for (id, rule) in &live {
        let transport = match Protocol::from_number(rule.protocol) {
            Some(Protocol::Tcp) => Transport::Tcp,
            Some(Protocol::Udp) => Transport::Udp,
            other => panic!("{other:?}"),
        };
        let ports = PortSpan::new(rule.host_port.0, rule.last_port().0).unwrap();
        for port in ports.iter() {
            let index = PortSlots::index(transport.protocol(), Port(port)).unwrap();
            slots.entry(index).or_default().push((*id, rule.host));
        }
        let published = Published {
            host: rule.host.into(),
            ports,
            transport,
        };
        let sources = allow.remove(id).unwrap_or_default();
        assert_eq!(
            rule.flags & Rule::ALLOW_LIST != 0,
            !sources.is_empty(),
            "{published}"
        );
        let target: IpAddr = rule.target.into();
        let row = (published, (target.to_canonical(), rule.target_port.0), sources);
        assert!(rows.insert(row), "twice: {published}");
    }
    assert!(allow.is_empty(), "sources of rules that are gone: {allow:?}");
    let mut expected = vec![Slot::EMPTY; capacity::SLOTS];
    let mut shared = BTreeSet::new();
    for (index, rules) in slots {
        let slot = &mut expected[usize::try_from(index).unwrap()];
        if let [(only, _)] = rules[..] {
            *slot = Slot::from(only);
            continue;
        }
        *slot = Slot::SHARED;
        let protocol = if index < 65_536 {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        assert_eq!(
            PortSlots::index(protocol, Port(u16::try_from(index % 65_536).unwrap())),
            Some(index)
        );
        for (id, host) in rules {
            let key = SharedKey {
                host,
                port: Port(u16::try_from(index % 65_536).unwrap()),
                protocol: protocol.number(),
                pad: 0,
            };
            shared.insert((key, id));
        }
    }
    assert!(
        maps.slots.all().unwrap() == expected,
        "slots of rules that are gone, or none of rules that are there"
    );
    let found: BTreeSet<_> = maps.shared.all().unwrap().into_iter().collect();
    assert!(
        found == shared,
        "{} shared ports, expected {}",
        found.len(),
        shared.len()
    );
    rows
}

fn row(binding: &Binding) -> Row {
    (
        binding.published,
        (binding.target, binding.target_ports.first()),
        binding.allow.iter().copied().collect(),
    )
}

/// Both entries of a container's flow to the outside.
fn twins(number: u32, last_seen: Seconds) -> [(FlowKey, Flow); 2] {
    let port = Port(u16::try_from(number % 50_000).unwrap() + 1);
    let outside = Address(0x0a00_0000 | number);
    let from = FlowKey::new(Protocol::Udp, Address(0xac1e_0102), port, outside, Port(443));
    let to = FlowKey {
        src: Address(0xc000_0202),
        ..from
    };
    let original = Flow {
        to,
        nonce: number + 1,
        way: Way::Neigh as u8,
        kind: Kind::Egress as u8,
        tcp: TcpSeen(0),
        last_seen,
        created: Seconds(1),
        packets: 3,
        ..Flow::default()
    };
    let reply = Flow {
        to: from.reversed(),
        side: Side::Reply as u8,
        ..original
    };
    [(from, original), (to.reversed(), reply)]
}
