//! What must not get through, or do harm.

use super::{
    AT_C1, AT_C1B, AT_C2, Book, UPLINK_IN, UPLINK_OUT,
    packet::{ACK, Packet, RST, SYN, echo, tcp, udp},
};
use crate::process::{
    Step,
    scene::{
        Choices,
        address::{C1, C1B, C2, GW1, H, LOST, R},
    },
};

pub(super) fn write(book: &mut Book, world: Choices) {
    sources(book, world);
    states(book, world);
    malformed(book, world);
    icmp(book, world);
    fragments(book, world);
    exhaustion(book, world);
    tables(book, world);
}

fn sources(book: &mut Book, world: Choices) {
    let localhost = [127, 0, 0, 1];
    book.scenario("attack-loopback", world)
        .at(UPLINK_IN, &tcp(SYN, (localhost, 40_000), (H, 8_080), &[]))
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (localhost, 8_080), &[]))
        .at(AT_C1, &udp((C1, 40_000), (localhost, 53), b"?"));
    book.scenario("attack-spoofed-source", world)
        .at(UPLINK_IN, &tcp(SYN, (C1B, 40_000), (H, 8_080), &[]))
        .at(UPLINK_IN, &tcp(SYN, (H, 8_080), (H, 8_080), &[]))
        .at(AT_C1, &tcp(SYN, (R, 40_000), (H, 8_080), &[]))
        .at(AT_C1, &tcp(SYN, (C2, 40_000), (H, 8_080), &[]))
        .at(AT_C1, &tcp(SYN, (GW1, 40_000), (R, 80), &[]))
        .at(AT_C1, &udp(([10, 0, 0, 1], 40_000), (R, 53), b"?"));
    book.scenario("attack-direct-access", world)
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (C1, 80), &[]))
        .at(UPLINK_IN, &echo(8, R, C1, 1))
        .at(AT_C2, &tcp(SYN, (C2, 40_000), (C1, 80), &[]))
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), ([203, 0, 113, 9], 8_080), &[]));
    book.scenario("attack-not-allowed", world)
        .at(UPLINK_IN, &tcp(SYN, ([203, 0, 113, 9], 40_000), (H, 22), &[]))
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (H, 22), &[]));
    book.scenario("attack-leak", world)
        .at(UPLINK_OUT, &tcp(RST, (C1, 80), (R, 40_000), &[]))
        .at(UPLINK_OUT, &echo(0, C1, R, 7))
        .at(UPLINK_OUT, &tcp(ACK, (C1, 80), (R, 40_000), &[]).with(12, 0x10))
        .at(
            UPLINK_OUT,
            &Packet {
                protocol: 132,
                ..udp((C1, 80), (R, 40_000), b"sctp")
            },
        );
}

fn states(book: &mut Book, world: Choices) {
    let (client, service) = ((R, 40_000), (H, 8_080));
    book.scenario("attack-mid-flow", world)
        .at(UPLINK_IN, &tcp(ACK, client, service, &[]))
        .at(UPLINK_IN, &tcp(RST, client, service, &[]))
        .at(UPLINK_IN, &tcp(SYN | ACK, client, service, &[]))
        .at(AT_C1, &tcp(ACK, (C1, 5_000), (R, 80), &[]));
    book.scenario("attack-reset", world)
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]))
        .answer(AT_C1)
        .at(UPLINK_IN, &tcp(RST, client, service, &[]))
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]))
        .at(UPLINK_IN, &tcp(ACK, client, service, &[]));
    // Another container answers in its neighbour's name.
    book.scenario("attack-forged-answer", world)
        .at(UPLINK_IN, &tcp(SYN, client, service, &[]))
        .at(AT_C1B, &tcp(SYN | ACK, (C1, 80), client, &[]))
        .at(AT_C2, &tcp(RST, (C1, 80), client, &[]));
}

fn malformed(book: &mut Book, world: Choices) {
    let request = tcp(SYN, (R, 40_000), (H, 8_080), &[]);
    let frame = request.frame(world);
    let with = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        if let Some(place) = frame.get_mut(at) {
            *place = byte;
        }
        frame
    };
    let (total, version) = if world.is_ipv6() { (19, 0x45) } else { (17, 0x65) };
    let header = frame.len() - 20;
    let frames = [
        with(total, 255),
        with(total, 1),
        with(14, version),
        with(header + 12, 0x40),
        with(header + 12, 0xf0),
        with(12, 0x81),
        frame.get(..30).unwrap_or_default().to_vec(),
        frame.get(..header + 12).unwrap_or_default().to_vec(),
        Vec::new(),
    ];
    let mut pen = book.scenario("attack-malformed", world);
    for frame in &frames {
        pen = pen.step(&Step::Packet(UPLINK_IN, frame));
    }
    pen.at(UPLINK_IN, &udp((R, 40_000), (H, 8_080), b"short").with(5, 7))
        .at(UPLINK_IN, &udp((R, 40_000), (H, 8_080), b"long").with(4, 255));
    // What is padded to Ethernet's least length is not damaged.
    let mut padded = udp((R, 40_000), (H, 8_080), b"x").frame(world);
    padded.resize(80, 0xaa);
    book.scenario("padded", world)
        .step(&Step::Packet(UPLINK_IN, &padded));
    let mut arp = frame;
    arp.splice(12..14, [0x08, 0x06]);
    book.scenario("arp", world).step(&Step::Packet(AT_C1, &arp));
}

