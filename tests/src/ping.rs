//! ICMP echo over raw sockets, so that a test chooses the identifier and sees what answers.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddrV4},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Ipv4Slice, icmpv4::DestUnreachableHeader,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{DEADLINE, Namespace};

/// A raw ICMP socket in a namespace.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    id: u16,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The echo, with the time to live it arrived with.
    Echo {
        /// Who answered.
        from: Ipv4Addr,
        /// Its time to live on arrival.
        ttl: u8,
    },
    /// An ICMP error about the request.
    Error {
        /// Who says so.
        from: Ipv4Addr,
        /// The ICMP message.
        what: Icmpv4Type,
    },
}

/// An echo request that arrived somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where it came from.
    pub from: Ipv4Addr,
    /// Its identifier.
    pub id: u16,
    /// Its time to live on arrival.
    pub ttl: u8,
}

impl Pinger {
    /// Pings with this identifier from `namespace`.
    pub fn new(namespace: &Namespace, id: u16) -> Result<Self> {
        let socket = namespace.try_run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?;
        Ok(Self { socket, id })
    }

    /// Sends its next packets with this time to live.
    pub fn set_ttl(&self, ttl: u8) -> Result<()> {
        Ok(self.socket.set_ttl_v4(ttl.into())?)
    }

    /// Sends an echo request.
    pub fn send(&self, to: Ipv4Addr, seq: u16, payload: &str) -> Result<()> {
        let echo = IcmpEchoHeader { id: self.id, seq };
        let mut packet = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), payload.as_bytes())
            .to_bytes()
            .to_vec();
        packet.extend_from_slice(payload.as_bytes());
        self.socket.send_to(&packet, &SocketAddrV4::new(to, 0).into())?;
        Ok(())
    }

    /// Sends "port unreachable" about a packet, which it quotes from its IP header on.
    pub fn complain(&self, to: Ipv4Addr, quote: &[u8]) -> Result<()> {
        let what = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let mut packet = Icmpv4Header::with_checksum(what, quote).to_bytes().to_vec();
        packet.extend_from_slice(quote);
        self.socket.send_to(&packet, &SocketAddrV4::new(to, 0).into())?;
        Ok(())
    }

    /// Waits for what answers that request.
    pub fn reply(&self, seq: u16, payload: &str) -> Result<Reply> {
        let wanted = IcmpEchoHeader { id: self.id, seq };
        next(&self.socket, |from, ttl, kind, content| match kind {
            Icmpv4Type::EchoReply(echo) if echo == wanted && content == payload.as_bytes() => {
                Some(Reply::Echo { from, ttl })
            }
            Icmpv4Type::TimeExceeded(_) | Icmpv4Type::DestinationUnreachable(_)
                if quoted(content) == Some(wanted) =>
            {
                Some(Reply::Error { from, what: kind })
            }
            _ => None,
        })
        .with_context(|| format!("no answer to ping id {} seq {seq}", self.id))
    }

    /// Waits for an echo request with this payload to arrive in its namespace, whatever its identifier.
    pub fn request(&self, payload: &str) -> Result<Request> {
        next(&self.socket, |from, ttl, kind, content| match kind {
            Icmpv4Type::EchoRequest(echo) if content == payload.as_bytes() => Some(Request {
                from,
                id: echo.id,
                ttl,
            }),
            _ => None,
        })
        .with_context(|| format!("no echo request with {payload:?} arrived"))
    }
}

/// Pings once.
pub fn ping(namespace: &Namespace, to: Ipv4Addr, id: u16, payload: &str) -> Result<Reply> {
    let pinger = Pinger::new(namespace, id)?;
    pinger.send(to, 1, payload)?;
    pinger
        .reply(1, payload)
        .with_context(|| format!("from {} to {to}", namespace.name()))
}

/// Reads until `pick` takes a message.
fn next<T>(socket: &Socket, mut pick: impl FnMut(Ipv4Addr, u8, Icmpv4Type, &[u8]) -> Option<T>) -> Result<T> {
    let end = Instant::now() + DEADLINE;
    let mut buffer = vec![0; 65_536];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("nothing came within {DEADLINE:?}");
        }
        socket.set_read_timeout(Some(left))?;
        let length = (&*socket).read(&mut buffer).context("nothing came")?;
        let packet = Ipv4Slice::from_slice(buffer.get(..length).unwrap_or_default())?;
        let message = Icmpv4Slice::from_slice(packet.payload().payload)?;
        let header = packet.header();
        if let Some(picked) = pick(
            header.source_addr(),
            header.ttl(),
            message.icmp_type(),
            message.payload(),
        ) {
            return Ok(picked);
        }
    }
}

/// The echo request that an ICMP error is about.
fn quoted(content: &[u8]) -> Option<IcmpEchoHeader> {
    let (_, rest) = etherparse::Ipv4Header::from_slice(content).ok()?;
    match Icmpv4Slice::from_slice(rest).ok()?.icmp_type() {
        Icmpv4Type::EchoRequest(echo) => Some(echo),
        _ => None,
    }
}
