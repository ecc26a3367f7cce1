//! What a host carries every day.

use super::{
    AT_C1, AT_C1B, AT_C2, Book, UPLINK_IN, UPLINK_OUT,
    packet::{ACK, FIN, PSH, SYN, echo, tcp, udp},
};
use crate::process::{
    Step,
    scene::{
        Choices,
        address::{C1, C1B, C2, H, H2, R},
    },
};

pub(super) fn write(book: &mut Book, world: Choices) {
    published(book, world);
    egress(book, world);
    between_containers(book, world);
    errors(book, world);
    fragments(book, world);
    headers(book, world);
}

fn published(book: &mut Book, world: Choices) {
    let (client, service) = ((R, 40_000), (H, 8_080));
    book.scenario("tcp-published", world)
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]))
        .answer(AT_C1)
        .at(UPLINK_IN, &tcp(ACK, client, service, &[]))
        .at(
            UPLINK_IN,
            &tcp(ACK | PSH, client, service, b"GET / HTTP/1.0\r\n\r\n"),
        )
        .answer(AT_C1)
        .at(UPLINK_IN, &tcp(ACK | FIN, client, service, &[]))
        .answer(AT_C1);
    book.scenario("udp-published", world)
        .at(UPLINK_IN, &udp(client, service, b"what is it?"))
        .answer(AT_C1)
        .at(UPLINK_IN, &udp(client, service, b"odd"));
    book.scenario("udp-without-checksum", world)
        .at(UPLINK_IN, &udp(client, service, b"trust me").unchecked())
        .answer(AT_C1);
    book.scenario("tcp-published-by-xdp", world)
        .early(&tcp(SYN, client, service, &[]))
        .answer(AT_C1)
        .early(&tcp(ACK | PSH, client, service, b"fast"))
        .early(&tcp(SYN, client, (H, 9_000), &[]));
    book.scenario("tcp-published-range", world)
        .at(UPLINK_IN, &udp(client, (H2, 20_003), b"the last of four"))
        .answer(AT_C1)
        .at(UPLINK_IN, &udp(client, (H2, 20_004), b"one too many"));
    book.scenario("shared-port", world)
        .at(UPLINK_IN, &tcp(SYN, client, (H, 443), &[]))
        .answer(AT_C1)
        .at(UPLINK_IN, &tcp(SYN, client, (H2, 443), &[]))
        .answer(AT_C1B);
    book.scenario("through-the-stack", world)
        .at(UPLINK_IN, &tcp(SYN, client, (H, 9_001), &[]))
        .answer(UPLINK_OUT);
    book.scenario("same-client-two-services", world)
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]))
        .at(UPLINK_IN, &tcp(SYN, client, (H2, 8_080), &[]))
        .answer(AT_C1);
}

fn egress(book: &mut Book, world: Choices) {
    book.scenario("tcp-egress", world)
        .at(AT_C1, &tcp(SYN, (C1, 5_000), (R, 80), &[]))
        .answer(UPLINK_IN)
        .at(AT_C1, &tcp(ACK | PSH, (C1, 5_000), (R, 80), b"data"))
        .at(AT_C1B, &tcp(SYN, (C1B, 5_000), (R, 80), &[]))
        .answer(UPLINK_IN);
    book.scenario("udp-egress", world)
        .at(AT_C2, &udp((C2, 50_000), (R, 53), b"query"))
        .answer(UPLINK_IN)
        .at(AT_C2, &udp((C2, 123), (R, 123), b"time").unchecked())
        .answer(UPLINK_IN);
    book.scenario("echo-egress", world)
        .at(AT_C1, &echo(8, C1, R, 77))
        .answer(UPLINK_IN)
        .at(AT_C1, &echo(8, C1, R, 77));
    book.scenario("stack-egress", world)
        .at(UPLINK_OUT, &tcp(ACK, (C1, 5_000), (R, 80), b"mid-flow"))
        .answer(UPLINK_IN)
        .at(UPLINK_OUT, &udp((C2, 5_000), (R, 53), b"query"))
        .answer(UPLINK_IN);
}

fn between_containers(book: &mut Book, world: Choices) {
    book.scenario("hairpin", world)
        .at(AT_C1B, &tcp(SYN, (C1B, 40_000), (H, 8_080), &[]))
        .answer(AT_C1)
        .at(AT_C2, &udp((C2, 40_000), (H, 8_080), b"from the other bridge"))
        .answer(AT_C1);
    book.scenario("own-port", world)
        .at(AT_C1, &tcp(SYN, (C1, 40_000), (H, 8_080), &[]))
        .answer(AT_C1);
    let isolated = Choices { isolated: 3, ..world };
    book.scenario("isolated-neighbours", isolated)
        .at(AT_C1B, &tcp(SYN, (C1B, 40_000), (H, 8_080), &[]))
        .answer(AT_C1);
}

