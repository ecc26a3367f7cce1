//! Row 8 of the product's promises: what must not get through, and the counter that says why.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::PacketBuilder;

use crate::{
    Family, Moved, Namespace, Place, SILENCE, Scene,
    ping::Pinger,
    ping6::Pinger6,
    rows::Who,
    scene::{PUBLISHED, SERVED},
    tcp, udp,
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
    Tcp(SocketAddr),
    /// A UDP datagram.
    Udp(SocketAddr),
    /// A ping.
    Ping(IpAddr),
    /// A datagram that no socket would send, from one address to the other's port 8080, handed to the host on the
    /// link that this interface of the host leads to.
    Raw(IpAddr, IpAddr, &'static str),
}

/// Everything of IPv4 that is dropped.
pub const REFUSALS: &[Refusal] = &table(Family::V4);

/// The same of IPv6.
pub const REFUSALS6: &[Refusal] = &table(Family::V6);

const fn table(family: Family) -> [Refusal; 11] {
    const UPLINK_DIRECT: &str = "uplink-in direct-access";
    const PORT_DIRECT: &str = "port-in direct-access";
    const UPLINK_LOOPBACK: &str = "uplink-in loopback-on-wire";
    const PORT_LOOPBACK: &str = "port-in loopback-on-wire";
    let direct = family.at(Place::C1, SERVED);
    let (tcp, udp) = (Attempt::Tcp(direct), Attempt::Udp(direct));
    let ping = Attempt::Ping(direct.ip());
    let (remote, host, localhost) = (Place::Remote, Place::Host, Place::Localhost);
    let by_route = "remote -> c1:80 by a route";
    let by_bridge = "c2, other bridge -> c1:80";
    [
        refusal(by_route, Who::Remote, tcp, UPLINK_DIRECT),
        refusal(by_route, Who::Remote, udp, UPLINK_DIRECT),
        refusal("remote -> c1 by a route", Who::Remote, ping, UPLINK_DIRECT),
        refusal(by_bridge, Who::C2, tcp, PORT_DIRECT),
        refusal(by_bridge, Who::C2, udp, PORT_DIRECT),
        refusal("c2, other bridge -> c1", Who::C2, ping, PORT_DIRECT),
        refusal(
            "remote -> host's localhost:8080",
            Who::Remote,
            raw(family, remote, localhost, "up0"),
            UPLINK_LOOPBACK,
        ),
        refusal(
            "remote as localhost -> host",
            Who::Remote,
            raw(family, localhost, host, "up0"),
            UPLINK_LOOPBACK,
        ),
        refusal(
            "c1b -> host's localhost:8080",
            Who::C1b,
            raw(family, Place::C1b, localhost, "br1"),
            PORT_LOOPBACK,
        ),
        refusal(
            "c2 as localhost -> host",
            Who::C2,
            raw(family, localhost, host, "br2"),
            PORT_LOOPBACK,
        ),
        refusal(
            "c2 -> host's localhost:8080",
            Who::C2,
            raw(family, Place::C2, localhost, "br2"),
            PORT_LOOPBACK,
        ),
    ]
}

const fn raw(family: Family, from: Place, to: Place, interface: &'static str) -> Attempt {
    Attempt::Raw(family.address(from), family.address(to), interface)
}

const fn refusal(what: &'static str, from: Who, attempt: Attempt, dropped: &'static str) -> Refusal {
    Refusal {
        what,
        from,
        attempt,
        dropped,
    }
}

impl Attempt {
    /// The family of its addresses.
    pub const fn family(self) -> Family {
        let (Self::Tcp(SocketAddr::V4(_))
        | Self::Udp(SocketAddr::V4(_))
        | Self::Ping(IpAddr::V4(_))
        | Self::Raw(IpAddr::V4(_), ..)) = self
        else {
            return Family::V6;
        };
        Family::V4
    }

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
            Self::Ping(IpAddr::V4(to)) => Pinger::new(client, 5)?.send(to, 1, "nobody answers")?,
            Self::Ping(IpAddr::V6(to)) => Pinger6::new(client, 5)?.send(to, 1, "nobody answers")?,
            Self::Raw(from, to, interface) => {
                let host = Wire::open(&scene.lab.host, interface)?.mac();
                let wire = Wire::open(client, "eth0")?;
                let frame = PacketBuilder::ethernet2(wire.mac(), host);
                let packet = match (from, to) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => frame.ipv4(from.octets(), to.octets(), 64),
                    (IpAddr::V6(from), IpAddr::V6(to)) => frame.ipv6(from.octets(), to.octets(), 64),
                    _ => bail!("{from} and {to} are of two families"),
                };
                let mut frame = Vec::new();
                packet.udp(4_000, PUBLISHED).write(&mut frame, b"from nowhere")?;
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

/// All of the families that the scene's lab has.
pub fn all(scene: &Scene) -> impl Iterator<Item = &'static Refusal> {
    let v6 = if scene.lab.options().ipv6 { REFUSALS6 } else { &[] };
    REFUSALS.iter().chain(v6)
}
