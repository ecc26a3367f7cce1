//! What an XDP hook makes of a frame, and what it leaves to TC as it came.

use super::*;

/// The host of row 1, whose XDP can send to c1.
fn host() -> Host {
    let mut host = Host::with_8080();
    let (Verdict::Peer(port) | Verdict::Neigh(port)) = C1_PEER else {
        panic!("c1 is behind a port")
    };
    host.world.redirects = Some(vec![(port, at(c1(0)))]);
    host
}

fn show(host: &Host, frame: &mut [u8]) -> Result<Verdict, Reason> {
    host.world.arrival.set(UPLINK);
    process(&mut OffTheWire(frame), &host.world, Hook::UplinkIn).map(|carried| carried.verdict)
}

#[track_caller]
fn leaves(host: &Host, packet: &[u8], reason: Reason) {
    let before = host.world.flows.borrow().clone();
    let mut frame = packet.to_vec();
    assert_eq!(show(host, &mut frame), Err(reason));
    assert_eq!(frame, packet, "the frame");
    assert_eq!(*host.world.flows.borrow(), before, "the table of flows");
}

/// Where the L4 checksum of a frame without IP options or extension headers stands.
const TCP_CHECK: usize = CONTENT + 16;
const UDP_CHECK: usize = CONTENT + 6;

/// The same frame with nothing but the sum of its pseudo-header (RFC 9293, 3.1).
fn partial(packet: &Sample, protocol: u8, field: usize) -> Vec<u8> {
    let mut frame = packet.bytes();
    let length = u16::try_from(frame.len() - CONTENT).unwrap();
    let words = frame[header::SRC.start..CONTENT].chunks(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    sum += u32::from(protocol) + u32::from(length);
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    frame[field..field + 2].copy_from_slice(&folded.to_be_bytes());
    frame
}

#[test]
fn what_leads_to_a_port_that_takes_frames_is_carried_like_at_tc() {
    let host = host();
    for packet in [tcp(SYN, r(40_000), h(8_080)), udp(r(40_000), h(8_080))] {
        let mut frame = packet.bytes();
        assert_eq!(show(&host, &mut frame), Ok(C1_PEER));
        assert_eq!(frame, packet.to(c1(80)).hop().bytes());
    }
}

#[test]
fn a_checksum_that_is_yet_to_be_completed_is_left_to_tc() {
    let host = host();
    let (tcp, udp) = (tcp(SYN, r(40_000), h(8_080)), udp(r(40_000), h(8_080)));
    leaves(&host, &partial(&tcp, 6, TCP_CHECK), Reason::LeftToTc);
    leaves(&host, &partial(&udp, 17, UDP_CHECK), Reason::LeftToTc);
    let (result, after) = host.run(UPLINK_IN, &partial(&udp, 17, UDP_CHECK));
    assert!(result.is_ok() && after != udp.bytes(), "TC copes with it");
}

#[test]
fn a_datagram_without_a_checksum_is_carried() {
    let packet = udp(r(40_000), h(8_080)).unchecked();
    let mut frame = packet.bytes();
    assert_eq!(show(&host(), &mut frame), Ok(C1_PEER));
    assert_eq!(frame, packet.to(c1(80)).hop().bytes());
}

#[test]
fn where_xdp_cannot_send_no_flow_begins_and_none_counts() {
    let mut host = host();
    let packet = udp(r(40_000), h(8_080));
    let reached = host.world.redirects.replace(Vec::new());
    leaves(&host, &packet.bytes(), Reason::LeftToTc);
    host.world.redirects = reached;
    assert_eq!(show(&host, &mut packet.bytes()), Ok(C1_PEER));
    host.world.redirects = Some(Vec::new());
    leaves(&host, &packet.bytes(), Reason::LeftToTc);
    let flow = host.entry(Protocol::Udp, &packet).unwrap();
    assert_eq!(flow.packets, 1, "the one that was carried");
}

#[test]
fn what_tc_would_drop_is_dropped_wherever_it_leads() {
    let mut host = host();
    host.world.redirects = Some(Vec::new());
    for packet in [tcp(SYN, r(40_000), c1(80)), ping(r(7), c1(0))] {
        leaves(&host, &packet.bytes(), Reason::DirectAccess);
    }
}
