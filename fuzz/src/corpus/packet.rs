//! Packets, written by hand with every checksum right.

use crate::process::scene::Choices;

/// Numbers of transports.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
/// ICMP of either family: written as each has it.
pub(super) const ICMP: u8 = 1;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// An address as IPv4 writes it, and a port.
pub(super) type Place = ([u8; 4], u16);

/// A piece of a datagram: identification, offset in bytes, whether more follow.
pub(super) type Piece = (u16, u16, bool);

/// A datagram.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    /// Options of IPv4, whole words.
    pub(super) options: Vec<u8>,
    /// Extension headers of IPv6, of 8 bytes each: number, and its bytes from the third on.
    pub(super) extensions: Vec<(u8, [u8; 6])>,
    pub(super) piece: Option<Piece>,
    /// Transport header and data; the header's checksum is filled in.
    pub(super) content: Vec<u8>,
    /// UDP goes without a checksum.
    pub(super) is_unchecked: bool,
}

/// TCP with these flags, from and to.
pub(super) fn tcp(flags: u8, (src, src_port): Place, (dst, dst_port): Place, data: &[u8]) -> Packet {
    let mut content = ports(src_port, dst_port);
    content.extend([1, 2, 3, 4, 5, 6, 7, 8, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    content.extend(data);
    Packet::new(TCP, src, dst, content)
}

/// UDP.
pub(super) fn udp((src, src_port): Place, (dst, dst_port): Place, data: &[u8]) -> Packet {
    let mut content = ports(src_port, dst_port);
    content.extend(length(data.len() + 8));
    content.extend([0, 0]);
    content.extend(data);
    Packet::new(UDP, src, dst, content)
}

/// An echo request or reply with the identifier `id`; IPv4's types, 8 and 0.
pub(super) fn echo(kind: u8, src: [u8; 4], dst: [u8; 4], id: u16) -> Packet {
    let mut content = vec![kind, 0, 0, 0];
    content.extend(id.to_be_bytes());
    content.extend([0, 7]);
    content.extend(b"ping");
    Packet::new(ICMP, src, dst, content)
}

impl Packet {
    fn new(protocol: u8, src: [u8; 4], dst: [u8; 4], content: Vec<u8>) -> Self {
        Self {
            src,
            dst,
            ttl: 64,
            protocol,
            options: Vec::new(),
            extensions: Vec::new(),
            piece: None,
            content,
            is_unchecked: false,
        }
    }

    /// An ICMP error about this packet: by whom, type and code, how much of the content is quoted.
    pub(super) fn error(&self, world: Choices, from: [u8; 4], (kind, code): (u8, u8), quoted: usize) -> Self {
        let mut quote = self.datagram(world);
        let header = quote.len() - self.content.len();
        quote.truncate(header + quoted);
        let mut content = vec![kind, code, 0, 0, 0, 0, 5, 0];
        content.extend(quote);
        Self::new(ICMP, from, self.src, content)
    }

    /// With this time to live.
    pub(super) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With these options of IPv4.
    pub(super) fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// With these extension headers of IPv6.
    pub(super) fn extensions(mut self, extensions: &[(u8, [u8; 6])]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    /// Without UDP's checksum.
    pub(super) fn unchecked(mut self) -> Self {
        self.is_unchecked = true;
        self
    }

    /// With one byte of the content another.
    pub(super) fn with(mut self, at: usize, byte: u8) -> Self {
        if let Some(place) = self.content.get_mut(at) {
            *place = byte;
        }
        self
    }

    /// Pieces of it that begin at these offsets, multiples of 8, from 0 on.
    pub(super) fn cut(&self, world: Choices, id: u16, starts: &[u16]) -> Vec<Self> {
        let content = self.summed(world);
        let ends = starts
            .iter()
            .skip(1)
            .map(|end| usize::from(*end))
            .chain([content.len()]);
        let pieces = starts.iter().zip(ends).map(|(start, end)| {
            let part = content.get(usize::from(*start)..end).unwrap_or_default();
            Self {
                piece: Some((id, *start, end < content.len())),
                content: part.to_vec(),
                ..self.clone()
            }
        });
        pieces.collect()
    }

    /// The frame.
    pub(super) fn frame(&self, world: Choices) -> Vec<u8> {
        let ether_type = if world.is_ipv6() {
            [0x86, 0xdd]
        } else {
            [0x08, 0x00]
        };
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(ether_type);
        frame.extend(self.datagram(world));
        frame
    }

    fn datagram(&self, world: Choices) -> Vec<u8> {
        let content = if self.piece.is_some() {
            self.content.clone()
        } else {
            self.summed(world)
        };
        if world.is_ipv6() {
            self.ipv6(&content)
        } else {
            self.ipv4(&content)
        }
    }

    fn ipv4(&self, content: &[u8]) -> Vec<u8> {
        let (id, offset, more) = self.piece.unwrap_or((0x1234, 0, false));
        let words = u8::try_from(5 + self.options.len() / 4).unwrap_or(15);
        let mut header = vec![0x40 | words, 0];
        header.extend(length(usize::from(words) * 4 + content.len()));
        header.extend(id.to_be_bytes());
        header.extend(((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(self.src);
        header.extend(self.dst);
        header.extend(&self.options);
        let sum = checksum(&[&header]);
        put(&mut header, 10, sum);
        header.extend(content);
        header
    }

    fn ipv6(&self, content: &[u8]) -> Vec<u8> {
        let mut chain = self.extensions.clone();
        if let Some((id, offset, more)) = self.piece {
            let [offset_high, offset_low] = (offset | u16::from(more)).to_be_bytes();
            let [high, low] = id.to_be_bytes();
            chain.push((44, [offset_high, offset_low, 0, 0, high, low]));
        }
        let numbers: Vec<u8> = chain
            .iter()
            .map(|(number, _)| *number)
            .chain([self.number()])
            .collect();
        let mut datagram = vec![0x60, 0, 0, 0];
        datagram.extend(length(chain.len() * 8 + content.len()));
        datagram.extend([numbers.first().copied().unwrap_or(59), self.ttl]);
        datagram.extend(wide(self.src));
        datagram.extend(wide(self.dst));
        for ((_, bytes), next) in chain.iter().zip(numbers.iter().skip(1)) {
            datagram.extend([*next, 0]);
            datagram.extend(bytes);
        }
        datagram.extend(content);
        datagram
    }

    /// ICMP's number in IPv6 is another.
    const fn number(&self) -> u8 {
        if self.protocol == ICMP { 58 } else { self.protocol }
    }

    /// The content with its checksum, and ICMP's type as the family has it.
    fn summed(&self, world: Choices) -> Vec<u8> {
        let mut content = self.content.clone();
        let number = if world.is_ipv6() {
            self.number()
        } else {
            self.protocol
        };
        if world.is_ipv6()
            && self.protocol == ICMP
            && let Some(kind) = content.first_mut()
        {
            *kind = match *kind {
                8 => 128,
                0 => 129,
                other => other,
            };
        }
        let mut pseudo = Vec::new();
        if world.is_ipv6() {
            pseudo.extend(wide(self.src));
            pseudo.extend(wide(self.dst));
        } else if self.protocol != ICMP {
            pseudo.extend(self.src);
            pseudo.extend(self.dst);
        }
        if !pseudo.is_empty() {
            pseudo.extend(length(content.len()));
            pseudo.extend([0, number]);
        }
        let at = match self.protocol {
            TCP => 16,
            UDP if self.is_unchecked => return content,
            UDP => 6,
            _ => 2,
        };
        put(&mut content, at, [0, 0]);
        let sum = checksum(&[&pseudo, &content]);
        put(&mut content, at, sum);
        content
    }
}

fn ports(src: u16, dst: u16) -> Vec<u8> {
    [src.to_be_bytes(), dst.to_be_bytes()].concat()
}

fn wide(address: [u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    let (prefix, last) = wide.split_at_mut(12);
    prefix.copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
    last.copy_from_slice(&address);
    // Loopback is loopback's own.
    if address == [127, 0, 0, 1] {
        std::net::Ipv6Addr::LOCALHOST.octets()
    } else {
        wide
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn put(bytes: &mut [u8], at: usize, value: [u8; 2]) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value);
    }
}

/// RFC 1071, 4.1; never 0, which UDP takes for none.
fn checksum(pieces: &[&[u8]]) -> [u8; 2] {
    let sum = crate::process::residue(pieces);
    u16::try_from(0xffff - sum).unwrap_or(0xffff).to_be_bytes()
}
