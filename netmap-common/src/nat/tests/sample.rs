//! Packets, built and read back by etherparse.

use std::vec::Vec;

use etherparse::{IpNumber, SlicedPacket, TcpHeader, TransportSlice, UdpHeader};

use super::{
    Socket,
    header::{self, Options, START},
    socket,
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
    pub(super) src: Socket,
    pub(super) dst: Socket,
    pub(super) ttl: u8,
    /// Options of the IP header, or extension headers.
    pub(super) options: Options,
    pub(super) payload: Vec<u8>,
}

pub(super) fn tcp(flags: u8, src: Socket, dst: Socket) -> Sample {
    Sample::new(Content::Tcp(flags), src, dst)
}

pub(super) fn udp(src: Socket, dst: Socket) -> Sample {
    Sample::new(Content::Udp, src, dst)
}

/// An echo request, the identifier as source port.
pub(super) fn ping(src: Socket, dst: Socket) -> Sample {
    Sample::new(Content::Request, src, socket(*dst.ip(), 0))
}

/// An echo reply, the identifier as destination port.
pub(super) fn pong(src: Socket, dst: Socket) -> Sample {
    Sample::new(Content::Reply, socket(*src.ip(), 0), dst)
}

/// An ICMP error by `from` about a packet, of which it quotes so many bytes.
pub(super) fn error(kind: u8, code: u8, from: Socket, about: &Sample, quoted: usize) -> Sample {
    let quote = &about.bytes()[14..];
    let quote = &quote[..quoted.min(quote.len())];
    let to = socket(*about.src.ip(), 0);
    Sample::new(Content::Error(kind, code, 1_400), socket(*from.ip(), 0), to).payload(quote)
}

impl Sample {
    pub(super) fn new(content: Content, src: Socket, dst: Socket) -> Self {
        Self {
            content,
            src,
            dst,
            ttl: 64,
            options: Vec::new(),
            payload: b"what the packet is for".to_vec(),
        }
    }

    pub(super) fn from(&self, src: Socket) -> Self {
        Self { src, ..self.clone() }
    }

    pub(super) fn to(&self, dst: Socket) -> Self {
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

    pub(super) fn options(&self, options: Options) -> Self {
        Self {
            options,
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
        let ip = header::internet(self, protocol, transport.len() + self.payload.len());
        let [type1, type2, _] = START;
        let mut bytes = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02".to_vec();
        bytes.extend([type1, type2]);
        bytes.extend(ip);
        bytes.extend(transport);
        bytes.extend(&self.payload);
        bytes
    }

    fn transport(&self) -> (IpNumber, Vec<u8>) {
        let (src, dst) = (*self.src.ip(), *self.dst.ip());
        let (src_port, dst_port) = (self.src.port(), self.dst.port());
        let length = self.payload.len();
        match self.content {
            Content::Tcp(flags) => {
                let mut tcp = TcpHeader::new(src_port, dst_port, 0x0102_0304, 64_240);
                (tcp.fin, tcp.syn) = (flags & FIN != 0, flags & SYN != 0);
                (tcp.rst, tcp.ack) = (flags & RST != 0, flags & ACK != 0);
                tcp.checksum = header::tcp_sum(&tcp, src, dst, &self.payload);
                (IpNumber::TCP, tcp.to_bytes().to_vec())
            }
            Content::Udp => {
                let mut udp = UdpHeader::without_ipv4_checksum(src_port, dst_port, length).unwrap();
                udp.checksum = header::udp_sum(&udp, src, dst, &self.payload);
                (IpNumber::UDP, udp.to_bytes().to_vec())
            }
            Content::UdpUnchecked => {
                let udp = UdpHeader::without_ipv4_checksum(src_port, dst_port, length).unwrap();
                (IpNumber::UDP, udp.to_bytes().to_vec())
            }
            Content::Request | Content::Reply | Content::Error(..) => header::icmp(self),
        }
    }

    /// What a frame is; fails where a checksum in it is wrong.
    #[track_caller]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let packet = SlicedPacket::from_ethernet(bytes).unwrap();
        let ip = header::outer(packet.net.as_ref().unwrap());
        let (content, src_port, dst_port, payload) = match packet.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                let sum = header::tcp_sum(&tcp.to_header(), ip.src, ip.dst, tcp.payload());
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
                    let sum = header::udp_sum(&header, ip.src, ip.dst, udp.payload());
                    assert_eq!(header.checksum, sum, "UDP checksum");
                    Content::Udp
                };
                (
                    content,
                    header.source_port,
                    header.destination_port,
                    udp.payload(),
                )
            }
            other => header::message(&other, &ip),
        };
        Self {
            content,
            src: socket(ip.src, src_port),
            dst: socket(ip.dst, dst_port),
            ttl: ip.ttl,
            options: ip.options,
            payload: payload.to_vec(),
        }
    }
}
