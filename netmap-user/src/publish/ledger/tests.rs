mod properties;

use netmap_common::maps::{Address, Address6};

use super::*;
use crate::binding::PortSpan;

fn binding(host: &str, first: u16, last: u16) -> Binding {
    let ports = PortSpan::new(first, last).unwrap();
    Binding {
        published: Published {
            host: host.parse().unwrap(),
            ports,
            transport: Transport::Udp,
        },
        target: "172.30.1.2".parse().unwrap(),
        target_ports: ports,
        allow: Vec::new(),
    }
}

fn entry<A: Family>(binding: Binding) -> Entry<A> {
    Entry::new(binding, Owner::Operator).unwrap()
}

#[test]
fn a_range_is_one_rule_and_one_write() {
    let mut ledger = Ledger::<Address>::default();
    let range = binding("0.0.0.0", 20_000, 29_999);
    ledger.insert(RuleId(1), entry(range.clone())).unwrap();
    assert_eq!(
        ledger.runs(&range.published),
        [(65_536 + 20_000, 10_000, Slot(1))]
    );
    assert_eq!(ledger.shared(), BTreeMap::new());
}

#[test]
fn any_address_overlaps_with_each_and_the_answer_names_it() {
    let mut ledger = Ledger::<Address>::default();
    let specific = binding("192.0.2.1", 80, 90);
    ledger.insert(RuleId(1), entry(specific.clone())).unwrap();
    let any = binding("0.0.0.0", 85, 85);
    assert_eq!(
        ledger.insert(RuleId(2), entry(any.clone())),
        Err(Overlap {
            wanted: any.published,
            existing: specific,
            owner: Owner::Operator
        })
    );
    ledger
        .insert(RuleId(2), entry(binding("192.0.2.2", 85, 85)))
        .unwrap();
}

#[test]
fn a_port_of_two_addresses_is_shared_until_one_goes() {
    let mut ledger = Ledger::<Address>::default();
    let (one, other) = (binding("192.0.2.1", 80, 82), binding("192.0.2.2", 81, 81));
    ledger.insert(RuleId(1), entry(one.clone())).unwrap();
    ledger.insert(RuleId(2), entry(other.clone())).unwrap();
    let index = 65_536 + 80;
    let runs = [
        (index, 1, Slot(1)),
        (index + 1, 1, Slot::SHARED),
        (index + 2, 1, Slot(1)),
    ];
    assert_eq!(ledger.runs(&one.published), runs);
    let ids: Vec<_> = ledger.shared_of(&other.published).into_values().collect();
    assert_eq!(ids, [RuleId(1), RuleId(2)]);
    ledger.remove(&other.published).unwrap();
    assert_eq!(ledger.runs(&one.published), [(index, 3, Slot(1))]);
    assert_eq!(ledger.shared(), BTreeMap::new());
    assert_eq!(ledger.free_id(), Some(RuleId(2)));
}

#[test]
fn a_port_leads_where_the_rule_of_its_address_says() {
    let mut ledger = Ledger::<Address>::default();
    let target_ports = PortSpan::new(8_000, 8_002).unwrap();
    let rule = |host, first, last| Binding {
        target_ports,
        ..binding(host, first, last)
    };
    ledger
        .insert(RuleId(1), entry(rule("192.0.2.1", 80, 82)))
        .unwrap();
    ledger
        .insert(RuleId(2), entry(rule("192.0.2.2", 81, 81)))
        .unwrap();
    ledger.insert(RuleId(3), entry(rule("0.0.0.0", 90, 92))).unwrap();
    let target = |host: &str, port| {
        let target = ledger.target(Transport::Udp, host.parse().unwrap(), port);
        target.map(|target| target.port())
    };
    assert_eq!(target("192.0.2.1", 81), Some(8_001));
    assert_eq!(target("192.0.2.2", 81), Some(8_000));
    assert_eq!(target("192.0.2.2", 82), None);
    assert_eq!(target("127.0.0.1", 92), Some(8_002));
    assert_eq!(target("127.0.0.1", 93), None);
    assert_eq!(
        ledger.target(Transport::Tcp, "127.0.0.1".parse().unwrap(), 92),
        None
    );
}

#[test]
fn a_kernel_that_differs_is_brought_back() {
    let mut ledger = Ledger::<Address>::default();
    ledger.insert(RuleId(7), entry(binding("0.0.0.0", 5, 6))).unwrap();
    let mut kernel = vec![Slot::EMPTY; capacity::SLOTS];
    kernel[9] = Slot(3);
    assert_eq!(
        ledger.differences(&kernel),
        [(9, 1, Slot::EMPTY), (65_536 + 5, 2, Slot(7))]
    );
}

#[test]
fn ipv6_has_a_ledger_of_its_own() {
    let mut ledger = Ledger::<Address6>::default();
    let any = binding("::", 80, 80);
    ledger.insert(RuleId(1), entry(any.clone())).unwrap();
    let one = binding("2001:db8::1", 80, 80);
    assert_eq!(
        ledger.insert(RuleId(2), entry(one.clone())),
        Err(Overlap {
            wanted: one.published,
            existing: any.clone(),
            owner: Owner::Operator
        })
    );
    assert_eq!(
        ledger.target(Transport::Udp, "192.0.2.1".parse().unwrap(), 80),
        None
    );
    let target = ledger.target(Transport::Udp, "2001:db8::1".parse().unwrap(), 80);
    assert_eq!(target, Some("172.30.1.2:80".parse().unwrap()));
    ledger.remove(&any.published).unwrap();
    ledger.insert(RuleId(1), entry(one)).unwrap();
    ledger
        .insert(RuleId(2), entry(binding("2001:db8::2", 80, 80)))
        .unwrap();
    let hosts: Vec<String> = ledger.shared().keys().map(|key| key.host.to_string()).collect();
    assert_eq!(hosts, ["2001:db8::1", "2001:db8::2"]);
}

#[test]
fn a_binding_is_in_the_ledger_of_its_family_or_in_none() {
    assert_eq!(
        Entry::<Address>::new(binding("::", 80, 80), Owner::Operator),
        None
    );
    assert_eq!(
        Entry::<Address6>::new(binding("0.0.0.0", 80, 80), Owner::Operator),
        None
    );
    let mut upwards = binding("0.0.0.0", 80, 80);
    upwards.target = "fd00::2".parse().unwrap();
    assert_eq!(Entry::<Address>::new(upwards, Owner::Operator), None);
    let across: Entry<Address6> = entry(binding("::", 80, 80));
    let container: std::net::Ipv4Addr = "172.30.1.2".parse().unwrap();
    assert_eq!(across.target, Address6::mapped(container.into()));
}
