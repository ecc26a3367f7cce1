//! The product's promises, one a row: who asks whom, who carries it, which address the server sees.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    Family, Lab, Moved, Namespace, Place, Scene, http, ipv6,
    ping::{self, Pinger, Reply},
    ping6::{self, Pinger6, Reply6},
    scene::{PUBLISHED, SERVED, Transport, V4_ONLY},
    tcp, topology,
};

/// A machine of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The remote host.
    Remote,
    /// The host.
    Host,
    /// The published container.
    C1,
    /// Its neighbour.
    C1b,
    /// The container on the other bridge.
    C2,
}

impl Who {
    /// Its namespace.
    pub fn namespace(self, lab: &Lab) -> &Arc<Namespace> {
        match self {
            Self::Remote => &lab.remote,
            Self::Host => &lab.host,
            Self::C1 => &lab.c1,
            Self::C1b => &lab.c1b,
            Self::C2 => &lab.c2,
        }
    }

    /// Its namespace as its clients live there: those of the host in netmap's control group.
    pub fn client(self, scene: &Scene) -> &Namespace {
        match self {
            Self::Host => &scene.host,
            other => other.namespace(&scene.lab),
        }
    }
}

/// One promise about a connection or a datagram and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number in the design.
    pub number: u8,
    /// The scenario in words.
    pub what: &'static str,
    /// The family that the client speaks.
    pub family: Family,
    /// The client.
    pub from: Who,
    /// Where it connects to.
    pub to: SocketAddr,
    /// The client's address as the server must see it.
    pub sees: IpAddr,
    /// The counters that must move, and no others of carried or dropped packets.
    pub carried: &'static [&'static str],
}

const PUBLISHED_BY: &[&str] = &["uplink-in published-in", "port-in published-reply"];
const CONNECTED_BY: &[&str] = &["socket connected"];
const PROXIED_BY: &[&str] = &["socket proxied"];
const HAIRPIN_BY: &[&str] = &["port-in hairpin-in", "port-in hairpin-reply"];
const OWN_PORT_BY: &[&str] = &["port-in own-port-in", "port-in own-port-reply"];
const EGRESS_BY: &[&str] = &["port-in egress-out", "uplink-in egress-reply"];

/// Every row of IPv4 whose traffic gets through, for TCP and UDP alike.
pub const ROWS: &[Row] = &table(Family::V4);

/// The same of IPv6.
pub const ROWS6: &[Row] = &table(Family::V6);

/// Row 9: clients of IPv6, a container that has an address of IPv4 alone.
pub const MIXED: &[Row] = &[
    mixed("remote -> host:8089, c1 has IPv4 alone", Who::Remote, Place::Host),
    mixed("host -> its own address:8089", Who::Host, Place::Host),
    mixed("host -> localhost:8089", Who::Host, Place::Localhost),
    mixed("neighbour c1b -> host:8089", Who::C1b, Place::Host),
    mixed("c2, other bridge -> its gateway:8089", Who::C2, Place::Gateway2),
    mixed("c1 -> host:8089, its own port", Who::C1, Place::Host),
];

const fn table(family: Family) -> [Row; 9] {
    let host = family.at(Place::Host, PUBLISHED);
    let localhost = family.at(Place::Localhost, PUBLISHED);
    let (gateway1, gateway2) = (
        family.at(Place::Gateway1, PUBLISHED),
        family.at(Place::Gateway2, PUBLISHED),
    );
    let remote = family.at(Place::Remote, SERVED);
    [
        row(
            1,
            "remote -> host:8080",
            Who::Remote,
            host,
            Place::Remote,
            PUBLISHED_BY,
        ),
        row(
            2,
            "host -> its own address:8080",
            Who::Host,
            host,
            Place::Host,
            CONNECTED_BY,
        ),
        row(
            3,
            "host -> localhost:8080",
            Who::Host,
            localhost,
            Place::Gateway1,
            CONNECTED_BY,
        ),
        row(
            4,
            "neighbour c1b -> host:8080",
            Who::C1b,
            host,
            Place::C1b,
            HAIRPIN_BY,
        ),
        row(
            4,
            "neighbour c1b -> its gateway:8080",
            Who::C1b,
            gateway1,
            Place::C1b,
            HAIRPIN_BY,
        ),
        row(
            5,
            "c2, other bridge -> host:8080",
            Who::C2,
            host,
            Place::C2,
            HAIRPIN_BY,
        ),
        row(
            5,
            "c2, other bridge -> its gateway:8080",
            Who::C2,
            gateway2,
            Place::C2,
            HAIRPIN_BY,
        ),
        row(
            6,
            "c1 -> host:8080, its own port",
            Who::C1,
            host,
            Place::Gateway1,
            OWN_PORT_BY,
        ),
        row(7, "c1 -> remote:80", Who::C1, remote, Place::Host, EGRESS_BY),
    ]
}

const fn row(
    number: u8,
    what: &'static str,
    from: Who,
    to: SocketAddr,
    sees: Place,
    carried: &'static [&'static str],
) -> Row {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    Row {
        number,
        what,
        family,
        from,
        to,
        sees: family.address(sees),
        carried,
    }
}

const fn mixed(what: &'static str, from: Who, to: Place) -> Row {
    Row {
        sees: Family::V4.address(Place::Gateway1),
        ..row(
            9,
            what,
            from,
            Family::V6.at(to, V4_ONLY),
            Place::Gateway1,
            PROXIED_BY,
        )
    }
}

