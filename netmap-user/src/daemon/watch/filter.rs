//! Which events a watcher wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netmap_common::maps::{Class, Reason, Watch};

use crate::api::{
    events::{self, Ends, Happening, Packet, WatchRequest},
    types::EngineNames,
};

/// One watcher's choice.
#[derive(Debug)]
pub(super) struct Filter {
    wanted: WatchRequest,
    reasons: BTreeSet<Reason>,
    /// Containers' addresses that are wanted by name or by themselves.
    containers: BTreeSet<IpAddr>,
}

impl Filter {
    pub(super) fn new(wanted: WatchRequest) -> Self {
        let reasons = wanted.reasons.iter().filter_map(|name| events::reason(name));
        Self {
            reasons: reasons.collect(),
            containers: BTreeSet::new(),
            wanted,
        }
    }

    /// What containers are called now.
    pub(super) fn resolve(&mut self, names: &EngineNames) {
        if self.wanted.containers.is_empty() {
            return;
        }
        let mut known: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for name in &names.names {
            known.entry(&name.container).or_default().push(name.address);
        }
        let addresses = self.wanted.containers.iter().flat_map(|container| {
            let named = known.get(container.as_str()).cloned().unwrap_or_default();
            named.into_iter().chain(container.parse().ok())
        });
        self.containers = addresses.collect();
    }

    /// Containers that nobody is called, as far as is known.
    pub(super) fn unknown(&self, names: &EngineNames) -> Option<&str> {
        let is_known = |container: &str| {
            container.parse::<IpAddr>().is_ok() || names.names.iter().any(|name| name.container == container)
        };
        let mut containers = self.wanted.containers.iter();
        containers
            .find(|container| !is_known(container))
            .map(String::as_str)
    }

    /// Whether packets come with their bytes.
    pub(super) const fn wants_frames(&self) -> bool {
        self.wanted.frames
    }

    /// Has the programs tell what may be wanted.
    pub(super) fn add_to(&self, watch: &mut Watch) {
        for reason in Reason::ALL.iter().filter(|reason| self.wants_reason(**reason)) {
            watch.want(*reason);
        }
        watch.openings |= u32::from(!self.is_about_packets());
    }

    /// Whether the watcher wants this one.
    pub(super) fn wants(&self, what: &Happening) -> bool {
        match what {
            Happening::PacketDropped(packet) | Happening::PacketPassed(packet) => {
                events::reason(&packet.reason).is_some_and(|reason| self.wants_reason(reason))
                    && self.fits(&Subject::of(packet))
            }
            // Whatever it wants, this is about it.
            Happening::Watching(_) | Happening::Missed(_) => true,
            _ if self.is_about_packets() => false,
            Happening::FlowOpened(flow) => {
                let interfaces = [Some(flow.interface.as_str()), flow.out.as_deref()];
                self.fits(&Subject::flow(&flow.original, &flow.translated, &interfaces))
            }
            Happening::FlowClosed(flow) => self.fits(&Subject::flow(&flow.original, &flow.translated, &[])),
            Happening::RulePublished(rule) | Happening::RuleUnpublished(rule) => self.fits(&Subject {
                ports: vec![(rule.port, rule.end), (rule.container_port, rule.container_end)],
                addresses: BTreeSet::from([rule.host, rule.container]),
                interfaces: Vec::new(),
            }),
            Happening::EndpointFound(endpoint) | Happening::EndpointLost(endpoint) => self.fits(&Subject {
                ports: Vec::new(),
                addresses: BTreeSet::from([endpoint.address]),
                interfaces: endpoint.interface.as_deref().into_iter().collect(),
            }),
            Happening::Attached(attachment) | Happening::Detached(attachment) => self.fits(&Subject {
                ports: Vec::new(),
                addresses: BTreeSet::new(),
                interfaces: vec![&attachment.interface],
            }),
        }
    }

    const fn is_about_packets(&self) -> bool {
        self.wanted.drops || !self.wanted.reasons.is_empty()
    }

