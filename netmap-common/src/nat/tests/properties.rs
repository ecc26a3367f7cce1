//! What holds for every packet.

use proptest::prelude::*;

use super::*;

/// A way through the host: where the request is seen, from whom, to whom, and where the answer is seen.
pub(super) type Path = (Place, fn(u16) -> Socket, fn(u16) -> Socket, Place);

pub(super) const PATHS: [Path; 5] = [
    (UPLINK_IN, r, h, C1_PORT),
    (C1_PORT, c1, r, UPLINK_IN),
    (C1B_PORT, c1b, h, C1_PORT),
    (C2_PORT, c2, gw2, C1_PORT),
    (C1_PORT, c1, h, C1_PORT),
];

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Tcp(SYN)),
        Just(Content::Udp),
        Just(Content::UdpUnchecked),
        Just(Content::Request),
    ]
}

pub(super) fn samples() -> impl Strategy<Value = (Path, Sample)> {
    let path = prop::sample::select(PATHS.to_vec());
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (path, contents(), any::<u16>(), 2u8.., 0usize..=10, payload).prop_map(
        |(path, content, port, ttl, words, payload)| {
            // An echo goes to no published port: to the outside only.
            let path = if content == Content::Request {
                PATHS[1]
            } else {
                path
            };
            let port_there = if content == Content::Request { 0 } else { 8_080 };
            let (_, client, server, _) = path;
            let sample = Sample::new(content, client(port), server(port_there));
            (
                path,
                sample.ttl(ttl).options(header::options(words)).payload(&payload),
            )
        },
    )
}

/// The answer to a packet as its receiver saw it.
pub(super) fn answer_to(packet: &Sample) -> Sample {
    let content = match packet.content {
        Content::Tcp(_) => Content::Tcp(SYN | ACK),
        Content::Request => Content::Reply,
        other => other,
    };
    Sample {
        content,
        src: packet.dst,
        dst: packet.src,
        ..packet.ttl(64)
    }
}

/// A good packet with a few bytes replaced, and perhaps cut: gets further than chance alone.
pub(super) fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let patches = prop::collection::vec((0usize..80, any::<u8>()), 0..4);
    (samples(), patches, prop::option::of(0usize..100)).prop_map(|((_, sample), patches, cut)| {
        let mut bytes = sample.bytes();
        for (offset, byte) in patches {
            if let Some(place) = bytes.get_mut(offset) {
                *place = byte;
            }
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        bytes
    })
}

pub(super) fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..120).prop_map(|mut bytes| {
        if let Some(ether_type) = bytes.get_mut(12..15) {
            ether_type.copy_from_slice(&header::START);
        }
        bytes
    })
}

pub(super) fn places() -> impl Strategy<Value = Place> {
    prop::sample::select(vec![
        UPLINK_IN,
        UPLINK_OUT,
        C1_PORT,
        C2_PORT,
        (Hook::BridgeIn, BRIDGE_1),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_answer_to_a_translated_packet_reaches_its_sender_from_whom_it_asked((path, request) in samples()) {
        let (there, _, _, back) = path;
        let host = Host::with_8080();
        // `send` reads what comes out, checksums and all.
        let (_, inside) = host.send(there, &request);
        prop_assert_eq!(&inside.payload, &request.payload);
        prop_assert_eq!(&inside.options, &request.options);
        prop_assert_eq!(inside.ttl, request.ttl - 1);
        let (_, outside) = host.send(back, &answer_to(&inside));
        prop_assert_eq!(outside, answer_to(&request).hop());
        // And what follows is translated alike.
        prop_assert_eq!(host.send(there, &request).1, inside);
        assert_twins(&host);
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_is_not_carried_stays_as_it_is(
        frames in prop::collection::vec((places(), prop_oneof![spoiled(), noise()]), 1..8),
    ) {
        let host = Host::with_8080();
        for (place, frame) in frames {
            let (result, after) = host.run(place, &frame);
            if result.is_err() {
                prop_assert_eq!(&after, &frame);
            }
            prop_assert_eq!(after.len(), frame.len());
            assert_twins(&host);
        }
    }
}

/// Every entry's twin points back at it.
fn assert_twins(host: &Host) {
    let flows = host.world.flows.borrow();
    for (key, flow) in flows.iter() {
        let twin = flows
            .get(&flow.twin())
            .unwrap_or_else(|| panic!("{key:?} has no twin"));
        assert_eq!((twin.twin(), twin.nonce), (*key, flow.nonce));
        assert_ne!(twin.side(), flow.side());
    }
}
