//! Packets to show to programs, with every checksum right.

use anyhow::Result;
use etherparse::{
    IcmpEchoHeader, Icmpv4Type, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, PacketBuilder, TcpHeader,
};
use netmap_common::maps::{FlowKey, Protocol};

/// TCP flags in the header's byte 13.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Resets it.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// An IPv4 packet in an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Addresses, ports and protocol; an echo's identifier as the flow table has it.
    pub key: FlowKey,
    /// Time to live.
    pub ttl: u8,
    /// TCP flags.
    pub tcp: u8,
    /// How many 32-bit words of IP options, 10 at most.
    pub options: u8,
    /// Bytes after the transport header.
    pub payload: u16,
}

impl Frame {
    /// A packet as most are.
    pub const fn new(key: FlowKey, tcp: u8) -> Self {
        Self {
            key,
            ttl: 64,
            tcp,
            options: 0,
            payload: 32,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let key = self.key;
        let payload: Vec<u8> = (0..self.payload).map(|index| index.to_le_bytes()[0]).collect();
        let mut ip = Ipv4Header::new(
            0,
            self.ttl,
            IpNumber(key.protocol),
            key.src.0.to_be_bytes(),
            key.dst.0.to_be_bytes(),
        )?;
        // "No operation" in every byte (RFC 791, 3.1).
        ip.options = Ipv4Options::try_from(vec![1; usize::from(self.options) * 4].as_slice())?;
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ip(IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default()));
        let mut bytes = Vec::with_capacity(128 + payload.len());
        match Protocol::from_number(key.protocol) {
            Some(Protocol::Tcp) => builder
                .tcp_header(self.tcp_header())
                .write(&mut bytes, &payload)?,
            Some(Protocol::Udp) => builder
                .udp(key.src_port.0, key.dst_port.0)
                .write(&mut bytes, &payload)?,
            Some(Protocol::Icmp) => builder.icmpv4(self.echo()).write(&mut bytes, &payload)?,
            None => builder.write(&mut bytes, IpNumber(key.protocol), &payload)?,
        }
        Ok(bytes)
    }

    fn tcp_header(&self) -> TcpHeader {
        let bit = |bit: u8| self.tcp >> bit & 1 != 0;
        TcpHeader {
            fin: bit(0),
            syn: bit(1),
            rst: bit(2),
            psh: bit(3),
            ack: bit(4),
            urg: bit(5),
            ece: bit(6),
            cwr: bit(7),
            ..TcpHeader::new(self.key.src_port.0, self.key.dst_port.0, 1, 1_024)
        }
    }

    /// A request, unless the identifier is where a reply has it.
    fn echo(&self) -> Icmpv4Type {
        let echo = |id| IcmpEchoHeader { id, seq: 7 };
        if self.key.dst_port.0 == 0 {
            Icmpv4Type::EchoRequest(echo(self.key.src_port.0))
        } else {
            Icmpv4Type::EchoReply(echo(self.key.dst_port.0))
        }
    }
}