fn errors(book: &mut Book, world: Choices) {
    let router = [203, 0, 113, 1];
    let (unreachable, too_big, expired, problem) = if world.is_ipv6() {
        ((1, 4), (2, 0), (3, 0), (4, 0))
    } else {
        ((3, 3), (3, 4), (11, 0), (12, 0))
    };
    let request = tcp(SYN, (R, 40_000), (H, 8_080), &[]);
    let inside = tcp(ACK | PSH, (R, 40_000), (C1, 80), b"data");
    let answer = tcp(ACK | PSH, (H, 8_080), (R, 40_000), b"data");
    book.scenario("errors-about-published", world)
        .at(UPLINK_IN, &request)
        .at(UPLINK_IN, &answer.error(world, router, too_big, 24))
        .at(UPLINK_IN, &answer.error(world, router, expired, 8))
        .at(UPLINK_IN, &answer.error(world, R, unreachable, 19))
        .at(AT_C1, &inside.error(world, C1, unreachable, 24))
        .at(AT_C1, &inside.error(world, C1, problem, 8));
    let plain = udp((H, 5_000), (R, 53), b"query");
    book.scenario("errors-about-egress", world)
        .at(AT_C1, &udp((C1, 5_000), (R, 53), b"query"))
        .at(UPLINK_IN, &plain.error(world, R, unreachable, 13))
        .at(
            UPLINK_IN,
            &plain.clone().unchecked().error(world, R, unreachable, 13),
        )
        .at(
            UPLINK_IN,
            &plain.clone().options(&[1; 8]).error(world, router, expired, 8),
        )
        .at(
            UPLINK_IN,
            &plain
                .extensions(&[(60, [1, 4, 0, 0, 0, 0])])
                .error(world, router, expired, 8),
        );
    book.scenario("errors-to-a-neighbour", world)
        .at(AT_C1B, &udp((C1B, 40_000), (H, 8_080), b"ask"))
        .at(
            AT_C1,
            &udp((C1B, 40_000), (C1, 80), b"ask").error(world, C1, unreachable, 11),
        );
}

fn fragments(book: &mut Book, world: Choices) {
    let data: Vec<u8> = (0..=255).collect();
    let datagram = udp((R, 40_000), (H, 8_080), &data);
    let pieces = datagram.cut(world, 0x4242, &[0, 88, 176]);
    book.scenario("fragments-in", world).all(UPLINK_IN, &pieces);
    let backwards: Vec<_> = pieces.iter().rev().cloned().collect();
    book.scenario("fragments-in-backwards", world)
        .all(UPLINK_IN, &backwards)
        .step(&Step::Tick(31))
        .all(UPLINK_IN, &pieces);
    let out = udp((C1, 5_000), (R, 53), &data).cut(world, 0x4242, &[0, 96, 256]);
    let other = udp((C1B, 5_000), (R, 53), &data).cut(world, 0x4242, &[0, 96, 256]);
    book.scenario("fragments-out", world)
        .all(AT_C1, &out)
        .all(AT_C1B, &other);
    // Its last piece has three bytes: less than a pair of ports.
    let short =
        udp((R, 40_000), (H, 8_080), data.get(..155).unwrap_or_default()).cut(world, 7, &[0, 80, 160]);
    book.scenario("fragments-short", world).all(UPLINK_IN, &short);
    let ping = echo(8, C1, R, 77);
    book.scenario("fragments-of-echo", world)
        .all(AT_C1, &ping.cut(world, 9, &[0, 8]));
    // A first piece of a TCP segment, and what follows.
    let segment = tcp(SYN, (R, 40_001), (H, 8_080), &data);
    book.scenario("fragments-of-tcp", world)
        .all(UPLINK_IN, &segment.cut(world, 11, &[0, 24]))
        .all(UPLINK_IN, &segment.cut(world, 12, &[0, 8]));
}

fn headers(book: &mut Book, world: Choices) {
    let (client, service) = ((R, 40_000), (H, 8_080));
    let request = tcp(SYN, client, service, b"options");
    book.scenario("header-options", world)
        .at(
            UPLINK_IN,
            &request
                .clone()
                .options(&[1; 40])
                .extensions(&[(0, [5, 2, 0, 0, 1, 0])]),
        )
        .at(
            UPLINK_IN,
            &request
                .clone()
                .options(&[7, 4, 4, 0])
                .extensions(&[(0, [1, 4, 0, 0, 0, 0]), (60, [1, 4, 0, 0, 0, 0])]),
        )
        // A routing header that has arrived, and one that has not.
        .at(
            UPLINK_IN,
            &request.clone().extensions(&[(43, [4, 0, 0, 0, 0, 0])]),
        )
        .at(
            UPLINK_IN,
            &request.clone().extensions(&[(43, [4, 1, 0, 0, 0, 0])]),
        )
        .at(
            UPLINK_IN,
            &request.clone().extensions(&[(60, [1, 4, 0, 0, 0, 0]); 6]),
        )
        // An "atomic" fragment (RFC 6946).
        .at(UPLINK_IN, &request.extensions(&[(44, [0, 0, 0, 0, 0, 1])]));
    book.scenario("last-hop", world)
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]).ttl(2))
        .at(UPLINK_IN, &tcp(ACK, client, service, &[]).ttl(1))
        .at(AT_C1, &udp((C1, 33_434), (R, 33_434), b"traceroute").ttl(1));
}
