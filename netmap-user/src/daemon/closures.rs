//! Where what is published is not reached from outside.

use std::collections::{BTreeMap, BTreeSet};

use netmap_common::maps::{IfIndex, Interface, Local, Role};

use crate::{
    binding::Binding,
    host::{NamedInterface, View},
    maps::Family,
    outlets::Outlets,
};

/// The user's wish, in numbers of interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Closures {
    outlets: Outlets,
    /// Uplinks by which it is reached at open addresses only.
    closed: BTreeSet<IfIndex>,
    /// Whether there is an uplink by which it is reached everywhere.
    has_open: bool,
}

impl Closures {
    /// What the wish means of the interfaces that are there.
    pub(super) fn of(outlets: &Outlets, interfaces: &BTreeMap<IfIndex, NamedInterface>) -> Self {
        let uplinks = || {
            interfaces
                .iter()
                .filter(|(_, interface)| interface.role == Role::Uplink)
        };
        let is_open = |interface: &NamedInterface| outlets.has_uplink(&interface.name);
        Self {
            outlets: outlets.clone(),
            closed: uplinks()
                .filter(|(_, interface)| !is_open(interface))
                .map(|(index, _)| *index)
                .collect(),
            has_open: uplinks().any(|(_, interface)| is_open(interface)),
        }
    }

    /// Whether the same uplinks are closed.
    pub(super) fn are_as(&self, others: &Self) -> bool {
        self.closed == others.closed
    }

    /// Whether a flow to `address` that came by this uplink (0: by any) could not be opened now.
    pub(super) fn has<A: Family>(&self, uplink: IfIndex, address: A) -> bool {
        let by_closed = if uplink == IfIndex(0) {
            !self.has_open
        } else {
            self.closed.contains(&uplink)
        };
        by_closed && !self.outlets.has_address(address.into())
    }

    /// Addresses of this host as packets are to see them.
    pub(super) fn locals<A: Family>(&self, locals: &BTreeMap<A, IfIndex>) -> BTreeMap<A, Local> {
        let local = |address: A, interface| Local {
            interface,
            flags: if self.outlets.has_address(address.into()) {
                0
            } else {
                Local::CLOSED
            },
        };
        locals
            .iter()
            .map(|(address, interface)| (*address, local(*address, *interface)))
            .collect()
    }

    /// Marks the uplinks as packets are to see them.
    pub(super) fn mark<A: Family>(&self, interfaces: &mut BTreeMap<IfIndex, Interface<A>>) {
        for index in &self.closed {
            if let Some(interface) = interfaces.get_mut(index) {
                interface.flags |= Interface::<A>::CLOSED;
            }
        }
    }

