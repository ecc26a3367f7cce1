//! What a translation writes, and what it leaves.

use super::*;

#[test]
fn options_of_the_ip_header_and_extension_headers_move_the_ports() {
    let host = Host::with_8080();
    for words in 0..=10 {
        let options = header::options(words);
        for packet in [udp(r(40_000), h(8_080)), tcp(SYN, r(40_000), h(8_080))] {
            let packet = packet.options(options.clone());
            host.carries(
                UPLINK_IN,
                &packet,
                C1_PEER,
                Reason::PublishedIn,
                &packet.to(c1(80)).hop(),
            );
        }
        let request = ping(c1(77), r(0)).options(options.clone());
        let (_, outside) = host.send(C1_PORT, &request);
        assert_eq!(outside, request.from(h(outside.src.port())).hop());
    }
}

#[test]
fn udp_without_a_checksum_stays_without_one() {
    let host = Host::with_8080();
    let question = udp(r(40_000), h(8_080)).unchecked();
    host.carries(
        UPLINK_IN,
        &question,
        C1_PEER,
        Reason::PublishedIn,
        &question.to(c1(80)).hop(),
    );
    let answer = udp(c1(80), r(40_000)).unchecked();
    host.carries(
        C1_PORT,
        &answer,
        UPLINK_NEIGH,
        Reason::PublishedReply,
        &answer.from(h(8_080)).hop(),
    );
}

#[test]
fn a_udp_checksum_that_comes_out_as_0_is_sent_as_ffff() {
    // RFC 768. Of all payloads of two bytes one gives this sum after translation.
    let host = Host::with_8080();
    let mut found = 0;
    for word in 0..=u16::MAX {
        let question = udp(r(40_000), h(8_080)).payload(&word.to_be_bytes());
        let inside = question.to(c1(80)).hop();
        if checksum(&inside) == [0xff, 0xff] {
            host.carries(UPLINK_IN, &question, C1_PEER, Reason::PublishedIn, &inside);
            found += 1;
        }
    }
    assert_eq!(found, 1);
}

#[test]
fn a_udp_checksum_of_ffff_is_one() {
    let host = Host::with_8080();
    let mut found = 0;
    for word in 0..=u16::MAX {
        let question = udp(r(40_000), h(8_080)).payload(&word.to_be_bytes());
        if checksum(&question) == [0xff, 0xff] {
            host.carries(
                UPLINK_IN,
                &question,
                C1_PEER,
                Reason::PublishedIn,
                &question.to(c1(80)).hop(),
            );
            found += 1;
        }
    }
    assert_eq!(found, 1);
}

#[test]
fn padding_behind_the_datagram_stays() {
    let host = Host::with_8080();
    let question = udp(r(40_000), h(8_080)).payload(b"x");
    let padded = |packet: &Sample| {
        let mut bytes = packet.bytes();
        bytes.extend([0xaa; 17]);
        bytes
    };
    let (carried, after) = host.run(UPLINK_IN, &padded(&question));
    assert_eq!(carried.unwrap().reason, Reason::PublishedIn);
    assert_eq!(after, padded(&question.to(c1(80)).hop()));
    assert_eq!(
        host.entry(Protocol::Udp, &question).unwrap().bytes,
        u64::try_from(HEADER).unwrap() + 9,
        "without padding"
    );
}

#[test]
fn the_whole_datagram_is_summed_whatever_its_length() {
    let host = Host::with_8080();
    for length in [0, 1, 2, 3, 1_459, 1_460, 8_000, 65_000] {
        let payload: Vec<u8> = (0u8..251).cycle().take(length).collect();
        for packet in [udp(r(40_000), h(8_080)), tcp(SYN, r(40_000), h(8_080))] {
            let packet = packet.payload(&payload);
            host.carries(
                UPLINK_IN,
                &packet,
                C1_PEER,
                Reason::PublishedIn,
                &packet.to(c1(80)).hop(),
            );
        }
    }
}

/// A UDP frame's checksum, without options.
fn checksum(packet: &Sample) -> [u8; 2] {
    let bytes = packet.bytes();
    [bytes[CONTENT + 6], bytes[CONTENT + 7]]
}