    fn wants_reason(&self, reason: Reason) -> bool {
        let is_named = self.reasons.contains(&reason);
        match reason.class() {
            _ if !self.reasons.is_empty() => {
                is_named && (!self.wanted.drops || reason.class() == Class::Dropped)
            }
            _ if !events::is_told(reason) => false,
            Class::Dropped => true,
            Class::Passed => !self.wanted.drops && (self.wanted.all || !events::is_everyday(reason)),
            Class::Carried => false,
        }
    }

    fn fits(&self, subject: &Subject<'_>) -> bool {
        let WatchRequest {
            ports,
            addresses,
            containers,
            interfaces,
            ..
        } = &self.wanted;
        let is_port = |(first, last): &(u16, u16)| ports.iter().any(|port| first <= port && port <= last);
        let is_address = |end: &IpAddr| addresses.iter().any(|net| net.contains(end));
        let is_interface = |name: &&str| interfaces.iter().any(|wanted| wanted == name);
        (ports.is_empty() || subject.ports.iter().any(is_port))
            && (addresses.is_empty() || subject.addresses.iter().any(is_address))
            && (containers.is_empty() || !self.containers.is_disjoint(&subject.addresses))
            && (interfaces.is_empty() || subject.interfaces.iter().any(is_interface))
    }
}

/// What an event is about.
struct Subject<'event> {
    /// Ranges of ports, both ends included.
    ports: Vec<(u16, u16)>,
    addresses: BTreeSet<IpAddr>,
    interfaces: Vec<&'event str>,
}

impl<'event> Subject<'event> {
    fn of(packet: &'event Packet) -> Self {
        let ports = [packet.sport, packet.dport].into_iter().flatten();
        Self {
            ports: ports.map(|port| (port, port)).collect(),
            addresses: [packet.src, packet.dst].into_iter().flatten().collect(),
            interfaces: vec![&packet.interface],
        }
    }

