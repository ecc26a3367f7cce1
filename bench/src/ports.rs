//! Which ports a backend publishes.

use netmap_tests::{
    scene::{PUBLISHED, SERVED, Transport},
    topology::C1,
};

/// First of the ports that are published beside those that are measured.
const FIRST_OTHER: u16 = 2000;

/// The published ports: others first, then [`PUBLISHED`] to [`SERVED`] for TCP and UDP, which are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// How many others.
    pub(crate) others: u16,
    /// Their transport.
    pub(crate) transport: Transport,
}

/// One published port. The container is always [`C1`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// TCP or UDP.
    pub(crate) transport: Transport,
    /// The host's port.
    pub(crate) host: u16,
    /// The container's port.
    pub(crate) container: u16,
}

impl Ports {
    /// Four, as few as a host with published ports has.
    pub(crate) const FEW: Self = Self::numbering(4, Transport::Udp);

    /// So many ports of `transport`, the measured one included.
    pub(crate) const fn numbering(ports: u16, transport: Transport) -> Self {
        Self {
            others: ports.saturating_sub(1),
            transport,
        }
    }

    /// The others.
    pub(crate) fn others(self) -> impl Iterator<Item = Port> {
        (FIRST_OTHER..)
            .filter(|port| *port != PUBLISHED && *port != Self::SPARE.host)
            .take(self.others.into())
            .map(move |port| Port {
                transport: self.transport,
                host: port,
                container: port,
            })
    }

    /// All, those that are measured last.
    pub(crate) fn all(self) -> impl Iterator<Item = Port> {
        self.others().chain(Transport::ALL.map(Port::measured))
    }

    /// A port that is never among them, to publish and take back.
    pub(crate) const SPARE: Port = Port {
        transport: Transport::Udp,
        host: 8081,
        container: 81,
    };
}

impl Port {
    /// The port that is measured.
    pub(crate) const fn measured(transport: Transport) -> Self {
        Self {
            transport,
            host: PUBLISHED,
            container: SERVED,
        }
    }

    /// As `netmap publish` takes it.
    pub(crate) fn spec(self) -> String {
        let Self {
            transport,
            host,
            container,
        } = self;
        format!("{host}:{container}/{}", transport.name())
    }

    /// Its container's end, as iptables and nftables write it.
    pub(crate) fn target(self) -> String {
        format!("{C1}:{}", self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_never_take_a_measured_or_the_spare_port() {
        let ports: Vec<_> = Ports::numbering(60_000, Transport::Udp).others().collect();
        assert_eq!(ports.len(), 59_999);
        assert!(
            ports
                .iter()
                .all(|port| port.host != PUBLISHED && port.host != Ports::SPARE.host)
        );
        assert!(ports.windows(2).all(|pair| pair[0].host < pair[1].host));
    }
}
