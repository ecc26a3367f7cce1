//! What is published stands in the tables of its family, and a publisher that starts reads it back.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};
use netmap_common::maps::{
    Address, Address6, Generation, Port, PortSlots, Protocol, Rule, RuleId, Slot, capacity,
};
use netmap_user::{
    binding::{Binding, HostPorts, Published},
    maps::{Maps, MapsError},
    publish::{Owner, PublishError, Publisher},
    spec::PublishSpec,
};

use super::lab::Lab;

const C1: &str = "172.30.1.2";
const C1_6: &str = "fd00::2";

/// A publisher of a data plane without a daemon.
struct Stage {
    maps: Maps,
    publisher: Publisher,
}

impl Stage {
    fn run(test: impl FnOnce(Self) + Send + 'static) {
        Lab::run(|lab| {
            let _dataplane = lab.load();
            let mut maps = Maps::open(&lab.pin_dir).unwrap();
            let publisher = Publisher::adopt(&mut maps).unwrap();
            test(Self { maps, publisher });
        });
    }

    fn publish(&mut self, bindings: &[Binding]) -> Result<(), PublishError> {
        self.publisher.publish(&mut self.maps, bindings, Owner::Operator)
    }

    fn unpublish(&mut self, name: &str) -> Result<Vec<Binding>, PublishError> {
        let named: HostPorts = name.parse().unwrap();
        let published: Vec<Published> = self.publisher.resolve(&[named])?;
        self.publisher.unpublish(&mut self.maps, &published)
    }

    fn bindings(&self) -> Vec<Binding> {
        self.publisher.bindings().cloned().collect()
    }

    /// The slots of TCP's port 8080, of IPv4 and of IPv6.
    fn slots(&self) -> (Slot, Slot) {
        let index = PortSlots::index(Protocol::Tcp, Port(8080)).unwrap();
        (
            self.maps.v4.slots.slot(index).unwrap(),
            self.maps.v6.slots.slot(index).unwrap(),
        )
    }

    /// How many rules are live, of IPv4 and of IPv6.
    fn live(&self) -> (usize, usize) {
        (
            self.maps.v4.rules.live().unwrap().len(),
            self.maps.v6.rules.live().unwrap().len(),
        )
    }
}

fn bindings(spec: &str, targets: &[&str], allow: &[&str]) -> Vec<Binding> {
    let targets: Vec<IpAddr> = targets.iter().map(|target| target.parse().unwrap()).collect();
    let allow: Vec<IpNet> = allow.iter().map(|source| source.parse().unwrap()).collect();
    let spec: PublishSpec = spec.parse().unwrap();
    spec.bind(&targets, &allow).unwrap()
}

#[test]
fn a_port_of_both_families_is_a_rule_in_each() {
    Stage::run(|mut stage| {
        stage.publish(&bindings("8080:80", &[C1], &[])).unwrap();
        assert_eq!(stage.slots(), (Slot(1), Slot(1)));
        let c1: Address = C1.parse::<Ipv4Addr>().unwrap().into();
        let ipv4 = stage.maps.v4.rules.get(RuleId(1)).unwrap();
        assert_eq!((ipv4.host, ipv4.target), (Address::ANY, c1));
        let ipv6 = stage.maps.v6.rules.get(RuleId(1)).unwrap();
        assert_eq!((ipv6.host, ipv6.target), (Address6::ANY, Address6::mapped(c1)));
        for (host_port, target_port, length, flags) in [
            (ipv4.host_port, ipv4.target_port, ipv4.length, ipv4.flags),
            (ipv6.host_port, ipv6.target_port, ipv6.length, ipv6.flags),
        ] {
            assert_eq!(
                (host_port, target_port, length, flags),
                (Port(8080), Port(80), 1, Rule::LIVE)
            );
        }

        let taken = stage.unpublish("[::]:8080").unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(stage.slots(), (Slot(1), Slot::EMPTY));
        assert_eq!(stage.live(), (1, 0));
        assert_eq!(
            stage.maps.v6.rules.get(RuleId(1)).unwrap().generation,
            Generation(1)
        );
        assert_eq!(
            stage.maps.v4.rules.get(RuleId(1)).unwrap().generation,
            Generation(0)
        );
        stage.unpublish("8080").unwrap();
        assert_eq!(stage.slots(), (Slot::EMPTY, Slot::EMPTY));
        assert_eq!(stage.live(), (0, 0));
        let error = stage.unpublish("8080").unwrap_err();
        assert_eq!(error.to_string(), "8080/tcp is not published");
    });
}

