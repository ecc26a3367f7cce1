//! Row 8 of the product's promises: what must not get through, and the counter that says why.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;

use crate::{
    Moved, Namespace, SILENCE, Scene,
    ping::Pinger,
    rows::Who,
    tcp,
    topology::{C1, C1B, C2, HOST, REMOTE},
    udp,
    wire::Wire,
};

/// Traffic that is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// The scenario in words.
    pub what: &'static str,
    /// Who tries.
    pub from: Who,
    /// How.
    pub attempt: Attempt,
    /// The counter that must move, and no other of carried or dropped packets.
    pub dropped: &'static str,
}

/// A way to try.
#[derive(Clone, Copy, Debug)]
pub enum Attempt {
    /// A TCP connection.
    Tcp(SocketAddrV4),
    /// A UDP datagram.
    Udp(SocketAddrV4),
    /// A ping.
    Ping(Ipv4Addr),
    /// A datagram that no socket would send, from one address to the other's port 8080, handed to the host on the
    /// link that this interface of the host leads to.
    Raw(Ipv4Addr, Ipv4Addr, &'static str),
}

const DIRECT: SocketAddrV4 = SocketAddrV4::new(C1, 80);
const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Everything that is dropped.
pub const REFUSALS: &[Refusal] = &[
    refusal(
        "remote -> c1:80 by a route",
        Who::Remote,
        Attempt::Tcp(DIRECT),
        "uplink-in direct-access",
    ),
    refusal(
        "remote -> c1:80 by a route",
        Who::Remote,
        Attempt::Udp(DIRECT),
        "uplink-in direct-access",
    ),
    refusal(
        "remote -> c1 by a route",
        Who::Remote,
        Attempt::Ping(C1),
        "uplink-in direct-access",
    ),
    refusal(
        "c2, other bridge -> c1:80",
        Who::C2,
        Attempt::Tcp(DIRECT),
        "port-in direct-access",
    ),
    refusal(
        "c2, other bridge -> c1:80",
        Who::C2,
        Attempt::Udp(DIRECT),
        "port-in direct-access",
    ),
    refusal(
        "c2, other bridge -> c1",
        Who::C2,
        Attempt::Ping(C1),
        "port-in direct-access",
    ),
    refusal(
        "remote -> 127.0.0.1:8080",
        Who::Remote,
        Attempt::Raw(REMOTE, LOCALHOST, "up0"),
        "uplink-in loopback-on-wire",
    ),
    refusal(
        "remote as 127.0.0.1 -> host",
        Who::Remote,
        Attempt::Raw(LOCALHOST, HOST, "up0"),
        "uplink-in loopback-on-wire",
    ),
    refusal(
        "c1b -> host's 127.0.0.1:8080",
        Who::C1b,
        Attempt::Raw(C1B, LOCALHOST, "br1"),
        "port-in loopback-on-wire",
    ),
    refusal(
        "c2 as 127.0.0.1 -> host",
        Who::C2,
        Attempt::Raw(LOCALHOST, HOST, "br2"),
        "port-in loopback-on-wire",
    ),
    refusal(
        "c2 -> host's 127.0.0.1:8080",
        Who::C2,
        Attempt::Raw(C2, LOCALHOST, "br2"),
        "port-in loopback-on-wire",
    ),
];

const fn refusal(what: &'static str, from: Who, attempt: Attempt, dropped: &'static str) -> Refusal {
    Refusal {
        what,
        from,
        attempt,
        dropped,
    }
}

impl Attempt {
    /// Its protocol's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Ping(_) => "ping",
            Self::Raw(..) => "raw",
        }
    }

    fn make(self, scene: &Scene, client: &Namespace) -> Result<()> {
        match self {
            Self::Tcp(to) => {
                let error = tcp::connect(client, None, to, SILENCE)?
                    .err()
                    .map(|error| error.kind());
                ensure!(
                    error == Some(ErrorKind::TimedOut),
                    "the connection should time out, not {error:?}"
                );
            }
            Self::Udp(to) => {
                let socket = udp::Client::connected(client, to)?;
                socket.send("nobody answers")?;
                ensure!(socket.receive(SILENCE)?.is_none(), "somebody answered");
            }
            Self::Ping(to) => {
                Pinger::new(client, 5)?.send(to, 1, "nobody answers")?;
            }
            Self::Raw(from, to, interface) => {
                let host = Wire::open(&scene.lab.host, interface)?.mac();
                let wire = Wire::open(client, "eth0")?;
                let builder = PacketBuilder::ethernet2(wire.mac(), host)
                    .ipv4(from.octets(), to.octets(), 64)
                    .udp(4_000, 8_080);
                let mut frame = Vec::new();
                builder.write(&mut frame, b"from nowhere")?;
                wire.send(&frame)?;
            }
        }
        Ok(())
    }
}

impl Refusal {
    /// Tries, and says which counters moved.
    pub fn observe(&self, scene: &Scene) -> Result<Moved> {
        let client = self.from.namespace(&scene.lab);
        let ((), moved) = scene.netmap.watch(|| self.attempt.make(scene, client))?;
        Ok(moved)
    }

    /// Checks what the attempt showed.
    pub fn judge(&self, moved: &Moved) -> Result<()> {
        moved.ensure_dropped_by(&[self.dropped])
    }

    /// Tries, and checks that it is dropped for the right reason.
    pub fn check(&self, scene: &Scene) -> Result<()> {
        self.observe(scene)
            .and_then(|moved| self.judge(&moved))
            .with_context(|| format!("row 8 ({}, {})", self.what, self.attempt.name()))
    }
}
