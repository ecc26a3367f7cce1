//! Which rule of a family has which port: the daemon's own copy of the slots.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use netmap_common::maps::{Port, PortSlots, RuleId, SharedKey, Slot, capacity};

use crate::{
    binding::{Binding, Published, Transport},
    maps::Family,
};

/// A slot and how many ports from `first` on have it.
pub(super) type Run = (u32, u32, Slot);

/// Every rule of a family, and the rules at every port.
#[derive(Debug)]
pub(super) struct Ledger<A> {
    rules: BTreeMap<RuleId, Entry<A>>,
    ids: BTreeMap<Published, RuleId>,
    /// One slot a port, as in the kernel.
    slots: Vec<Slot>,
    /// The rules of ports that have several.
    several: BTreeMap<u32, Vec<RuleId>>,
    /// The lowest number that may be free.
    next: u32,
}

/// A binding in the words of its family's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<A> {
    /// What is published.
    pub(super) binding: Binding,
    /// Its host address.
    pub(super) host: A,
    /// Its container's.
    pub(super) target: A,
}

impl<A: Family> Entry<A> {
    /// `None` for a binding of the other family, or to a container that this one does not reach.
    pub(super) fn new(binding: Binding) -> Option<Self> {
        Some(Self {
            host: A::of(binding.published.host)?,
            target: A::target(binding.target)?,
            binding,
        })
    }
}

impl<A> Default for Ledger<A> {
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            ids: BTreeMap::new(),
            slots: vec![Slot::EMPTY; capacity::SLOTS],
            several: BTreeMap::new(),
            next: 1,
        }
    }
}

