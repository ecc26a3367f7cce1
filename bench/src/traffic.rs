//! What the generator sends: 60-byte UDP packets of one flow, of some, or each of a new one.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// The payload of every packet; the first 8 bytes tell the generator's packets from others.
pub(crate) const PAYLOAD: [u8; 18] = *b"netmap bench 01234";
/// Frames that the generator sends in one go.
pub(crate) const BURST: u32 = 64;

/// A stream of packets, as it is handed to the process that generates it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// The namespace of the sender.
    pub(crate) namespace: PathBuf,
    /// The sender's interface: packets come out at its veth peer.
    pub(crate) interface: String,
    /// The core that generates.
    pub(crate) core: usize,
    /// Whether it goes before other work on that core.
    pub(crate) is_preferred: bool,
    /// Link-layer address of the next hop.
    pub(crate) next_hop: [u8; 6],
    /// Where packets go.
    pub(crate) to: SocketAddrV4,
    /// Whom they come from.
    pub(crate) from: Sources,
    /// What they are.
    pub(crate) kind: Packets,
    /// Packets a second, in bursts of 64; none for as many as possible.
    pub(crate) rate: Option<u64>,
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packets {
    /// Datagrams.
    Udp,
    /// Segments that begin a TCP connection.
    Syns,
}

/// The flows of a stream: every port of every address, in turn.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sources {
    /// First address.
    pub(crate) address: Ipv4Addr,
    /// How many addresses, a power of two.
    pub(crate) addresses: u32,
    /// First port.
    pub(crate) port: u16,
    /// How many ports.
    pub(crate) ports: u16,
    /// How far it is from one flow to the next; 1 for all ports of an address before the next.
    pub(crate) stride: u32,
}

impl Sources {
    /// As many ports of one address.
    pub(crate) const fn flows(address: Ipv4Addr, port: u16, flows: u16) -> Self {
        Self {
            address,
            addresses: 1,
            port,
            ports: flows,
            stride: 1,
        }
    }

    /// A billion flows, so that no packet's has been there before.
    pub(crate) const fn always_new() -> Self {
        Self {
            address: Ipv4Addr::new(10, 64, 0, 1),
            addresses: 1 << 16,
            port: 2000,
            ports: 50_000,
            stride: 1,
        }
    }

    /// The same, no packet's address being that of the one before.
    pub(crate) const fn forged() -> Self {
        Self {
            stride: 2_654_435_761,
            ..Self::always_new()
        }
    }

    /// One address, each packet by another port.
    pub(crate) const fn one_client() -> Self {
        Self {
            addresses: 1,
            ..Self::always_new()
        }
    }
}

/// The generator's template: a frame without source, and the sums that its checksums are made of.
#[derive(Debug)]
pub(crate) struct Template {
    /// 60 bytes, and 4 that are not sent.
    pub(crate) frame: [u8; 64],
    /// Of the IPv4 header's words.
    pub(crate) ip_sum: u32,
    /// Of the words of UDP header, payload and pseudo header.
    pub(crate) udp_sum: u32,
}

impl Traffic {
    /// Its packets' template.
    pub(crate) fn template(&self) -> Template {
        match self.kind {
            Packets::Udp => self.datagram(),
            Packets::Syns => self.syn(),
        }
    }

    /// A frame of 60 bytes: a segment of 20 bytes, and the first of the payload, by which the sink knows it.
    fn syn(&self) -> Template {
        const SEGMENT: u16 = 20 + 6;
        let mut bytes = self.datagram().frame;
        // The same header but for the transport; its length is the same.
        for (to, from) in bytes.iter_mut().skip(23).zip([6_u8]) {
            *to = from;
        }
        let mut segment = Vec::from([0, 0]);
        segment.extend(self.to.port().to_be_bytes());
        // Sequence and acknowledgement, five words, SYN, a window of 64 KiB, no checksum yet, nothing urgent.
        segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(PAYLOAD.iter().take(6));
        for (to, from) in bytes.iter_mut().skip(34).zip(segment) {
            *to = from;
        }
        Template {
            ip_sum: sum(bytes.get(14..34).unwrap_or_default()),
            udp_sum: 6 + u32::from(SEGMENT) + sum(bytes.get(26..60).unwrap_or_default()),
            frame: bytes,
        }
    }

    fn datagram(&self) -> Template {
        // The UDP header and the payload.
        const UDP_LENGTH: u16 = 8 + 18;
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(self.next_hop);
        bytes.extend([0x02, 0, 0, 0, 0, 0x99]);
        bytes.extend(0x0800_u16.to_be_bytes());
        bytes.extend([0x45, 0]);
        bytes.extend((20 + UDP_LENGTH).to_be_bytes());
        // No identification, "do not fragment", TTL 64, UDP; the checksum and the source follow later.
        bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0]);
        bytes.extend(self.to.ip().octets());
        bytes.extend([0, 0]);
        bytes.extend(self.to.port().to_be_bytes());
        bytes.extend(UDP_LENGTH.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(PAYLOAD);
        let ip_sum = sum(bytes.get(14..34).unwrap_or_default());
        let udp_sum = 17 + u32::from(UDP_LENGTH) + sum(bytes.get(26..60).unwrap_or_default());
        let mut frame = [0; 64];
        for (to, from) in frame.iter_mut().zip(bytes) {
            *to = from;
        }
        Template {
            frame,
            ip_sum,
            udp_sum,
        }
    }

    /// Nanoseconds between bursts that make its rate.
    pub(crate) fn interval(&self) -> u64 {
        self.rate.map_or(0, |rate| {
            u64::from(BURST) * 1_000_000_000 / rate.clamp(1, 1_000_000_000)
        })
    }
}

/// Sum of big-endian words.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic() -> Traffic {
        Traffic {
            namespace: PathBuf::new(),
            interface: "eth0".into(),
            core: 0,
            is_preferred: false,
            next_hop: [2, 0, 0, 0, 0x50, 2],
            to: SocketAddrV4::new(Ipv4Addr::new(192, 168, 50, 2), 8080),
            from: Sources::flows(Ipv4Addr::new(192, 168, 50, 3), 20_000, 1),
            kind: Packets::Udp,
            rate: Some(150_000),
        }
    }

    #[test]
    fn a_template_is_a_whole_udp_frame_without_source() {
        let Template { frame, .. } = traffic().template();
        assert_eq!(frame[12..14], [8, 0]);
        assert_eq!(frame[16..18], [0, 46], "length of the IPv4 packet");
        assert_eq!(frame[26..30], [0; 4]);
        assert_eq!(frame[30..34], [192, 168, 50, 2]);
        assert_eq!(frame[36..38], 8080_u16.to_be_bytes());
        assert_eq!(frame[42..60], PAYLOAD);
        assert_eq!(frame[60..], [0; 4]);
    }

    #[test]
    fn sums_are_those_of_big_endian_words() {
        let Template { ip_sum, udp_sum, .. } = traffic().template();
        assert_eq!(ip_sum, 0x4500 + 46 + 0x4000 + 0x4011 + 0xc0a8 + 0x3202);
        let payload: u32 = PAYLOAD
            .chunks(2)
            .map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1]))
            .sum();
        assert_eq!(udp_sum, 17 + 26 + 0xc0a8 + 0x3202 + 8080 + 26 + payload);
    }

    #[test]
    fn a_rate_is_kept_by_pauses_between_bursts() {
        assert_eq!(traffic().interval(), 426_666);
    }
}
