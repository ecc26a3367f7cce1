//! Extension headers (RFC 8200, 4).

use super::{
    header::{
        Options, extension,
        extension::{DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING},
    },
    pieces::PIECE,
    *,
};

/// The order that RFC 8200, 4.1, recommends.
const ORDER: [u8; 5] = [HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, DESTINATION];

/// Some of these headers, those whose bit is set.
fn some(bits: u32) -> Options {
    let chosen = (0_usize..).zip(ORDER).filter(|(bit, _)| bits >> bit & 1 != 0);
    chosen
        .map(|(bit, number)| match number {
            // An identification; nothing else of it is there: an atomic fragment (RFC 6946).
            FRAGMENT => (FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4]),
            _ => extension(number, 1 + bit),
        })
        .collect()
}

#[test]
fn headers_in_every_order_that_is_right_are_walked_and_left_as_they_are() {
    for bits in 0..32 {
        let host = Host::with_8080();
        for packet in [
            udp(r(40_000), h(8_080)),
            tcp(SYN, r(40_000), h(8_080)),
            udp(r(40_001), h(8_080)).unchecked(),
        ] {
            let packet = packet.options(some(bits));
            let inside = packet.to(c1(80)).hop();
            host.carries(UPLINK_IN, &packet, C1_PEER, Reason::PublishedIn, &inside);
        }
        let answer = udp(c1(80), r(40_000)).options(some(bits));
        let outside = answer.from(h(8_080)).hop();
        host.carries(C1_PORT, &answer, UPLINK_NEIGH, Reason::PublishedReply, &outside);
        let request = ping(c1(77), r(0)).options(some(bits));
        let (_, outside) = host.send(C1_PORT, &request);
        assert_eq!(outside, request.from(h(outside.src.port())).hop());
    }
}

#[test]
fn a_header_is_as_long_as_it_says() {
    let host = Host::with_8080();
    for words in [1, 2, 31, 255, 256] {
        let question = udp(r(40_000), h(8_080)).options(header::options(words));
        host.carries(
            UPLINK_IN,
            &question,
            C1_PEER,
            Reason::PublishedIn,
            &question.to(c1(80)).hop(),
        );
    }
    // One that reaches beyond the datagram, and one that ends with it.
    let question = udp(r(40_000), h(8_080)).options(header::options(1));
    for words in [6u8, 7, 255] {
        let mut frame = question.bytes();
        frame[CONTENT + 1] = words;
        host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
    }
}

#[test]
fn five_are_walked_and_no_more() {
    let host = Host::with_8080();
    let many = |number| vec![extension(DESTINATION, 1); number];
    let question = udp(r(40_000), h(8_080));
    host.send(UPLINK_IN, &question.options(many(5)));
    let host = Host::with_8080();
    host.refuses(UPLINK_IN, &question.options(many(6)), Reason::OtherProtocol);
    // What may hide there does not get to a container, and does not leave with its address.
    host.refuses(
        UPLINK_IN,
        &udp(r(40_000), c1(80)).options(many(6)),
        Reason::DirectAccess,
    );
    host.refuses(
        UPLINK_OUT,
        &udp(c1(40_000), r(53)).options(many(6)),
        Reason::WouldLeak,
    );
}

#[test]
fn a_packet_on_its_way_by_a_routing_header_is_left_alone() {
    let host = Host::with_8080();
    let mut routing = extension(ROUTING, 3);
    (routing.1[2], routing.1[3]) = (4, 1);
    let question = udp(r(40_000), h(8_080)).options(vec![routing.clone()]);
    host.refuses(UPLINK_IN, &question, Reason::OtherProtocol);
    routing.1[3] = 0;
    host.send(UPLINK_IN, &question.options(vec![routing]));
}

