//! The ledger against a list of rules that is searched from one end to the other.

use std::collections::BTreeSet;

use netmap_common::maps::{Address, Address6};
use proptest::prelude::*;

use super::*;
use crate::binding::PortSpan;

/// Ports are few, so that rules meet.
const PORTS: u16 = 12;

/// What somebody does with the ledger.
#[derive(Clone, Debug)]
enum Deed {
    /// Publishes it, whether it can be or not.
    Publish(Binding),
    /// Takes back the rule of this number, of those that there are.
    Unpublish(usize),
    /// Takes back what need not be there.
    UnpublishNamed(Published),
}

fn published(hosts: &'static [&'static str]) -> impl Strategy<Value = Published> {
    let host = prop::sample::select(hosts).prop_map(|host| host.parse::<IpAddr>().unwrap());
    let ports = (1..=PORTS, 0..4_u16).prop_map(|(first, more)| PortSpan::new(first, first + more).unwrap());
    let transport = prop::sample::select(&[Transport::Tcp, Transport::Udp][..]);
    (host, ports, transport).prop_map(|(host, ports, transport)| Published {
        host,
        ports,
        transport,
    })
}

fn deed(hosts: &'static [&'static str]) -> impl Strategy<Value = Deed> {
    let publish = (published(hosts), 100..200_u16).prop_map(|(published, to)| {
        let last = to + published.ports.len() - 1;
        Deed::Publish(Binding {
            published,
            target: "172.30.1.2".parse().unwrap(),
            target_ports: PortSpan::new(to, last).unwrap(),
            allow: Vec::new(),
        })
    });
    prop_oneof![
        4 => publish,
        2 => any::<usize>().prop_map(Deed::Unpublish),
        1 => published(hosts).prop_map(Deed::UnpublishNamed),
    ]
}

/// The rules, the slowest way.
#[derive(Default)]
struct Model(Vec<(RuleId, Binding)>);

impl Model {
    fn meets(&self, published: &Published) -> bool {
        self.0.iter().any(|(_, other)| {
            let other = &other.published;
            let same_port = published.ports.iter().any(|port| other.ports.contains(port));
            let any = published.host.is_unspecified() || other.host.is_unspecified();
            published.transport == other.transport && same_port && (any || published.host == other.host)
        })
    }

    fn at(&self, transport: Transport, port: u16) -> Vec<&(RuleId, Binding)> {
        let here = |(_, binding): &&(RuleId, Binding)| {
            binding.published.transport == transport && binding.published.ports.contains(port)
        };
        self.0.iter().filter(here).collect()
    }

    fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<u16> {
        let rules = self.at(transport, port);
        let serves =
            |binding: &Binding| binding.published.host == host || binding.published.host.is_unspecified();
        let (_, binding) = rules.into_iter().find(|(_, binding)| serves(binding))?;
        Some(binding.target_ports.first() + (port - binding.published.ports.first()))
    }
}

/// The ledger and the kernel's slots, which are written as it says.
fn agree<A: Family>(hosts: &[&str], deeds: Vec<Deed>) -> Result<(), TestCaseError> {
    let (mut ledger, mut model) = (Ledger::<A>::default(), Model::default());
    let mut kernel = vec![Slot::EMPTY; capacity::SLOTS];
    for deed in deeds {
        let touched = match deed {
            Deed::Publish(binding) => {
                let published = binding.published;
                let id = ledger.free_id().unwrap();
                prop_assert!(model.0.iter().all(|(other, _)| *other != id));
                prop_assert_eq!(ledger.overlapping(&published).is_some(), model.meets(&published));
                let inserted = ledger.insert(id, entry(binding.clone())).is_ok();
                prop_assert_eq!(inserted, !model.meets(&published), "{:?}", published);
                if inserted {
                    model.0.push((id, binding));
                }
                published
            }
            Deed::Unpublish(number) => {
                let Some(index) = number.checked_rem(model.0.len()) else {
                    continue;
                };
                let (id, binding) = model.0.remove(index);
                let removed = ledger.remove(&binding.published).map(|(id, _)| id);
                prop_assert_eq!(removed, Some(id));
                binding.published
            }
            Deed::UnpublishNamed(published) => {
                let known = model
                    .0
                    .iter()
                    .position(|(_, binding)| binding.published == published);
                let known = known.map(|index| model.0.remove(index).0);
                prop_assert_eq!(ledger.find(&published), known);
                prop_assert_eq!(ledger.remove(&published).map(|(id, _)| id), known);
                published
            }
        };
        for (first, count, slot) in ledger.runs(&touched) {
            let (first, count) = (usize::try_from(first).unwrap(), usize::try_from(count).unwrap());
            kernel[first..first + count].fill(slot);
        }
        compare(&ledger, &model, &kernel, hosts)?;
    }
    // Nothing but what was touched has changed.
    prop_assert_eq!(ledger.differences(&kernel), []);
    Ok(())
}

fn compare<A: Family>(
    ledger: &Ledger<A>,
    model: &Model,
    kernel: &[Slot],
    hosts: &[&str],
) -> Result<(), TestCaseError> {
    let published = |binding: &Binding| binding.published;
    let found: BTreeSet<Published> = ledger.bindings().map(published).collect();
    let expected = model.0.iter().map(|(_, binding)| published(binding)).collect();
    prop_assert_eq!(found, expected);
    let mut shared = BTreeSet::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        for port in 1..PORTS + 4 {
            let rules = model.at(transport, port);
            let index = PortSlots::index(transport.protocol(), Port(port)).unwrap();
            let slot = match rules.as_slice() {
                [] => Slot::EMPTY,
                [(only, _)] => Slot::from(*only),
                several => {
                    shared.extend(several.iter().map(|(id, _)| (port, transport.name(), *id)));
                    Slot::SHARED
                }
            };
            prop_assert_eq!(
                kernel[usize::try_from(index).unwrap()],
                slot,
                "{}/{:?}",
                port,
                transport
            );
            for host in hosts {
                let host: IpAddr = host.parse().unwrap();
                let target = ledger.target(transport, host, port).map(|target| target.port());
                // Nobody asks for every address at once.
                if !host.is_unspecified() {
                    prop_assert_eq!(target, model.target(transport, host, port), "{} {}", host, port);
                }
            }
        }
    }
    let found = ledger.shared();
    let found: BTreeSet<_> = found
        .iter()
        .map(|(key, id)| {
            let transport = if key.protocol == Transport::Tcp.protocol().number() {
                Transport::Tcp
            } else {
                Transport::Udp
            };
            (key.port.0, transport.name(), *id)
        })
        .collect();
    prop_assert_eq!(found, shared);
    Ok(())
}

const HOSTS4: &[&str] = &["0.0.0.0", "192.0.2.1", "192.0.2.2", "127.0.0.1"];
const HOSTS6: &[&str] = &["::", "2001:db8::1", "2001:db8::2", "::1"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_ledger_says_what_a_list_of_its_rules_says(deeds in prop::collection::vec(deed(HOSTS4), 1..40)) {
        agree::<Address>(HOSTS4, deeds)?;
    }

    #[test]
    fn so_does_that_of_ipv6(deeds in prop::collection::vec(deed(HOSTS6), 1..40)) {
        agree::<Address6>(HOSTS6, deeds)?;
    }
}