    /// What the user should know whose bindings are reached in fewer places than they say.
    pub(super) fn warnings(&self, bindings: &[Binding], view: &View) -> Vec<String> {
        let Self { outlets, .. } = self;
        if !outlets.are_some() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        let mut is_anywhere = false;
        for binding in bindings {
            let host = binding.published.host;
            if host.is_unspecified() {
                is_anywhere = true;
            } else if !host.is_loopback() && !self.has_open && !outlets.has_address(host) {
                warnings.push(format!(
                    "publishing is restricted to {outlets} (--publish-on): {binding} is reached by this host and its \
                     containers only"
                ));
            }
        }
        let is_restricted =
            !self.closed.is_empty() && view.locals().any(|address| !outlets.has_address(address));
        if is_anywhere && is_restricted {
            warnings.push(format!(
                "publishing is restricted to {outlets} (--publish-on): from outside, what is published on every address \
                 is reached there only"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Address6};

    use super::*;
    use crate::outlets::Outlet;

    const ETH0: IfIndex = IfIndex(2);
    const ETH1: IfIndex = IfIndex(3);
    const BR0: IfIndex = IfIndex(4);

    fn closures(outlets: &[&str]) -> Closures {
        let outlets: Vec<Outlet> = outlets.iter().map(|text| text.parse().unwrap()).collect();
        let interface = |name: &str, role| NamedInterface {
            name: name.to_owned(),
            role,
        };
        let interfaces = BTreeMap::from([
            (ETH0, interface("eth0", Role::Uplink)),
            (ETH1, interface("eth1", Role::Uplink)),
            (BR0, interface("br0", Role::Bridge)),
        ]);
        Closures::of(&outlets.into(), &interfaces)
    }

    fn flags<A: Family>(closures: &Closures, address: A) -> (Vec<u8>, u32) {
        let mut interfaces: BTreeMap<IfIndex, Interface<A>> = [ETH0, ETH1, BR0]
            .map(|index| (index, Interface::default()))
            .into();
        closures.mark(&mut interfaces);
        let locals = closures.locals(&BTreeMap::from([(address, ETH0)]));
        let local = locals.values().next().copied().unwrap();
        assert_eq!(local.interface, ETH0);
        (
            interfaces.values().map(|interface| interface.flags).collect(),
            local.flags,
        )
    }

    #[test]
    fn a_place_that_is_not_named_is_closed_in_both_families() {
        let (v4, v6) = (Address(0xc000_0201), Address6([0x2001_0db8, 0, 0, 1]));
        let closed = Interface::<Address>::CLOSED;
        let everywhere = closures(&[]);
        assert_eq!(flags(&everywhere, v4), (vec![0, 0, 0], 0));
        assert!(!everywhere.has(ETH1, v4) && !everywhere.has(IfIndex(0), v6));

        let by_one = closures(&["eth0"]);
        assert_eq!(flags(&by_one, v4), (vec![0, closed, 0], Local::CLOSED));
        assert_eq!(flags(&by_one, v6), (vec![0, closed, 0], Local::CLOSED));
        assert!(by_one.has(ETH1, v4) && !by_one.has(ETH0, v4) && !by_one.has(IfIndex(0), v4));

        let at_one = closures(&["192.0.2.0/24"]);
        assert_eq!(flags(&at_one, v4), (vec![closed, closed, 0], 0));
        assert_eq!(flags(&at_one, v6), (vec![closed, closed, 0], Local::CLOSED));
        assert!(at_one.has(ETH0, v6) && at_one.has(IfIndex(0), v6) && !at_one.has(ETH0, v4));
        assert!(
            at_one.are_as(&closures(&["br0"])) && !at_one.are_as(&by_one),
            "br0 is no uplink"
        );
    }

    #[test]
    fn who_publishes_more_than_is_reached_is_told() {
        let host = |text: &str| -> Binding {
            serde_json::from_value(serde_json::json!({
                "published": {"host": text, "ports": [80, 80], "transport": "tcp"},
                "target": "10.0.0.2", "target_ports": [80, 80], "allow": [],
            }))
            .unwrap()
        };
        let mut view = View::default();
        view.v4.locals.insert(Address(0xc000_0201), ETH0);
        let said = |closures: &Closures, text| closures.warnings(&[host(text)], &view);
        assert!(said(&closures(&[]), "0.0.0.0").is_empty());
        assert!(
            said(&closures(&["192.0.2.1"]), "0.0.0.0").is_empty(),
            "all there is"
        );
        assert!(said(&closures(&["eth0", "eth1"]), "0.0.0.0").is_empty());
        let at_another = closures(&["192.0.2.2"]);
        assert!(said(&at_another, "192.0.2.2").is_empty() && said(&at_another, "127.0.0.1").is_empty());
        assert!(said(&at_another, "192.0.2.1")[0].contains("192.0.2.1:80"));
        assert_eq!(
            said(&at_another, "0.0.0.0"),
            [
                "publishing is restricted to 192.0.2.2 (--publish-on): from outside, what is published on every address \
              is reached there only"
            ]
        );
    }
}
