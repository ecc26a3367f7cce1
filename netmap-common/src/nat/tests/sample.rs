//! Packets, built and read back by etherparse.

use core::net::SocketAddrV4;
use std::vec::Vec;

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpNumber, Ipv4Header, SlicedPacket, TcpHeader, TransportSlice,
    UdpHeader,
};

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// What is in an IP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// TCP with these flags.
    Tcp(u8),
    /// UDP with a checksum.
    Udp,
    /// UDP without one.
    UdpUnchecked,
    /// ICMP echo request; its identifier is the source port.
    Request,
    /// ICMP echo reply; its identifier is the destination port.
    Reply,
    /// An ICMP error of this type and code, with what stands in the word after its checksum; the payload is the quote.
    Error(u8, u8, u32),
}

/// A packet that is whole and right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) content: Content,
    pub(super) src: SocketAddrV4,
    pub(super) dst: SocketAddrV4,
    pub(super) ttl: u8,
    /// Options of the IP header, whole words.
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

pub(super) fn tcp(flags: u8, src: SocketAddrV4, dst: SocketAddrV4) -> Sample {
    Sample::new(Content::Tcp(flags), src, dst)
}

pub(super) fn udp(src: SocketAddrV4, dst: SocketAddrV4) -> Sample {
    Sample::new(Content::Udp, src, dst)
}

/// An echo request, the identifier as source port.
pub(super) fn ping(src: SocketAddrV4, dst: SocketAddrV4) -> Sample {
    Sample::new(Content::Request, src, SocketAddrV4::new(*dst.ip(), 0))
}

/// An echo reply, the identifier as destination port.
pub(super) fn pong(src: SocketAddrV4, dst: SocketAddrV4) -> Sample {
    Sample::new(Content::Reply, SocketAddrV4::new(*src.ip(), 0), dst)
}

/// An ICMP error by `from` about a packet, of which it quotes so many bytes.
pub(super) fn error(kind: u8, code: u8, from: SocketAddrV4, about: &Sample, quoted: usize) -> Sample {
    let quote = &about.bytes()[14..];
    let quote = &quote[..quoted.min(quote.len())];
    let to = SocketAddrV4::new(*about.src.ip(), 0);
    Sample::new(
        Content::Error(kind, code, 1_400),
        SocketAddrV4::new(*from.ip(), 0),
        to,
    )
    .payload(quote)
}

impl Sample {
    pub(super) fn new(content: Content, src: SocketAddrV4, dst: SocketAddrV4) -> Self {
        Self {
            content,
            src,
            dst,
            ttl: 64,
            options: Vec::new(),
            payload: b"what the packet is for".to_vec(),
        }
    }

    pub(super) fn from(&self, src: SocketAddrV4) -> Self {
        Self { src, ..self.clone() }
    }

    pub(super) fn to(&self, dst: SocketAddrV4) -> Self {
        Self { dst, ..self.clone() }
    }

    pub(super) fn ttl(&self, ttl: u8) -> Self {
        Self { ttl, ..self.clone() }
    }

    /// One router further.
    pub(super) fn hop(&self) -> Self {
        self.ttl(self.ttl - 1)
    }

    pub(super) fn flags(&self, flags: u8) -> Self {
        Self {
            content: Content::Tcp(flags),
            ..self.clone()
        }
    }

    pub(super) fn options(&self, options: &[u8]) -> Self {
        Self {
            options: options.to_vec(),
            ..self.clone()
        }
    }

    pub(super) fn payload(&self, payload: &[u8]) -> Self {
        Self {
            payload: payload.to_vec(),
            ..self.clone()
        }
    }

    /// UDP that came without a checksum.
    pub(super) fn unchecked(&self) -> Self {
        Self {
            content: Content::UdpUnchecked,
            ..self.clone()
        }
    }