#[test]
fn an_atomic_fragment_is_whole_and_keeps_its_identification() {
    let host = Host::with_8080();
    // A container's too, which leaves with another source.
    let question = udp(c1(30_000), r(53)).options(some(0b1000));
    let outside = question.from(h(30_000)).hop();
    host.carries(C1_PORT, &question, UPLINK_NEIGH, Reason::EgressOut, &outside);
    assert!(host.world.fragments.borrow().is_empty());
    // Its length counts, which a first piece's does not.
    let mut frame = udp(r(40_000), h(8_080)).options(some(0b1000)).bytes();
    frame[PIECE + 4..PIECE + 6].copy_from_slice(&999u16.to_be_bytes());
    host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
}

#[test]
fn the_pieces_of_a_datagram_with_headers_behind_the_fragment_header_follow_their_first() {
    let host = Host::with_8080();
    let options = vec![extension(DESTINATION, 2)];
    let question = udp(r(40_000), h(8_080)).payload(&[7; 2_000]).options(options);
    let whole = question.bytes();
    let content = &whole[CONTENT..];
    // That piece's next header is the extension's as well, though it does not have it.
    let pieces = [
        piece(&whole, 7, 0, &content[..1_200], true),
        piece(&whole, 7, 1_200, &content[1_200..], false),
    ];
    let after: Vec<_> = pieces
        .iter()
        .map(|frame| {
            let (result, after) = host.run(UPLINK_IN, frame);
            assert_eq!(result.map(|carried| carried.verdict), Ok(C1_PEER));
            after
        })
        .collect();
    assert_eq!(after[1][PIECE..], pieces[1][PIECE..], "content");
    let joined = [&after[0][PIECE..], &after[1][PIECE..]].concat();
    assert_eq!(
        Sample::read(&pieces::whole(&after[0], &joined)),
        question.to(c1(80)).hop()
    );
}

#[test]
fn the_fragment_header_has_the_new_identification_in_every_piece() {
    let host = Host::new();
    let whole = udp(c1(30_000), r(53)).payload(&[7; 2_000]).bytes();
    let pieces = [
        piece(&whole, 7, 0, &whole[CONTENT..CONTENT + 1_200], true),
        piece(&whole, 7, 1_200, &whole[CONTENT + 1_200..], false),
    ];
    let ids = pieces.map(|frame| {
        let (result, after) = host.run(C1_PORT, &frame);
        assert_eq!(result.map(|carried| carried.reason), Ok(Reason::EgressOut));
        // Nothing else of the header is another.
        assert_eq!(after[CONTENT..CONTENT + 4], frame[CONTENT..CONTENT + 4]);
        pieces::part(&after).id
    });
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], 7);
}

#[test]
fn a_first_piece_that_does_not_reach_to_the_ports_is_malformed() {
    // "First fragment must include the entire IPv6 header chain" (RFC 7112).
    let host = Host::with_8080();
    let whole = udp(r(40_000), h(8_080)).options(header::options(3)).bytes();
    for content in [8, 16, 24] {
        let tiny = piece(&whole, 7, 0, &whole[CONTENT..CONTENT + content], true);
        host.leaves_bytes(UPLINK_IN, &tiny, Reason::Malformed);
    }
    assert!(host.world.flows.borrow().is_empty());
}

#[test]
fn what_lies_over_the_first_pieces_headers_is_dropped() {
    let host = Host::with_8080();
    let whole = udp(r(40_000), h(8_080)).options(header::options(3)).bytes();
    let first = piece(&whole, 7, 0, &whole[CONTENT..CONTENT + 40], true);
    assert!(host.run(UPLINK_IN, &first).0.is_ok());
    for start in [8, 24, 32] {
        let over = piece(&whole, 7, start, &[0; 8], true);
        host.leaves_bytes(UPLINK_IN, &over, Reason::FragmentOverlap);
    }
}

#[test]
fn a_jumbogram_is_no_packet_of_ours() {
    // RFC 2675: a payload length of 0 in a frame that could have said it.
    let host = Host::with_8080();
    let mut frame = udp(r(40_000), h(8_080))
        .options(vec![extension(HOP_BY_HOP, 1)])
        .bytes();
    frame[18..20].copy_from_slice(&[0, 0]);
    host.leaves_bytes(UPLINK_IN, &frame, Reason::Malformed);
}