#[test]
fn addresses_of_ipv6_share_a_port() {
    Stage::run(|mut stage| {
        let one = bindings("[2001:db8::1]:8080:80", &[C1_6], &[]);
        let other = bindings("[2001:db8::2]:8080:80", &[C1], &[]);
        stage.publish(&one).unwrap();
        stage.publish(&other).unwrap();
        assert_eq!(stage.slots(), (Slot::EMPTY, Slot::SHARED));
        let mut shared: Vec<_> = stage
            .maps
            .v6
            .shared
            .all()
            .unwrap()
            .into_iter()
            .map(|(key, id)| (key.host.to_string(), id))
            .collect();
        shared.sort();
        assert_eq!(
            shared,
            [
                ("2001:db8::1".to_owned(), RuleId(1)),
                ("2001:db8::2".to_owned(), RuleId(2))
            ]
        );
        let error = stage.publish(&bindings("8080:80", &[C1], &[])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("[::]:8080/tcp overlaps with [2001:db8::"),
            "{error}"
        );
        assert_eq!(stage.live(), (0, 2));
        let error = stage.unpublish("8080").unwrap_err();
        assert!(matches!(error, PublishError::Partly { .. }), "{error}");
        stage.unpublish("[2001:db8::1]:8080").unwrap();
        assert_eq!(stage.slots(), (Slot::EMPTY, Slot(2)));
        assert_eq!(stage.maps.v6.shared.all().unwrap(), []);
    });
}

#[test]
fn what_ipv6_has_no_room_for_is_not_published_for_ipv4_either() {
    Stage::run(|mut stage| {
        // The allow-list of a rule that there is not.
        for number in 0..capacity::ALLOW {
            let network = Ipv6Net::new((number as u128 + 1).into(), 128).unwrap();
            stage.maps.v6.allow.insert(RuleId(9), network).unwrap();
        }
        let limited = bindings("8080:80", &[C1], &["10.0.0.0/8", "fd00::/8"]);
        stage.publisher.check(&limited).unwrap();
        let error = stage.publish(&limited).unwrap_err();
        assert!(
            matches!(error, PublishError::Maps(MapsError::Full { map: "ALLOW6" })),
            "{error}"
        );
        assert_eq!(stage.slots(), (Slot::EMPTY, Slot::EMPTY));
        assert_eq!(stage.live(), (0, 0));
        assert!(stage.maps.v4.allow.all().unwrap().is_empty());
        assert_eq!(stage.bindings(), []);
        // Nor does a number stay taken.
        stage.publish(&bindings("8080:80", &[C1], &[])).unwrap();
        assert_eq!(stage.slots(), (Slot(1), Slot(1)));
    });
}

#[test]
fn an_allow_list_without_sources_of_a_family_stays_closed_after_a_restart() {
    Stage::run(|mut stage| {
        stage
            .publish(&bindings("8080:80", &[C1], &["10.0.0.0/8"]))
            .unwrap();
        stage.publish(&bindings("8081:80", &[C1], &["fd00::/8"])).unwrap();
        let rules = [
            (8080, Rule::LIVE | Rule::ALLOW_LIST),
            (8081, Rule::LIVE | Rule::ALLOW_LIST),
        ];
        let flags = |rules: Vec<(Port, u8)>| rules.into_iter().map(|(port, flags)| (port.0, flags));
        let ipv4 = stage.maps.v4.rules.live().unwrap();
        let ipv4 = ipv4.iter().map(|(_, rule)| (rule.host_port, rule.flags));
        assert_eq!(flags(ipv4.collect()).collect::<Vec<_>>(), rules);
        let ipv6 = stage.maps.v6.rules.live().unwrap();
        let ipv6 = ipv6.iter().map(|(_, rule)| (rule.host_port, rule.flags));
        assert_eq!(flags(ipv6.collect()).collect::<Vec<_>>(), rules);
        let entries = |all: usize| assert_eq!(all, 1);
        entries(stage.maps.v4.allow.all().unwrap().len());
        entries(stage.maps.v6.allow.all().unwrap().len());

        let before = stage.bindings();
        let adopted = Publisher::adopt(&mut stage.maps).unwrap();
        let after: Vec<Binding> = adopted.bindings().cloned().collect();
        assert_eq!(after, before);
        assert!(after.iter().all(|binding| !binding.allow.is_empty()));
    });
}

#[test]
fn a_new_publisher_reads_both_families_back_and_mends_them() {
    Stage::run(|mut stage| {
        stage.publish(&bindings("8080:80", &[C1, C1_6], &[])).unwrap();
        stage
            .publish(&bindings("[2001:db8::1]:53-54:53-54/udp", &[C1], &["fd00::/8"]))
            .unwrap();
        stage.publish(&bindings("[::1]:9000:80", &[C1_6], &[])).unwrap();
        let before = stage.bindings();
        let index = PortSlots::index(Protocol::Tcp, Port(8080)).unwrap();
        stage.maps.v6.slots.set_slots(index, 2, Slot(77)).unwrap();
        let stray: Ipv6Net = "2001:db8:9::/48".parse().unwrap();
        stage.maps.v6.allow.insert(RuleId(77), stray).unwrap();

        stage.publisher = Publisher::adopt(&mut stage.maps).unwrap();
        assert_eq!(stage.bindings(), before);
        assert_eq!(stage.slots(), (Slot(1), Slot(1)));
        assert_eq!(stage.maps.v6.slots.slot(index + 1).unwrap(), Slot::EMPTY);
        let sources: Vec<_> = stage.maps.v6.allow.all().unwrap().into_iter().collect();
        assert_eq!(sources, [(RuleId(2), "fd00::/8".parse().unwrap())]);
        stage.unpublish("[2001:db8::1]:53-54/udp").unwrap();
        assert!(stage.maps.v6.allow.all().unwrap().is_empty());
    });
}
