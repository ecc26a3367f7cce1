//! Where published containers and programs are, and what has changed of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netmap_common::maps::{Address, Address6, IfIndex, Ip, Way};

use crate::{
    api::{
        events::{Endpoint, Happening},
        types::Attachment,
    },
    host::{FamilyView, View},
    maps::Family,
};

/// Both at one time.
#[derive(Debug, Default)]
pub(super) struct Places {
    endpoints: BTreeMap<IpAddr, Endpoint>,
    attachments: BTreeSet<Attachment>,
}

impl Places {
    pub(super) fn new(view: &View, attachments: impl Iterator<Item = Attachment>) -> Self {
        let v4 = endpoints::<Address>(view, &view.v4);
        let v6 = endpoints::<Address6>(view, &view.v6);
        Self {
            endpoints: v4.chain(v6).collect(),
            attachments: attachments.collect(),
        }
    }

    /// What is otherwise than it was: programs before the containers that they are for, the other way around when they go.
    pub(super) fn since(&self, before: &Self) -> Vec<Happening> {
        let lost = before
            .endpoints
            .values()
            .filter(|endpoint| !self.endpoints.contains_key(&endpoint.address))
            .cloned();
        let detached = before.attachments.difference(&self.attachments).cloned();
        let attached = self.attachments.difference(&before.attachments).cloned();
        let found = self
            .endpoints
            .iter()
            .filter(|(address, endpoint)| before.endpoints.get(address) != Some(endpoint))
            .map(|(_, endpoint)| endpoint.clone());
        let gone = lost
            .map(Happening::EndpointLost)
            .chain(detached.map(Happening::Detached));
        let new = attached
            .map(Happening::Attached)
            .chain(found.map(Happening::EndpointFound));
        gone.chain(new).collect()
    }
}

fn endpoints<'view, A: Family + Ip>(
    view: &'view View,
    family: &'view FamilyView<A>,
) -> impl Iterator<Item = (IpAddr, Endpoint)> + 'view {
    family.endpoints.iter().map(|(address, endpoint)| {
        let address: IpAddr = (*address).into();
        let way = Way::from_number(endpoint.way);
        let place = Endpoint {
            address,
            way: way.map_or("unknown", Way::name).to_owned(),
            interface: (endpoint.out != IfIndex(0)).then(|| super::name(view, endpoint.out)),
        };
        (address, place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, interface: &str) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            way: "peer".to_owned(),
            interface: Some(interface.to_owned()),
        }
    }

    fn attachment(interface: &str) -> Attachment {
        Attachment {
            interface: interface.to_owned(),
            role: "port".to_owned(),
            hook: "ingress".to_owned(),
            mode: "tcx".to_owned(),
        }
    }

    fn places(endpoints: &[Endpoint], attachments: &[Attachment]) -> Places {
        Places {
            endpoints: endpoints
                .iter()
                .map(|endpoint| (endpoint.address, endpoint.clone()))
                .collect(),
            attachments: attachments.iter().cloned().collect(),
        }
    }

    #[test]
    fn what_has_come_gone_or_moved_is_told_and_nothing_else() {
        let before = places(
            &[
                endpoint("10.0.0.1", "a"),
                endpoint("10.0.0.2", "b"),
                endpoint("::3", "c"),
            ],
            &[attachment("a"), attachment("b")],
        );
        let after = places(
            &[
                endpoint("10.0.0.1", "a"),
                endpoint("10.0.0.2", "d"),
                endpoint("::4", "d"),
            ],
            &[attachment("a"), attachment("d")],
        );
        let expected = [
            Happening::EndpointLost(endpoint("::3", "c")),
            Happening::Detached(attachment("b")),
            Happening::Attached(attachment("d")),
            Happening::EndpointFound(endpoint("10.0.0.2", "d")),
            Happening::EndpointFound(endpoint("::4", "d")),
        ];
        assert_eq!(after.since(&before), expected);
        assert_eq!(after.since(&after), []);
    }
}