/// What a row's traffic showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The client's address as the server saw it.
    pub seen: IpAddr,
    /// The counters that moved.
    pub moved: Moved,
}

impl Row {
    /// Its traffic, once, with what it showed; only that an answer with the right content came is checked.
    pub fn observe(&self, scene: &Scene, transport: Transport) -> Result<Outcome> {
        let payload = format!("row {} over {}", self.number, transport.name());
        self.observe_as(scene, |client, to| {
            Ok(transport.request(client, to, &payload)?.client.ip())
        })
    }

    /// The same with an HTTP request.
    pub fn observe_http(&self, scene: &Scene) -> Result<Outcome> {
        let path = format!("/row-{}", self.number);
        self.observe_as(scene, |client, to| Ok(http::get(client, to, &path)?.client))
    }

    fn observe_as(
        &self,
        scene: &Scene,
        request: impl FnOnce(&Namespace, SocketAddr) -> Result<IpAddr>,
    ) -> Result<Outcome> {
        let client = self.from.client(scene);
        let (seen, moved) = scene.netmap.watch(|| request(client, self.to))?;
        Ok(Outcome { seen, moved })
    }

    /// Checks what its traffic showed.
    pub fn judge(&self, scene: &Scene, outcome: &Outcome) -> Result<()> {
        let (sees, carried) = self.expected(scene);
        ensure!(
            outcome.seen == sees,
            "the server saw {}, not {sees}, and what moved is: {}",
            outcome.seen,
            outcome.moved,
        );
        outcome.moved.ensure_carried_by(carried)
    }

    /// The client's address as the server must see it, and who carries it.
    fn expected(&self, scene: &Scene) -> (IpAddr, &'static [&'static str]) {
        if self.from == Who::Host && self.number != 9 && !scene.lab.options().socket_hooks {
            return (self.family.address(Place::Gateway1), PROXIED_BY);
        }
        (self.sees, self.carried)
    }

    /// Its traffic, once, and everything about it checked.
    pub fn check(&self, scene: &Scene, transport: Transport) -> Result<()> {
        self.observe(scene, transport)
            .and_then(|outcome| self.judge(scene, &outcome))
            .with_context(|| format!("{} over {}", self.name(), transport.name()))
    }

    /// Bulk transfers of `length` bytes both ways at once, whole at both ends.
    pub fn check_bulk(&self, scene: &Scene, length: u64) -> Result<()> {
        let (sees, _) = self.expected(scene);
        tcp::Client::connect(self.from.client(scene), self.to)
            .and_then(|client| client.echo(length))
            .and_then(|answer| {
                ensure!(answer.client.ip() == sees, "the server saw {}", answer.client);
                Ok(())
            })
            .with_context(|| format!("{}, {length} bytes both ways", self.name()))
    }

    fn name(&self) -> String {
        format!("row {} ({}, {:?})", self.number, self.what, self.family)
    }
}

/// Every row of the families that the scene's lab has.
pub fn all(scene: &Scene) -> impl Iterator<Item = &'static Row> {
    let (v6, mixed): (&[Row], &[Row]) = if scene.lab.options().ipv6 {
        (ROWS6, MIXED)
    } else {
        (&[], &[])
    };
    ROWS.iter().chain(v6).chain(mixed)
}

/// Checks every row over TCP and UDP, and reports all that fail.
pub fn check_all(scene: &Scene) -> Result<()> {
    let mut failures = Vec::new();
    for row in all(scene) {
        for transport in Transport::ALL {
            if let Err(error) = row.check(scene, transport) {
                failures.push(format!("{error:#}"));
            }
        }
    }
    for &family in scene.families() {
        let ping = observe_ping(scene, family, 7).and_then(|outcome| judge_ping(family, &outcome));
        if let Err(error) = ping {
            failures.push(format!("row 7 with ping, {family:?}: {error:#}"));
        }
    }
    ensure!(
        failures.is_empty(),
        "{} failed:\n{}\n{}",
        failures.len(),
        failures.join("\n"),
        scene.netmap.log()
    );
    Ok(())
}

/// Row 7 with ping: c1 pings the remote host with this identifier.
pub fn observe_ping(scene: &Scene, family: Family, id: u16) -> Result<Outcome> {
    let payload = format!("ping with id {id}");
    let (client, server) = (&scene.lab.c1, &scene.lab.remote);
    let (seen, moved) = scene.netmap.watch(|| match family {
        Family::V4 => {
            let arrivals = Pinger::new(server, 0)?;
            let reply = ping::ping(client, topology::REMOTE, id, &payload)?;
            ensure!(
                matches!(
                    reply,
                    Reply::Echo {
                        from: topology::REMOTE,
                        ..
                    }
                ),
                "the answer was {reply:?}"
            );
            Ok(IpAddr::V4(arrivals.request(&payload)?.from))
        }
        Family::V6 => {
            let arrivals = Pinger6::new(server, 0)?;
            let reply = ping6::ping(client, ipv6::REMOTE, id, &payload)?;
            ensure!(
                reply == Reply6::Echo { from: ipv6::REMOTE },
                "the answer was {reply:?}"
            );
            Ok(IpAddr::V6(arrivals.request(&payload)?.from))
        }
    })?;
    Ok(Outcome { seen, moved })
}

/// Checks what row 7's ping showed.
pub fn judge_ping(family: Family, outcome: &Outcome) -> Result<()> {
    let host = family.address(Place::Host);
    ensure!(
        outcome.seen == host,
        "the remote host saw {}, not {host}",
        outcome.seen
    );
    outcome.moved.ensure_carried_by(EGRESS_BY)
}
