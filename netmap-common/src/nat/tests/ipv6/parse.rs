//! What is no packet for the NAT, and what contradicts itself.

use super::{header::START, *};

const FRAME_TYPE: usize = 12;
const IP: usize = 14;
const LENGTH: usize = IP + 4;

/// A frame of a packet with some bytes replaced, each at its offset.
fn patched(packet: &Sample, patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = packet.bytes();
    for (offset, patch) in patches {
        bytes[*offset..offset + patch.len()].copy_from_slice(patch);
    }
    bytes
}

fn question() -> Sample {
    udp(r(40_000), h(8_080)).payload(b"12345678")
}

fn syn() -> Sample {
    tcp(SYN, r(40_000), h(8_080)).payload(b"12345678")
}

#[test]
fn other_ether_types_and_frames_without_one_are_left_alone() {
    let host = Host::with_8080();
    for ether_type in [[0x08, 0x00], [0x08, 0x06], [0x81, 0x00], [0xdd, 0x86]] {
        let frame = patched(&question(), &[(FRAME_TYPE, &ether_type)]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::NotIp);
    }
    for length in 0..IP {
        host.leaves_bytes(UPLINK_IN, &question().bytes()[..length], Reason::NotIp);
    }
}

#[test]
fn a_frame_cut_anywhere_is_malformed() {
    let host = Host::with_8080();
    for packet in [question(), syn(), ping(r(77), h(0))] {
        for packet in [packet.options(header::options(3)), packet] {
            let whole = packet.bytes();
            for length in IP..whole.len() {
                host.leaves_bytes(UPLINK_IN, &whole[..length], Reason::Malformed);
            }
        }
    }
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn an_ip_header_that_contradicts_itself_is_malformed() {
    let host = Host::with_8080();
    for version in [0x00, 0x45, 0x50, 0x70, 0xf0] {
        let frame = patched(&question(), &[(IP, &[version])]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
    // 16 bytes there are: a length of 0 is none without a jumbo payload.
    for length in [0u16, 1, 7, 15, 17, 65_535] {
        let frame = patched(&question(), &[(LENGTH, &length.to_be_bytes())]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
    // Every traffic class and flow label does.
    let frame = patched(&question(), &[(IP, &[START[2] | 0x0f, 0xff, 0xff, 0xff])]);
    assert_eq!(
        host.run(UPLINK_IN, &frame).0.map(|carried| carried.verdict),
        Ok(C1_PEER)
    );
}

#[test]
fn transport_headers_that_contradict_their_datagram_are_malformed() {
    let host = Host::with_8080();
    for words in [0u8, 1, 4, 8, 15] {
        let frame = patched(&syn(), &[(CONTENT + 12, &[words << 4])]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
    let short = patched(&syn(), &[(LENGTH, &19u16.to_be_bytes())]);
    host.leaves_bytes(UPLINK_IN, &short, Reason::Malformed);
    for length in [0u16, 7, 17, 65_535] {
        let frame = patched(&question(), &[(CONTENT + 4, &length.to_be_bytes())]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
}

#[test]
fn other_protocols_are_left_alone() {
    let host = Host::with_8080();
    // ICMP of IPv4, encapsulation, AH, ESP, no next header, mobility, HIP, shim6.
    for protocol in [1, 4, 41, 47, 50, 51, 59, 132, 135, 139, 140, 255] {
        let frame = patched(&question(), &[(header::PROTOCOL, &[protocol])]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::OtherProtocol);
    }
    for code in [[128, 1], [129, 1], [130, 0], [143, 0]] {
        let frame = patched(&ping(r(77), h(0)), &[(CONTENT, &code)]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::OtherIcmp);
    }
}

#[test]
fn neighbours_and_routers_are_discovered_as_if_nobody_were_there() {
    let host = Host::with_8080();
    let local = |last| socket(IpAddr::new(0xfe80, 0, 0, 0, 0, 0, 0, last), 0);
    let group = |last| socket(IpAddr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, last), 0);
    let routers = socket(IpAddr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), 0);
    let nobody = socket(IpAddr::UNSPECIFIED, 0);
    for kind in 133..=137 {
        for (place, src, dst) in [
            (UPLINK_IN, local(1), h(0)),
            (UPLINK_IN, r(0), group(1)),
            (C1_PORT, c1(0), group(1)),
            (C1_PORT, nobody, group(2)),
            (C1_PORT, local(2), routers),
            (C1_PORT, c1(0), gw1(0)),
            (C1_PORT, c1(0), c1b(0)),
            ((Hook::BridgeIn, BRIDGE_1), c1(0), group(1)),
        ] {
            let packet = Sample::new(Content::Error(kind, 0, 0), src, dst).ttl(255);
            host.refuses(place, &packet, Reason::OtherIcmp);
        }
        let ours = Sample::new(Content::Error(kind, 0, 0), h(0), local(1)).ttl(255);
        host.refuses(UPLINK_OUT, &ours, Reason::FromHost);
    }
}

#[test]
fn a_super_frame_too_long_for_its_length_field_is_whole() {
    // BIG TCP, with the header that Linux before 6.17 puts there and without it.
    for jumbo in [false, true] {
        let host = Host::with_8080();
        let packet = if jumbo {
            let mut header = header::extension(header::extension::HOP_BY_HOP, 1);
            header.1[2..4].copy_from_slice(&[0xc2, 4]);
            syn().options(vec![header])
        } else {
            syn()
        };
        let mut frame = patched(&packet, &[(LENGTH, &[0, 0])]);
        frame.resize(IP + 70_000, 0x55);
        let (result, after) = host.run(UPLINK_IN, &frame);
        assert_eq!(result.unwrap().reason, Reason::PublishedIn);
        assert_eq!(after[header::SRC.end..CONTENT], c1(80).ip().octets());
        assert_eq!(host.entry(Protocol::Tcp, &syn()).unwrap().bytes, 70_000);
    }
}
