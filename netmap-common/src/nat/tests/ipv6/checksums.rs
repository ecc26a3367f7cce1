//! Checksums: all of them are over the addresses, ICMP's too, and no header's own makes up for a change.

use proptest::prelude::*;

use super::{properties::samples, *};

/// The host of row 7, whose XDP can send to c1.
fn host() -> Host {
    let mut host = Host::with_8080();
    host.world.redirects = Some(vec![(C1_PORT.1, at(c1(0)))]);
    host
}

fn show(host: &Host, frame: &mut [u8]) -> Result<Verdict, Reason> {
    host.world.arrival.set(UPLINK);
    process(&mut OffTheWire(frame), &host.world, Hook::UplinkIn).map(|carried| carried.verdict)
}

#[test]
fn an_answer_to_a_ping_is_carried_by_xdp_unless_its_checksum_is_yet_to_be_completed() {
    let mut host = host();
    let reached = host.world.redirects.take();
    let (_, outside) = host.send(C1_PORT, &ping(c1(77), r(0)));
    host.world.redirects = reached;
    let answer = pong(r(0), outside.src);
    let mut partial = answer.bytes();
    // Addresses, number and length (RFC 8200, 8.1).
    let content = u16::try_from(partial.len() - CONTENT).unwrap();
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&partial[header::SRC.start..CONTENT])
        .add_2bytes([0, 58])
        .add_2bytes(content.to_be_bytes());
    let sum = !u16::from_be(sum.ones_complement());
    partial[CONTENT + 2..CONTENT + 4].copy_from_slice(&sum.to_be_bytes());
    let before = partial.clone();
    assert_eq!(show(&host, &mut partial), Err(Reason::LeftToTc));
    assert_eq!(partial, before);
    let mut frame = answer.bytes();
    assert_eq!(show(&host, &mut frame), Ok(C1_PEER));
    assert_eq!(frame, answer.to(c1(77)).hop().bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_error_about_any_packet_has_a_right_checksum_and_quotes_what_was_sent(
        ((there, _, _, back), request) in samples(),
        words in 2usize..300,
    ) {
        let host = Host::with_8080();
        let (_, inside) = host.send(there, &request);
        let least: usize = request.options.iter().map(|(_, bytes)| bytes.len()).sum();
        // Of half a checksum nothing is to be had.
        let quoted = HEADER + least + words * 4;
        let error = error(kind::TOO_BIG, 0, inside.dst, &inside, quoted);
        // `send` reads what comes out, checksums and all.
        let (_, told) = host.send(back, &error);
        let expected = request.hop().bytes();
        let expected = &expected[14..][..quoted.min(expected.len() - 14)];
        prop_assert_eq!(told.payload.len(), expected.len());
        prop_assert_eq!(told.payload, expected);
        prop_assert_eq!(told.dst.ip(), request.src.ip());
    }
}