    /// The frame, checksums and all.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (protocol, transport) = self.transport();
        let mut ip = Ipv4Header {
            protocol,
            time_to_live: self.ttl,
            identification: 0x1234,
            source: self.src.ip().octets(),
            destination: self.dst.ip().octets(),
            ..Ipv4Header::default()
        };
        ip.options = self.options.as_slice().try_into().unwrap();
        ip.set_payload_len(transport.len() + self.payload.len()).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        let mut bytes = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0".to_vec();
        ip.write_raw(&mut bytes).unwrap();
        bytes.extend(transport);
        bytes.extend(&self.payload);
        bytes
    }

    fn transport(&self) -> (IpNumber, Vec<u8>) {
        let (src, dst) = (self.src.ip().octets(), self.dst.ip().octets());
        let (src_port, dst_port) = (self.src.port(), self.dst.port());
        let length = self.payload.len();
        match self.content {
            Content::Tcp(flags) => {
                let mut tcp = TcpHeader::new(src_port, dst_port, 0x0102_0304, 64_240);
                (tcp.fin, tcp.syn) = (flags & FIN != 0, flags & SYN != 0);
                (tcp.rst, tcp.ack) = (flags & RST != 0, flags & ACK != 0);
                tcp.checksum = tcp.calc_checksum_ipv4_raw(src, dst, &self.payload).unwrap();
                (IpNumber::TCP, tcp.to_bytes().to_vec())
            }
            Content::Udp => {
                let mut udp = UdpHeader::without_ipv4_checksum(src_port, dst_port, length).unwrap();
                udp.checksum = udp.calc_checksum_ipv4_raw(src, dst, &self.payload).unwrap();
                (IpNumber::UDP, udp.to_bytes().to_vec())
            }
            Content::UdpUnchecked => {
                let udp = UdpHeader::without_ipv4_checksum(src_port, dst_port, length).unwrap();
                (IpNumber::UDP, udp.to_bytes().to_vec())
            }
            Content::Request => self.echo(Icmpv4Type::EchoRequest(IcmpEchoHeader { id: src_port, seq: 7 })),
            Content::Reply => self.echo(Icmpv4Type::EchoReply(IcmpEchoHeader { id: dst_port, seq: 7 })),
            Content::Error(type_u8, code_u8, word) => self.echo(Icmpv4Type::Unknown {
                type_u8,
                code_u8,
                bytes5to8: word.to_be_bytes(),
            }),
        }
    }

    fn echo(&self, echo: Icmpv4Type) -> (IpNumber, Vec<u8>) {
        let header = Icmpv4Header::with_checksum(echo, &self.payload);
        (IpNumber::ICMP, header.to_bytes().to_vec())
    }

    /// What a frame is; fails where a checksum in it is wrong.
    #[track_caller]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let packet = SlicedPacket::from_ethernet(bytes).unwrap();
        let ip = packet
            .net
            .as_ref()
            .unwrap()
            .ipv4_ref()
            .unwrap()
            .header()
            .to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IP checksum");
        let (content, src_port, dst_port, payload) = match packet.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                let sum = tcp.calc_checksum_ipv4(ip.source, ip.destination).unwrap();
                assert_eq!(tcp.checksum(), sum, "TCP checksum");
                let flag = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
                let flags =
                    flag(FIN, tcp.fin()) | flag(SYN, tcp.syn()) | flag(RST, tcp.rst()) | flag(ACK, tcp.ack());
                (
                    Content::Tcp(flags),
                    tcp.source_port(),
                    tcp.destination_port(),
                    tcp.payload(),
                )
            }
            TransportSlice::Udp(udp) => {
                let header = udp.to_header();
                let content = if header.checksum == 0 {
                    Content::UdpUnchecked
                } else {
                    let sum = header.calc_checksum_ipv4_raw(ip.source, ip.destination, udp.payload());
                    assert_eq!(header.checksum, sum.unwrap(), "UDP checksum");
                    Content::Udp
                };
                (
                    content,
                    header.source_port,
                    header.destination_port,
                    udp.payload(),
                )
            }
            TransportSlice::Icmpv4(icmp) => {
                let right = etherparse::checksum::Sum16BitWords::new()
                    .add_slice(icmp.slice())
                    .ones_complement();
                assert_eq!(right, 0, "ICMP checksum");
                match icmp.icmp_type() {
                    Icmpv4Type::EchoRequest(echo) => (Content::Request, echo.id, 0, icmp.payload()),
                    Icmpv4Type::EchoReply(echo) => (Content::Reply, 0, echo.id, icmp.payload()),
                    _ => {
                        let error = Content::Error(
                            icmp.type_u8(),
                            icmp.code_u8(),
                            u32::from_be_bytes(icmp.bytes5to8()),
                        );
                        (error, 0, 0, icmp.payload())
                    }
                }
            }
            other => panic!("no packet of ours: {other:?}"),
        };
        Self {
            content,
            src: SocketAddrV4::new(ip.source.into(), src_port),
            dst: SocketAddrV4::new(ip.destination.into(), dst_port),
            ttl: ip.time_to_live,
            options: ip.options.as_slice().to_vec(),
            payload: payload.to_vec(),
        }
    }
}