impl<A: Family> Ledger<A> {
    pub(super) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.rules.values().map(|entry| &entry.binding)
    }

    pub(super) fn get(&self, id: RuleId) -> Option<&Entry<A>> {
        self.rules.get(&id)
    }

    pub(super) fn find(&self, published: &Published) -> Option<RuleId> {
        self.ids.get(published).copied()
    }

    /// Where a published port leads.
    pub(super) fn target(&self, transport: Transport, host: IpAddr, port: u16) -> Option<SocketAddr> {
        let index = PortSlots::index(transport.protocol(), Port(port))?;
        let rules = self.at(index);
        rules
            .iter()
            .filter_map(|id| self.rules.get(id))
            .find_map(|entry| entry.binding.target_of(host, port))
    }

    /// The lowest number that no rule has.
    pub(super) fn free_id(&mut self) -> Option<RuleId> {
        while self.rules.contains_key(&RuleId(self.next)) {
            self.next += 1;
        }
        (usize::try_from(self.next).ok()? < capacity::RULES).then_some(RuleId(self.next))
    }

    /// A rule that a packet could take for `published`.
    pub(super) fn overlapping(&self, published: &Published) -> Option<&Binding> {
        indexes(published).find_map(|index| {
            self.at(index)
                .into_iter()
                .filter_map(|id| self.rules.get(&id))
                .map(|entry| &entry.binding)
                .find(|binding| binding.published.overlaps(published))
        })
    }

    /// Adds a rule, unless it overlaps with one: then says with which.
    pub(super) fn insert(&mut self, id: RuleId, entry: Entry<A>) -> Result<(), (Published, Binding)> {
        let published = entry.binding.published;
        if let Some(existing) = self.overlapping(&published) {
            return Err((published, existing.clone()));
        }
        for index in indexes(&published) {
            let mut rules = self.at(index);
            rules.push(id);
            self.put(index, rules);
        }
        self.ids.insert(published, id);
        self.rules.insert(id, entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, published: &Published) -> Option<(RuleId, Entry<A>)> {
        let id = self.ids.remove(published)?;
        for index in indexes(published) {
            let mut rules = self.at(index);
            rules.retain(|other| *other != id);
            self.put(index, rules);
        }
        self.next = self.next.min(id.0);
        self.rules.remove(&id).map(|entry| (id, entry))
    }

    /// The slots of a range, as few writes as possible.
    pub(super) fn runs(&self, published: &Published) -> Vec<Run> {
        runs(indexes(published).filter_map(|index| Some((index, self.slot(index)?))))
    }

    /// The slots in which the kernel's differ.
    pub(super) fn differences(&self, kernel: &[Slot]) -> Vec<Run> {
        let ours = (0u32..).zip(&self.slots);
        runs(
            ours.zip(kernel)
                .filter(|((_, ours), kernel)| *ours != *kernel)
                .map(|((index, slot), _)| (index, *slot)),
        )
    }

    /// The entries that the shared ports of a range need, those of other rules there included.
    pub(super) fn shared_of(&self, published: &Published) -> BTreeMap<SharedKey<A>, RuleId> {
        if self.several.is_empty() {
            return BTreeMap::new();
        }
        self.entries(indexes(published).filter(|index| self.several.contains_key(index)))
    }

    /// Every entry of shared ports.
    pub(super) fn shared(&self) -> BTreeMap<SharedKey<A>, RuleId> {
        self.entries(self.several.keys().copied())
    }

    fn entries(&self, indexes: impl Iterator<Item = u32>) -> BTreeMap<SharedKey<A>, RuleId> {
        let rules = indexes.flat_map(|index| self.at(index).into_iter().map(move |id| (index, id)));
        rules
            .filter_map(|(index, id)| {
                let Entry { binding, host, .. } = self.rules.get(&id)?;
                let port = Port(u16::try_from(index % 65_536).ok()?);
                let protocol = binding.published.transport.protocol().number();
                Some((
                    SharedKey {
                        host: *host,
                        port,
                        protocol,
                        pad: 0,
                    },
                    id,
                ))
            })
            .collect()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.slots.get(usize::try_from(index).ok()?).copied()
    }

    fn at(&self, index: u32) -> Vec<RuleId> {
        match self.slot(index) {
            None | Some(Slot::EMPTY) => Vec::new(),
            Some(Slot::SHARED) => self.several.get(&index).cloned().unwrap_or_default(),
            Some(Slot(id)) => vec![RuleId(id)],
        }
    }

    fn put(&mut self, index: u32, rules: Vec<RuleId>) {
        let slot = match rules.as_slice() {
            [] => Slot::EMPTY,
            [only] => Slot::from(*only),
            _ => Slot::SHARED,
        };
        if slot == Slot::SHARED {
            self.several.insert(index, rules);
        } else {
            self.several.remove(&index);
        }
        if let Some(place) = usize::try_from(index)
            .ok()
            .and_then(|index| self.slots.get_mut(index))
        {
            *place = slot;
        }
    }
}

fn indexes(published: &Published) -> impl Iterator<Item = u32> {
    let protocol = published.transport.protocol();
    published
        .ports
        .iter()
        .filter_map(move |port| PortSlots::index(protocol, Port(port)))
}

fn runs(slots: impl Iterator<Item = (u32, Slot)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, slot) in slots {
        match runs.last_mut() {
            Some((first, count, last)) if *first + *count == index && *last == slot => *count += 1,
            _ => runs.push((index, 1, slot)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
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
        Entry::new(binding).unwrap()
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
            Err((any.published, specific))
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
            Err((one.published, any.clone()))
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
        assert_eq!(Entry::<Address>::new(binding("::", 80, 80)), None);
        assert_eq!(Entry::<Address6>::new(binding("0.0.0.0", 80, 80)), None);
        let mut upwards = binding("0.0.0.0", 80, 80);
        upwards.target = "fd00::2".parse().unwrap();
        assert_eq!(Entry::<Address>::new(upwards), None);
        let across: Entry<Address6> = entry(binding("::", 80, 80));
        let container: std::net::Ipv4Addr = "172.30.1.2".parse().unwrap();
        assert_eq!(across.target, Address6::mapped(container.into()));
    }
}
