//! Who asks whom, and which address the container sees: the promises of [`crate::rows`], by containers that a real engine has
//! made, in its own way and in netmap's.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use super::{Stage, Way, stage::Cast};
use crate::{
    Answer, Family, Namespace, Place, SILENCE,
    rows::Who,
    scene::{PUBLISHED, SERVED, Transport},
    udp,
};

/// What the rows need published of c1.
pub const PUBLISH: [&str; 2] = ["8080:80/tcp", "8080:80/udp"];

/// One question: who asks whom, and whom the server must see.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number in the README's table.
    pub number: u8,
    /// It in words.
    pub what: &'static str,
    from: Who,
    to: Place,
    port: u16,
    /// The engine's own way, by TCP and by UDP; `None` where no answer comes.
    engine: [Option<Place>; 2],
    netmap: Place,
}

/// What a row's traffic showed.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// The row.
    pub row: &'static Row,
    /// By which address family.
    pub family: Family,
    /// By which transport.
    pub transport: Transport,
    /// The client's address as the server saw it, if an answer came.
    pub seen: Option<IpAddr>,
}

/// The rows that get through.
pub const ROWS: &[Row] = &[
    row(
        1,
        "remote → host:8080",
        Who::Remote,
        Place::Host,
        [Some(Place::Remote); 2],
        Place::Remote,
    ),
    row(
        2,
        "host → its own address:8080",
        Who::Host,
        Place::Host,
        [Some(Place::Host); 2],
        Place::Host,
    ),
    row(
        3,
        "host → 127.0.0.1:8080",
        Who::Host,
        Place::Localhost,
        [Some(Place::Gateway1); 2],
        Place::Gateway1,
    ),
    row(
        4,
        "neighbour → host:8080",
        Who::C1b,
        Place::Host,
        [Some(Place::Gateway1), None],
        Place::C1b,
    ),
    row(
        4,
        "neighbour → its gateway:8080",
        Who::C1b,
        Place::Gateway1,
        [Some(Place::Gateway1); 2],
        Place::C1b,
    ),
    row(
        5,
        "other bridge → host:8080",
        Who::C2,
        Place::Host,
        [Some(Place::Gateway1), None],
        Place::C2,
    ),
    row(
        5,
        "other bridge → its gateway:8080",
        Who::C2,
        Place::Gateway2,
        [Some(Place::Gateway1); 2],
        Place::C2,
    ),
    row(
        6,
        "container → host:8080, its own port",
        Who::C1,
        Place::Host,
        [Some(Place::Gateway1), None],
        Place::Gateway1,
    ),
    Row {
        port: SERVED,
        ..row(
            7,
            "container → remote:80",
            Who::C1,
            Place::Remote,
            [Some(Place::Host); 2],
            Place::Host,
        )
    },
];

const fn row(
    number: u8,
    what: &'static str,
    from: Who,
    to: Place,
    engine: [Option<Place>; 2],
    netmap: Place,
) -> Row {
    Row {
        number,
        what,
        from,
        to,
        port: PUBLISHED,
        engine,
        netmap,
    }
}

impl Row {
    /// Its traffic, once.
    pub fn observe(
        &'static self,
        stage: &Stage,
        cast: &Cast,
        family: Family,
        transport: Transport,
    ) -> Finding {
        let payload = format!("row {} over {}", self.number, transport.name());
        let to = family.at(self.to, self.port);
        let client = stage.client(cast, self.from);
        let answer = match transport {
            Transport::Udp if self.expected(stage.way, family, transport).is_none() => {
                unanswered(client, to, &payload)
            }
            _ => transport.request(client, to, &payload),
        };
        Finding {
            row: self,
            family,
            transport,
            seen: answer.ok().map(|answer| answer.client.ip().to_canonical()),
        }
    }

    /// The client's address as the server has to see it, `None` where no answer may come.
    pub fn expected(&self, way: Way, family: Family, transport: Transport) -> Option<IpAddr> {
        let [tcp, udp] = match way {
            Way::Engine => self.engine,
            Way::Netmap => [Some(self.netmap); 2],
        };
        let place = match transport {
            Transport::Tcp => tcp,
            Transport::Udp => udp,
        };
        place.map(|place| family.address(place))
    }
}

/// What is known to stay without an answer, or to get one from another address, is not waited for as long.
fn unanswered(client: &Namespace, to: SocketAddr, payload: &str) -> Result<Answer> {
    let client = udp::Client::connected(client, to)?;
    client.send(payload)?;
    client.receive(SILENCE)?.context("no answer")
}

/// Every row's traffic by `family`, by TCP and by UDP. What the engine's own way makes of IPv6 is not known here.
pub fn observe(stage: &Stage, cast: &Cast, family: Family) -> Vec<Finding> {
    ROWS.iter()
        .flat_map(|row| Transport::ALL.map(|transport| row.observe(stage, cast, family, transport)))
        .collect()
}

/// Checks all of them.
pub fn check(stage: &Stage, cast: &Cast, family: Family) -> Result<()> {
    let wrong: Vec<_> = observe(stage, cast, family)
        .into_iter()
        .filter_map(|finding| {
            let Finding {
                row, transport, seen, ..
            } = finding;
            let expected = row.expected(stage.way, family, transport);
            let (number, what, transport) = (row.number, row.what, transport.name());
            (seen != expected).then(|| {
                format!("row {number} ({what}) over {transport}: the server saw {seen:?}, not {expected:?}")
            })
        })
        .collect();
    ensure!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}
