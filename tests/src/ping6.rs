//! `ICMPv6` echo over raw sockets: [`crate::ping`] for IPv6, whose raw sockets show no IP header.

use std::{
    io::Read as _,
    net::{Ipv6Addr, SocketAddrV6},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use etherparse::{IcmpEchoHeader, Icmpv6Slice, Icmpv6Type, icmpv6};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{DEADLINE, Namespace};

/// A raw `ICMPv6` socket in a namespace.
#[derive(Debug)]
pub struct Pinger6 {
    socket: Socket,
    id: u16,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply6 {
    /// The echo.
    Echo {
        /// Who answered.
        from: Ipv6Addr,
    },
    /// An `ICMPv6` error about the request.
    Error {
        /// Who says so.
        from: Ipv6Addr,
        /// The message.
        what: Icmpv6Type,
    },
}

/// An echo request that arrived somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request6 {
    /// Where it came from.
    pub from: Ipv6Addr,
    /// Its identifier.
    pub id: u16,
}

impl Pinger6 {
    /// Pings with this identifier from `namespace`.
    pub fn new(namespace: &Namespace, id: u16) -> Result<Self> {
        let socket = namespace.try_run(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)))?;
        Ok(Self { socket, id })
    }

    /// Sends its next packets with this hop limit.
    pub fn set_hops(&self, hops: u8) -> Result<()> {
        Ok(self.socket.set_unicast_hops_v6(hops.into())?)
    }

    /// Sends an echo request.
    pub fn send(&self, to: Ipv6Addr, seq: u16, payload: &str) -> Result<()> {
        let echo = IcmpEchoHeader { id: self.id, seq };
        self.message(to, Icmpv6Type::EchoRequest(echo), payload.as_bytes())
    }

    /// Sends "port unreachable" about a packet, which it quotes from its IP header on.
    pub fn complain(&self, to: Ipv6Addr, quote: &[u8]) -> Result<()> {
        let what = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
        self.message(to, what, quote)
    }

    /// The kernel writes the checksum.
    fn message(&self, to: Ipv6Addr, what: Icmpv6Type, content: &[u8]) -> Result<()> {
        let mut packet = etherparse::Icmpv6Header::new(what).to_bytes().to_vec();
        packet.extend_from_slice(content);
        self.socket
            .send_to(&packet, &SocketAddrV6::new(to, 0, 0, 0).into())?;
        Ok(())
    }

    /// Waits for what answers that request.
    pub fn reply(&self, seq: u16, payload: &str) -> Result<Reply6> {
        let wanted = IcmpEchoHeader { id: self.id, seq };
        self.next(|from, what, content| match what {
            Icmpv6Type::EchoReply(echo) if echo == wanted && content == payload.as_bytes() => {
                Some(Reply6::Echo { from })
            }
            Icmpv6Type::TimeExceeded(_)
            | Icmpv6Type::DestinationUnreachable(_)
            | Icmpv6Type::PacketTooBig { .. }
                if quoted(content) == Some(wanted) =>
            {
                Some(Reply6::Error { from, what })
            }
            _ => None,
        })
        .with_context(|| format!("no answer to ping id {} seq {seq}", self.id))
    }

    /// Waits for an echo request with this payload to arrive in its namespace, whatever its identifier.
    pub fn request(&self, payload: &str) -> Result<Request6> {
        self.next(|from, what, content| match what {
            Icmpv6Type::EchoRequest(echo) if content == payload.as_bytes() => {
                Some(Request6 { from, id: echo.id })
            }
            _ => None,
        })
        .with_context(|| format!("no echo request with {payload:?} arrived"))
    }

    /// Reads until `pick` takes a message.
    fn next<T>(&self, mut pick: impl FnMut(Ipv6Addr, Icmpv6Type, &[u8]) -> Option<T>) -> Result<T> {
        let end = Instant::now() + DEADLINE;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("nothing came within {DEADLINE:?}");
            }
            self.socket.set_read_timeout(Some(left))?;
            // Nobody else reads from this socket, so that the next message is the sender's.
            let from = self.socket.peek_sender().context("nothing came")?;
            let from = from.as_socket_ipv6().context("it came from elsewhere")?;
            let length = (&self.socket).read(&mut buffer)?;
            let message = Icmpv6Slice::from_slice(buffer.get(..length).unwrap_or_default())?;
            if let Some(picked) = pick(*from.ip(), message.icmp_type(), message.payload()) {
                return Ok(picked);
            }
        }
    }
}

/// Pings once.
pub fn ping(namespace: &Namespace, to: Ipv6Addr, id: u16, payload: &str) -> Result<Reply6> {
    let pinger = Pinger6::new(namespace, id)?;
    pinger.send(to, 1, payload)?;
    pinger
        .reply(1, payload)
        .with_context(|| format!("from {} to {to}", namespace.name()))
}

/// The echo request that an `ICMPv6` error is about.
fn quoted(content: &[u8]) -> Option<IcmpEchoHeader> {
    let header = etherparse::Ipv6Header::from_slice(content).ok()?;
    match Icmpv6Slice::from_slice(header.1).ok()?.icmp_type() {
        Icmpv6Type::EchoRequest(echo) => Some(echo),
        _ => None,
    }
}
