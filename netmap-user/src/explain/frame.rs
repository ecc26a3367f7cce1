//! The packet's bytes: made for the NAT to work on, and read again afterwards.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use netmap_common::maps::Protocol;
use serde::Serialize;

use super::Question;

/// The time to live of the packet: what most systems begin with.
const TTL: u8 = 64;
/// The content of a datagram or an echo.
const PAYLOAD: &[u8] = b"netmap explain";

/// The frame of a question, its checksums complete.
///
/// # Errors
///
/// Ends of different families.
pub(super) fn make(question: &Question) -> anyhow::Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let (from, to) = (question.from, question.to);
    let internet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), TTL),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), TTL),
        _ => anyhow::bail!("{from} and {to} are of different families"),
    };
    let mut frame = Vec::new();
    let is_v4 = from.is_ipv4();
    match (question.protocol, question.established) {
        (Protocol::Tcp, false) => internet
            .tcp(from.port(), to.port(), 1, 64_240)
            .syn()
            .write(&mut frame, &[])?,
        (Protocol::Tcp, true) => internet
            .tcp(from.port(), to.port(), 1, 64_240)
            .ack(1)
            .write(&mut frame, PAYLOAD)?,
        (Protocol::Udp, _) => internet.udp(from.port(), to.port()).write(&mut frame, PAYLOAD)?,
        (Protocol::Icmp, false) if is_v4 => internet
            .icmpv4_echo_request(from.port(), 1)
            .write(&mut frame, PAYLOAD)?,
        (Protocol::Icmp, false) => internet
            .icmpv6_echo_request(from.port(), 1)
            .write(&mut frame, PAYLOAD)?,
        (Protocol::Icmp, true) if is_v4 => internet
            .icmpv4_echo_reply(from.port().max(to.port()), 1)
            .write(&mut frame, PAYLOAD)?,
        (Protocol::Icmp, true) => internet
            .icmpv6_echo_reply(from.port().max(to.port()), 1)
            .write(&mut frame, PAYLOAD)?,
    }
    Ok(frame)
}

/// Both ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Source address.
    pub src: IpAddr,
    /// Source port; an echo's identifier.
    pub sport: u16,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port; 0 of an echo.
    pub dport: u16,
}

impl Ends {
    /// The answer's.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            src: self.dst,
            sport: self.dport,
            dst: self.src,
            dport: self.sport,
        }
    }

    /// Where it comes from.
    pub const fn source(self) -> SocketAddr {
        SocketAddr::new(self.src, self.sport)
    }

    /// Where it goes.
    pub const fn target(self) -> SocketAddr {
        SocketAddr::new(self.dst, self.dport)
    }

    /// For people; ports only where the protocol has them.
    pub fn told(self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Icmp => format!(
                "{} -> {} (identifier {})",
                self.src,
                self.dst,
                self.sport.max(self.dport)
            ),
            _ => format!("{} -> {}", self.source(), self.target()),
        }
    }
}

impl From<&Question> for Ends {
    fn from(question: &Question) -> Self {
        let asked = Self {
            src: question.from.ip(),
            sport: question.from.port(),
            dst: question.to.ip(),
            dport: question.to.port(),
        };
        if question.protocol == Protocol::Icmp && question.established {
            // An answer has its identifier where a request has none.
            let Self { sport, dport, .. } = asked;
            return Self {
                sport: dport,
                dport: sport,
                ..asked
            };
        }
        asked
    }
}

/// What a frame's ends are now.
pub(super) fn read(frame: &[u8]) -> Option<Ends> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (src, dst) = match packet.net? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let (sport, dport) = match packet.transport? {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port()),
        TransportSlice::Icmpv4(icmp) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(echo) => (echo.id, 0),
            Icmpv4Type::EchoReply(echo) => (0, echo.id),
            _ => return None,
        },
        TransportSlice::Icmpv6(icmp) => match icmp.icmp_type() {
            Icmpv6Type::EchoRequest(echo) => (echo.id, 0),
            Icmpv6Type::EchoReply(echo) => (0, echo.id),
            _ => return None,
        },
        TransportSlice::Igmp(_) => return None,
    };
    Some(Ends {
        src,
        sport,
        dst,
        dport,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_was_asked() {
        for (from, to) in [
            ("192.0.2.7:4711", "192.0.2.1:8080/tcp"),
            ("192.0.2.7:4711", "192.0.2.1:8080/udp"),
            ("192.0.2.7:4711", "192.0.2.1/icmp"),
            ("[2001:db8::7]:4711", "[2001:db8::1]:8080/udp"),
            ("[2001:db8::7]:4711", "[2001:db8::1]/icmp"),
        ] {
            let question = Question::parse(from, to).unwrap();
            let frame = make(&question).unwrap();
            assert_eq!(read(&frame), Some(Ends::from(&question)), "{question}");
        }
    }

    #[test]
    fn an_echo_has_no_ports_for_people() {
        let echo = Question::parse("192.0.2.7:5", "192.0.2.1/icmp").unwrap();
        assert_eq!(
            Ends::from(&echo).told(Protocol::Icmp),
            "192.0.2.7 -> 192.0.2.1 (identifier 5)"
        );
    }
}
