//! Packets to show to programs, with every checksum right.

use anyhow::Result;
use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options,
    Ipv6Extensions, Ipv6FlowLabel, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder,
    PacketBuilderStep, TcpHeader,
};
use netmap_common::{
    maps::{Address, Address6, FlowKey, Ip as _, Protocol},
    nat::Family,
};

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

/// An IP packet in an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<A: Family = Address> {
    /// Addresses, ports and protocol; an echo's identifier as the flow table has it.
    pub key: FlowKey<A>,
    /// Time to live.
    pub ttl: u8,
    /// TCP flags.
    pub tcp: u8,
    /// IPv4: how many 32-bit words of IP options, 10 at most. IPv6: which extension headers, a bit each.
    pub options: u8,
    /// Bytes after the transport header.
    pub payload: u16,
}

/// A family whose packets can be made.
pub trait Packets: Family {
    /// The header of a packet, with options or extension headers.
    fn header(frame: &Frame<Self>) -> Result<IpHeaders>;

    /// Writes an ICMP echo of this identifier, a request or its reply.
    fn write_echo(
        builder: PacketBuilderStep<IpHeaders>,
        echo: Echo,
        bytes: &mut Vec<u8>,
        payload: &[u8],
    ) -> Result<()>;
}

/// An ICMP echo.
#[derive(Clone, Copy, Debug)]
pub enum Echo {
    /// A request.
    Request(IcmpEchoHeader),
    /// A reply.
    Reply(IcmpEchoHeader),
}

impl Packets for Address {
    fn header(frame: &Frame<Self>) -> Result<IpHeaders> {
        let key = &frame.key;
        let mut ip = Ipv4Header::new(
            0,
            frame.ttl,
            IpNumber(key.protocol),
            key.src.0.to_be_bytes(),
            key.dst.0.to_be_bytes(),
        )?;
        // "No operation" in every byte (RFC 791, 3.1).
        ip.options = Ipv4Options::try_from(vec![1; usize::from(frame.options) * 4].as_slice())?;
        Ok(IpHeaders::Ipv4(ip, Ipv4Extensions::default()))
    }

    fn write_echo(
        builder: PacketBuilderStep<IpHeaders>,
        echo: Echo,
        bytes: &mut Vec<u8>,
        payload: &[u8],
    ) -> Result<()> {
        let kind = match echo {
            Echo::Request(echo) => Icmpv4Type::EchoRequest(echo),
            Echo::Reply(echo) => Icmpv4Type::EchoReply(echo),
        };
        Ok(builder.icmpv4(kind).write(bytes, payload)?)
    }
}

impl Packets for Address6 {
    fn header(frame: &Frame<Self>) -> Result<IpHeaders> {
        let (key, options) = (&frame.key, frame.options);
        // Padding; a routing header of which nothing is left (RFC 8200, 4.2 and 4.4).
        let padding = [1, 4, 0, 0, 0, 0];
        let longer = [1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let header = |bit: u8, bytes: &[u8]| {
            (options >> bit & 1 != 0)
                .then(|| Ipv6RawExtHeader::new_raw(IpNumber(0), bytes))
                .transpose()
        };
        let last = header(3, &padding)?;
        let extensions = Ipv6Extensions {
            hop_by_hop_options: header(0, &padding)?,
            destination_options: header(1, &longer)?,
            routing: header(2, &[0; 6])?.map(|routing| Ipv6RoutingExtensions {
                routing,
                final_destination_options: last,
            }),
            ..Ipv6Extensions::default()
        };
        let ip = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: 0,
            next_header: IpNumber(key.protocol),
            hop_limit: frame.ttl,
            source: key.src.octets(),
            destination: key.dst.octets(),
        };
        Ok(IpHeaders::Ipv6(ip, extensions))
    }

    fn write_echo(
        builder: PacketBuilderStep<IpHeaders>,
        echo: Echo,
        bytes: &mut Vec<u8>,
        payload: &[u8],
    ) -> Result<()> {
        let kind = match echo {
            Echo::Request(echo) => Icmpv6Type::EchoRequest(echo),
            Echo::Reply(echo) => Icmpv6Type::EchoReply(echo),
        };
        Ok(builder.icmpv6(kind).write(bytes, payload)?)
    }
}

impl<A: Packets> Frame<A> {
    /// A packet as most are.
    pub const fn new(key: FlowKey<A>, tcp: u8) -> Self {
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
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ip(A::header(self)?);
        let mut bytes = Vec::with_capacity(128 + payload.len());
        match Protocol::from_number(key.protocol) {
            Some(Protocol::Tcp) => builder
                .tcp_header(self.tcp_header())
                .write(&mut bytes, &payload)?,
            Some(Protocol::Udp) => builder
                .udp(key.src_port.0, key.dst_port.0)
                .write(&mut bytes, &payload)?,
            Some(Protocol::Icmp) => A::write_echo(builder, self.echo(), &mut bytes, &payload)?,
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
    fn echo(&self) -> Echo {
        let echo = |id| IcmpEchoHeader { id, seq: 7 };
        if self.key.dst_port.0 == 0 {
            Echo::Request(echo(self.key.src_port.0))
        } else {
            Echo::Reply(echo(self.key.dst_port.0))
        }
    }
}
