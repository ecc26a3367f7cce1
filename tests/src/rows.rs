//! The product's promises for IPv4, one a row: who asks whom, who carries it, which address the server sees.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    Lab, Moved, Namespace, Scene, http,
    ping::{self, Pinger, Reply},
    scene::{PUBLISHED, SERVED, Transport},
    tcp,
    topology::{C1B, C2, GATEWAY1, GATEWAY2, HOST, REMOTE},
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
    /// The client.
    pub from: Who,
    /// Where it connects to.
    pub to: SocketAddrV4,
    /// The client's address as the server must see it.
    pub sees: Ipv4Addr,
    /// The counters that must move, and no others of carried or dropped packets.
    pub carried: &'static [&'static str],
    /// What holds instead where netmap's proxy serves the host's own processes.
    by_proxy: bool,
}

const PUBLISHED_BY: &[&str] = &["uplink-in published-in", "port-in published-reply"];
const CONNECTED_BY: &[&str] = &["socket connected"];
const PROXIED_BY: &[&str] = &["socket proxied"];
const HAIRPIN_BY: &[&str] = &["port-in hairpin-in", "port-in hairpin-reply"];
const OWN_PORT_BY: &[&str] = &["port-in own-port-in", "port-in own-port-reply"];
const EGRESS_BY: &[&str] = &["port-in egress-out", "uplink-in egress-reply"];

/// Every row whose traffic gets through, for TCP and UDP alike.
pub const ROWS: &[Row] = &[
    row(
        1,
        "remote -> host:8080",
        Who::Remote,
        at(HOST, PUBLISHED),
        REMOTE,
        PUBLISHED_BY,
    ),
    row(
        2,
        "host -> its own address:8080",
        Who::Host,
        at(HOST, PUBLISHED),
        HOST,
        CONNECTED_BY,
    ),
    row(
        3,
        "host -> 127.0.0.1:8080",
        Who::Host,
        at(Ipv4Addr::LOCALHOST, PUBLISHED),
        GATEWAY1,
        CONNECTED_BY,
    ),
    row(
        4,
        "neighbour c1b -> host:8080",
        Who::C1b,
        at(HOST, PUBLISHED),
        C1B,
        HAIRPIN_BY,
    ),
    row(
        4,
        "neighbour c1b -> its gateway:8080",
        Who::C1b,
        at(GATEWAY1, PUBLISHED),
        C1B,
        HAIRPIN_BY,
    ),
    row(
        5,
        "c2, other bridge -> host:8080",
        Who::C2,
        at(HOST, PUBLISHED),
        C2,
        HAIRPIN_BY,
    ),
    row(
        5,
        "c2, other bridge -> its gateway:8080",
        Who::C2,
        at(GATEWAY2, PUBLISHED),
        C2,
        HAIRPIN_BY,
    ),
    row(
        6,
        "c1 -> host:8080, its own port",
        Who::C1,
        at(HOST, PUBLISHED),
        GATEWAY1,
        OWN_PORT_BY,
    ),
    row(7, "c1 -> remote:80", Who::C1, at(REMOTE, SERVED), HOST, EGRESS_BY),
];

const fn row(
    number: u8,
    what: &'static str,
    from: Who,
    to: SocketAddrV4,
    sees: Ipv4Addr,
    carried: &'static [&'static str],
) -> Row {
    Row {
        number,
        what,
        from,
        to,
        sees,
        carried,
        by_proxy: matches!(from, Who::Host),
    }
}

const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
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
        request: impl FnOnce(&Namespace, SocketAddrV4) -> Result<IpAddr>,
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
            "the server saw {}, not {sees}",
            outcome.seen,
        );
        outcome.moved.ensure_carried_by(carried)
    }

    /// The client's address as the server must see it, and who carries it.
    fn expected(&self, scene: &Scene) -> (Ipv4Addr, &'static [&'static str]) {
        if self.by_proxy && !scene.lab.options().socket_hooks {
            return (GATEWAY1, PROXIED_BY);
        }
        (self.sees, self.carried)
    }

    /// Its traffic, once, and everything about it checked.
    pub fn check(&self, scene: &Scene, transport: Transport) -> Result<()> {
        self.observe(scene, transport)
            .and_then(|outcome| self.judge(scene, &outcome))
            .with_context(|| format!("row {} ({}) over {}", self.number, self.what, transport.name()))
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
            .with_context(|| format!("row {} ({}), {length} bytes both ways", self.number, self.what))
    }
}

/// Checks every row over TCP and UDP, and reports all that fail.
pub fn check_all(scene: &Scene) -> Result<()> {
    let mut failures = Vec::new();
    for row in ROWS {
        for transport in Transport::ALL {
            if let Err(error) = row.check(scene, transport) {
                failures.push(format!("{error:#}"));
            }
        }
    }
    if let Err(error) = observe_ping(scene, 7).and_then(|outcome| judge_ping(&outcome)) {
        failures.push(format!("row 7 with ping: {error:#}"));
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
pub fn observe_ping(scene: &Scene, id: u16) -> Result<Outcome> {
    let payload = format!("ping with id {id}");
    let arrivals = Pinger::new(&scene.lab.remote, 0)?;
    let (reply, moved) = scene
        .netmap
        .watch(|| ping::ping(&scene.lab.c1, REMOTE, id, &payload))?;
    ensure!(
        matches!(reply, Reply::Echo { from: REMOTE, .. }),
        "the answer was {reply:?}"
    );
    Ok(Outcome {
        seen: arrivals.request(&payload)?.from.into(),
        moved,
    })
}

/// Checks what row 7's ping showed.
pub fn judge_ping(outcome: &Outcome) -> Result<()> {
    ensure!(
        outcome.seen == HOST,
        "the remote host saw {}, not {HOST}",
        outcome.seen
    );
    outcome.moved.ensure_carried_by(EGRESS_BY)
}