fn icmp(book: &mut Book, world: Choices) {
    let unreachable = if world.is_ipv6() { (1, 4) } else { (3, 1) };
    let answer = tcp(ACK, (H, 8_080), (R, 40_000), &[]);
    let error = answer.error(world, R, unreachable, 20);
    book.scenario("attack-errors", world)
        .at(UPLINK_IN, &error)
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (H, 8_080), &[]))
        // About another flow, to another host, about an error, from a container about what is not its own.
        .at(
            UPLINK_IN,
            &tcp(ACK, (H, 8_080), (R, 40_001), &[]).error(world, R, unreachable, 20),
        )
        .at(
            UPLINK_IN,
            &Packet {
                dst: GW1,
                ..error.clone()
            },
        )
        .at(UPLINK_IN, &error.error(world, R, unreachable, 36))
        .at(UPLINK_IN, &answer.error(world, R, unreachable, 4))
        .at(
            AT_C2,
            &tcp(ACK, (R, 40_000), (C1, 80), &[]).error(world, C1, unreachable, 20),
        );
    book.scenario("attack-echo", world)
        .at(UPLINK_IN, &echo(0, R, H, 77))
        .at(UPLINK_IN, &echo(8, R, H, 77))
        .at(AT_C1, &echo(0, C1, R, 77));
    let (redirect, solicitation) = if world.is_ipv6() { (137, 135) } else { (5, 10) };
    book.scenario("icmp-for-the-host", world)
        .at(UPLINK_IN, &echo(redirect, R, H, 0))
        .at(AT_C1, &echo(solicitation, C1, GW1, 0));
}

fn fragments(book: &mut Book, world: Choices) {
    let data = [0xabu8; 64];
    let datagram = udp((R, 40_000), (H, 8_080), &data);
    let pieces = datagram.cut(world, 5, &[0, 32]);
    let mut overlap = pieces.clone();
    for piece in overlap.iter_mut().skip(1) {
        piece.piece = Some((5, 8, false));
    }
    book.scenario("attack-overlapping-fragments", world)
        .all(UPLINK_IN, &overlap);
    // An identification that means another datagram.
    let other = udp((R, 40_000), (H, 9_001), &data).cut(world, 5, &[0, 32]);
    book.scenario("attack-reused-identification", world)
        .all(UPLINK_IN, &pieces)
        .all(UPLINK_IN, &other);
    book.scenario("attack-lone-fragment", world)
        .all(UPLINK_IN, pieces.get(1..).unwrap_or_default())
        .all(AT_C1, pieces.get(1..).unwrap_or_default());
    let tiny = tcp(SYN, (R, 40_000), (H, 8_080), &data).cut(world, 6, &[0, 8, 16]);
    book.scenario("attack-tiny-fragments", world)
        .all(UPLINK_IN, &tiny);
}

fn exhaustion(book: &mut Book, world: Choices) {
    let none = Choices { pool: 2, ..world };
    let mut pen = book.scenario("attack-ports-exhausted", none);
    for port in 5_000..5_003 {
        pen = pen.at(AT_C1, &udp((C1, port), (R, 53), b"?"));
    }
    let full = Choices { capacity: 3, ..world };
    book.scenario("attack-table-full", full)
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (H, 8_080), &[]))
        .at(UPLINK_IN, &tcp(SYN, (R, 40_001), (H, 8_080), &[]))
        .at(UPLINK_IN, &tcp(ACK, (R, 40_000), (H, 8_080), &[]));
    let off = Choices { route: 1, ..world };
    book.scenario("forwarding-off", off)
        .at(AT_C1, &udp((C1, 5_000), (R, 53), b"?"));
    let narrow = Choices { narrow: 1, ..world };
    book.scenario("too-big", narrow)
        .at(UPLINK_IN, &tcp(SYN, (R, 40_000), (H, 8_080), &[]))
        .answer(AT_C1)
        .at(AT_C1, &udp((C1, 5_000), (R, 53), b"?"));
    let used = Choices { sockets: 15, ..world };
    book.scenario("host-socket", used)
        .at(UPLINK_IN, &udp((R, 53), (H, 8_080), b"the host's own answer"))
        .at(AT_C1, &tcp(SYN, (C1, 61_000), (R, 80), &[]));
}

fn tables(book: &mut Book, world: Choices) {
    let (client, service) = ((R, 40_000), (H, 8_080));
    let (request, data) = (tcp(SYN, client, service, &[]), tcp(ACK, client, service, b"data"));
    // One twin is gone, and another flow has taken its place.
    book.scenario("lost-twin", world)
        .at(UPLINK_IN, &request)
        .step(&Step::Evict(0))
        .step(&Step::Tick(1))
        .at(UPLINK_IN, &data)
        .at(UPLINK_IN, &tcp(SYN, client, (H, 8_080), &[]));
    book.scenario("unpublished", world)
        .at(UPLINK_IN, &request)
        .step(&Step::Unpublish(0))
        .answer(AT_C1)
        .at(UPLINK_IN, &data)
        .at(UPLINK_IN, &udp(client, service, b"published still"));
    book.scenario("no-endpoint", world)
        .at(UPLINK_IN, &tcp(SYN, client, (H, 9_002), &[]))
        .at(UPLINK_IN, &tcp(SYN, client, (H, 9_003), &[]))
        .at(UPLINK_IN, &tcp(SYN, client, (LOST, 90), &[]));
    let wild = Choices {
        kind: world.kind | Choices::WILD,
        ..world
    };
    book.scenario("wild-tables", wild)
        .step(&Step::Wild(&[0, 0, 1, 0, 4, 4, 1, 0, 0, 11, 0, 1, 0, 9]))
        .at(UPLINK_IN, &request)
        .step(&Step::WildFragment(&[0, 1, 2, 17, 5, 17, 4, 0, 16, 0]))
        .at(UPLINK_IN, &data);
}