    fn flow(original: &Ends, translated: &Ends, interfaces: &[Option<&'event str>]) -> Self {
        let ends = [original, translated];
        let ports = ends.into_iter().flat_map(|ends| [ends.sport, ends.dport]);
        Self {
            ports: ports.map(|port| (port, port)).collect(),
            addresses: ends.into_iter().flat_map(|ends| [ends.src, ends.dst]).collect(),
            interfaces: interfaces.iter().flatten().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        events::{Endpoint, FlowOpened, Missed},
        types::NamedAddress,
    };

    fn packet(reason: &str) -> Happening {
        let packet = Packet {
            reason: reason.to_owned(),
            hook: "uplink-in".to_owned(),
            interface: "up0".to_owned(),
            protocol: Some("tcp".to_owned()),
            src: "10.0.0.9".parse().ok(),
            sport: Some(4_242),
            dst: "192.0.2.1".parse().ok(),
            dport: Some(8_080),
            length: 74,
            frame: None,
        };
        if events::reason(reason).unwrap().class() == Class::Dropped {
            Happening::PacketDropped(packet)
        } else {
            Happening::PacketPassed(packet)
        }
    }

    fn opened() -> Happening {
        let ends = |dst: &str, dport| Ends {
            src: "10.0.0.9".parse().unwrap(),
            sport: 4_242,
            dst: dst.parse().unwrap(),
            dport,
        };
        Happening::FlowOpened(FlowOpened {
            protocol: "tcp".to_owned(),
            kind: "published".to_owned(),
            interface: "up0".to_owned(),
            out: Some("veth1".to_owned()),
            original: ends("192.0.2.1", 8_080),
            translated: ends("172.30.1.2", 80),
        })
    }

    fn wants(wanted: WatchRequest, what: &Happening) -> bool {
        let mut filter = Filter::new(wanted);
        filter.resolve(&names());
        filter.wants(what)
    }

    fn names() -> EngineNames {
        EngineNames {
            names: vec![NamedAddress {
                address: "172.30.1.2".parse().unwrap(),
                container: "web".to_owned(),
                network: "front".to_owned(),
            }],
        }
    }

    #[test]
    fn without_a_wish_all_is_told_but_everyday_packets() {
        let all = || WatchRequest {
            all: true,
            ..WatchRequest::default()
        };
        for what in [packet("not-allowed"), packet("no-endpoint"), opened()] {
            assert!(wants(WatchRequest::default(), &what), "{what:?}");
        }
        assert!(!wants(WatchRequest::default(), &packet("to-host")));
        assert!(wants(all(), &packet("to-host")));
        assert!(!wants(all(), &packet("published-in")));
    }

    #[test]
    fn drops_and_reasons_are_about_packets_alone() {
        let drops = || WatchRequest {
            drops: true,
            ..WatchRequest::default()
        };
        assert!(wants(drops(), &packet("not-allowed")));
        for what in [packet("no-endpoint"), opened()] {
            assert!(!wants(drops(), &what), "{what:?}");
        }
        let reasons = || WatchRequest {
            reasons: vec!["to-host".to_owned(), "not-allowed".to_owned()],
            ..WatchRequest::default()
        };
        assert!(wants(reasons(), &packet("to-host")) && wants(reasons(), &packet("not-allowed")));
        assert!(!wants(reasons(), &packet("table-full")) && !wants(reasons(), &opened()));
        let both = WatchRequest {
            drops: true,
            ..reasons()
        };
        assert!(!wants(both, &packet("to-host")));
        assert!(wants(drops(), &Happening::Missed(Missed { count: 1 })));
    }

    #[test]
    fn a_port_address_container_or_interface_is_one_of_either_end() {
        let (dropped, opened) = (packet("not-allowed"), opened());
        let ports = |port| WatchRequest {
            ports: vec![port],
            ..WatchRequest::default()
        };
        assert!(wants(ports(8_080), &dropped) && wants(ports(80), &opened));
        assert!(!wants(ports(80), &dropped) && !wants(ports(81), &opened));
        let address = |net: &str| WatchRequest {
            addresses: vec![net.parse().unwrap()],
            ..WatchRequest::default()
        };
        assert!(wants(address("10.0.0.0/8"), &dropped) && wants(address("172.30.1.2/32"), &opened));
        assert!(!wants(address("172.30.1.2/32"), &dropped));
        let container = |name: &str| WatchRequest {
            containers: vec![name.to_owned()],
            ..WatchRequest::default()
        };
        assert!(wants(container("web"), &opened) && wants(container("172.30.1.2"), &opened));
        assert!(!wants(container("web"), &dropped) && !wants(container("db"), &opened));
        let interface = |name: &str| WatchRequest {
            interfaces: vec![name.to_owned()],
            ..WatchRequest::default()
        };
        assert!(wants(interface("up0"), &dropped) && wants(interface("veth1"), &opened));
        assert!(!wants(interface("veth1"), &dropped));
        let endpoint = Happening::EndpointFound(Endpoint {
            address: "172.30.1.2".parse().unwrap(),
            way: "peer".to_owned(),
            interface: Some("veth1".to_owned()),
        });
        assert!(wants(container("web"), &endpoint) && wants(interface("veth1"), &endpoint));
        assert!(!wants(ports(80), &endpoint));
    }

    #[test]
    fn the_programs_tell_what_may_be_wanted_and_no_more() {
        let mut watch = Watch::default();
        Filter::new(WatchRequest {
            reasons: vec!["to-host".to_owned()],
            ..WatchRequest::default()
        })
        .add_to(&mut watch);
        assert!(watch.wants(Reason::ToHost as u8) && !watch.wants(Reason::NotAllowed as u8));
        assert_eq!(watch.openings, 0);
        Filter::new(WatchRequest::default()).add_to(&mut watch);
        for never in [
            Reason::Done,
            Reason::PortHeld,
            Reason::PublishedIn,
            Reason::OnLink,
        ] {
            assert!(!watch.wants(never as u8));
        }
        assert!(watch.wants(Reason::NotAllowed as u8) && watch.wants(Reason::NoEndpoint as u8));
        assert_eq!(watch.openings, 1);
    }

    #[test]
    fn a_container_that_nobody_is_called_is_unknown() {
        let filter = |containers: &[&str]| {
            Filter::new(WatchRequest {
                containers: containers.iter().map(|name| (*name).to_owned()).collect(),
                ..WatchRequest::default()
            })
        };
        assert_eq!(filter(&["web", "10.0.0.1"]).unknown(&names()), None);
        assert_eq!(filter(&["web", "db"]).unknown(&names()), Some("db"));
    }
}
