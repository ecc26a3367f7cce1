//! What is no packet for the NAT, and what contradicts itself.

use super::*;
use crate::nat::{Header, L4Change, Packet, Truncated};

const FRAME_TYPE: usize = 12;
const IP: usize = 14;
const TRANSPORT: usize = 34;

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
    for ether_type in [
        [0x86, 0xdd],
        [0x08, 0x06],
        [0x81, 0x00],
        [0x88, 0xa8],
        [0x00, 0x08],
    ] {
        host.leaves_bytes(
            UPLINK_IN,
            &patched(&question(), &[(FRAME_TYPE, &ether_type)]),
            Reason::NotIp,
        );
    }
    for length in 0..IP {
        host.leaves_bytes(UPLINK_IN, &question().bytes()[..length], Reason::NotIp);
    }
}

#[test]
fn a_frame_cut_anywhere_is_malformed() {
    let host = Host::with_8080();
    for packet in [question(), syn(), ping(r(77), h(0))] {
        let whole = packet.bytes();
        for length in IP..whole.len() {
            host.leaves_bytes(UPLINK_IN, &whole[..length], Reason::Malformed);
        }
    }
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn an_ip_header_that_contradicts_itself_is_malformed() {
    let host = Host::with_8080();
    // Version and header length; lengths of the datagram.
    for first in [0x00, 0x05, 0x35, 0x40, 0x41, 0x44, 0x65, 0xf5] {
        host.leaves_bytes(
            UPLINK_IN,
            &patched(&question(), &[(IP, &[first])]),
            Reason::Malformed,
        );
    }
    // Options that reach beyond the datagram.
    host.leaves_bytes(
        UPLINK_IN,
        &patched(&question(), &[(IP, &[0x4f])]),
        Reason::Malformed,
    );
    for length in [0u16, 1, 19, 20, 27, 37, 65_535] {
        let frame = patched(&question(), &[(IP + 2, &length.to_be_bytes())]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
}

#[test]
fn a_tcp_header_that_contradicts_its_datagram_is_malformed() {
    let host = Host::with_8080();
    // The data offset, in words: too short, and beyond the 28 bytes there are.
    for words in [0u8, 1, 4, 8, 15] {
        host.leaves_bytes(
            UPLINK_IN,
            &patched(&syn(), &[(TRANSPORT + 12, &[words << 4])]),
            Reason::Malformed,
        );
    }
    // All of the datagram is header.
    for words in [5u8, 6, 7] {
        let (result, _) = host.run(UPLINK_IN, &patched(&syn(), &[(TRANSPORT + 12, &[words << 4])]));
        assert!(result.is_ok());
    }
    // The frame has a whole TCP header, but the datagram ends before.
    host.leaves_bytes(
        UPLINK_IN,
        &patched(&syn(), &[(IP + 2, &39u16.to_be_bytes())]),
        Reason::Malformed,
    );
}

#[test]
fn a_udp_length_that_contradicts_its_datagram_is_malformed() {
    let host = Host::with_8080();
    for length in [0u16, 7, 17, 65_535] {
        let frame = patched(&question(), &[(TRANSPORT + 4, &length.to_be_bytes())]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
    for length in [8u16, 15, 16] {
        let frame = patched(&question(), &[(TRANSPORT + 4, &length.to_be_bytes())]);
        assert!(host.run(UPLINK_IN, &frame).0.is_ok());
    }
}

#[test]
fn do_not_fragment_and_the_reserved_bit_do_not_make_a_fragment() {
    let host = Host::with_8080();
    for field in [0x4000u16, 0x8000] {
        assert!(
            host.run(
                UPLINK_IN,
                &patched(&question(), &[(IP + 6, &field.to_be_bytes())])
            )
            .0
            .is_ok()
        );
    }
}

#[test]
fn other_protocols_and_other_icmp_are_left_alone() {
    let host = Host::with_8080();
    for protocol in [0, 2, 4, 41, 47, 50, 132, 255] {
        host.leaves_bytes(
            UPLINK_IN,
            &patched(&question(), &[(IP + 9, &[protocol])]),
            Reason::OtherProtocol,
        );
    }
    // Source quench, redirect, timestamp; an echo with a code.
    for kind in [[4, 0], [5, 1], [13, 0], [8, 1], [0, 1]] {
        let frame = patched(&ping(r(77), h(0)), &[(TRANSPORT, &kind)]);
        host.leaves_bytes(UPLINK_IN, &frame, Reason::OtherIcmp);
    }
}

#[test]
fn a_frame_whose_vlan_tag_stands_beside_it_is_left_alone() {
    struct Tagged(Vec<u8>);

    impl Packet for Tagged {
        fn length(&self) -> u32 {
            self.0.as_slice().length()
        }
        fn is_vlan_tagged(&self) -> bool {
            true
        }
        fn require(&mut self, length: usize) -> Result<(), Truncated> {
            self.0.as_mut_slice().require(length)
        }
        fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
            self.0.as_slice().header(offset)
        }
        fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated> {
            self.0.as_mut_slice().header_mut(offset)
        }
        fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated> {
            self.0.as_mut_slice().update_l4_checksum(offset, change)
        }
    }

    let host = Host::with_8080();
    let mut frame = Tagged(question().bytes());
    assert_eq!(
        process(&mut frame, &host.world, Hook::UplinkIn),
        Err(Reason::Vlan)
    );
    assert_eq!(frame.0, question().bytes());
}

#[test]
fn a_super_frame_too_long_for_its_length_field_is_whole() {
    // IPv4 BIG TCP: the length is 0 and the frame says it.
    let host = Host::with_8080();
    let mut frame = patched(&syn(), &[(IP + 2, &[0, 0])]);
    frame.resize(IP + 65_536, 0x55);
    let (result, after) = host.run(UPLINK_IN, &frame);
    assert_eq!(result.unwrap().reason, Reason::PublishedIn);
    assert_eq!(after[30..34], c1(80).ip().octets());
    assert_eq!(host.entry(Protocol::Tcp, &syn()).unwrap().bytes, 65_536);
}
