//! First packets: what might open a flow, and where it would come.

use netmap_common::maps::{FlowKey, Hook, IfIndex, Port, Protocol};
use netmap_tests::programs::{
    Frame,
    scenery::{
        Places,
        interface::{BR1, BR2, BR3, STRANGER, UP0, UP1, UP2, VC1, VC1B, VC1C, VC2, VC3},
    },
};
use proptest::{prelude::*, sample::select};

const UPLINKS: &[IfIndex] = &[UP0, UP1, UP2];

/// Containers, and where they are.
fn ports<A: Places>() -> impl Strategy<Value = (IfIndex, A)> {
    select(vec![
        (VC1, A::C1),
        (VC1B, A::C1B),
        (VC1C, A::C1C),
        (VC2, A::C2),
        (VC3, A::C3),
        (STRANGER, A::C1),
    ])
}

/// Protocol, source, its port, destination, its port.
type Opening<A> = (Protocol, A, Port, A, Port);

/// The first packet of something, where it would come.
pub(crate) fn fresh<A: Places>() -> impl Strategy<Value = ((Hook, IfIndex), Frame<A>)> {
    let opening = prop_oneof![
        8 => (select(UPLINKS), outside(), inside(), port(), published(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkIn, uplink), (protocol, src, from, dst, to))),
        4 => (ports(), inside(), port(), published(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        6 => (ports(), outside(), port(), remote_port(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        2 => (select(UPLINKS), inside(), outside(), port(), remote_port(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkOut, uplink), (protocol, src, from, dst, to))),
        // Strangers and neighbours at ports that mappings may have.
        3 => mapped(),
        // An answer to the host's own socket.
        1 => Just(((Hook::UplinkIn, UP0), (Protocol::Udp, A::NEAR, Port(5_353), A::HOST, Port(53)))),
        1 => (select(&[BR1, BR2, BR3][..]), inside(), prop_oneof![inside(), outside()], port(), published(), protocol())
            .prop_map(|(bridge, src, dst, from, to, protocol)| ((Hook::BridgeIn, bridge), (protocol, src, from, dst, to))),
    ];
    (opening, options(), payload()).prop_map(|((place, (protocol, src, from, dst, to)), options, payload)| {
        let to = if protocol == Protocol::Icmp { Port(0) } else { to };
        let key = FlowKey::new(protocol, src, from, dst, to);
        (
            place,
            Frame {
                options,
                payload,
                ..Frame::new(key, 0)
            },
        )
    })
}

/// Boxed: written out, the whole would be too large for a test's stack.
fn mapped<A: Places>() -> BoxedStrategy<((Hook, IfIndex), Opening<A>)> {
    let places = prop_oneof![
        4 => (select(UPLINKS), outside()).prop_map(|(uplink, src)| ((Hook::UplinkIn, uplink), src)),
        2 => ports().prop_map(|(index, src)| ((Hook::PortIn, index), src)),
    ];
    let hosts = select(vec![A::HOST, A::HOST2, A::HOST3]);
    (places, hosts, port(), masqueraded(), protocol())
        .prop_map(|((place, src), dst, from, to, protocol)| (place, (protocol, src, from, dst, to)))
        .boxed()
}

fn outside<A: Places>() -> impl Strategy<Value = A> {
    prop_oneof![
        12 => select(vec![A::NEAR, A::FAR, A::BEYOND_UP1]),
        2 => select(vec![A::BEYOND_UP2, A::BEYOND_LAN, A::UNREACHABLE]),
        1 => select(A::ODD),
    ]
}

fn inside<A: Places>() -> impl Strategy<Value = A> {
    prop_oneof![
        4 => select(vec![A::HOST, A::HOST2]),
        2 => select(vec![A::HOST3, A::GATEWAY1, A::GATEWAY2]),
        2 => select(vec![A::C1, A::C1B, A::C1C, A::C2, A::C3, A::BY_STACK, A::LOST]),
    ]
}

/// One of the pool, or a well-known one.
fn masqueraded() -> impl Strategy<Value = Port> {
    prop_oneof![1_024..=1_031_u16, 61_000..=61_003_u16, Just(500)].prop_map(Port)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![4 => Just(Protocol::Tcp), 4 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp)]
}

fn published() -> impl Strategy<Value = Port> {
    prop_oneof![
        6 => select(&[8_080_u16, 8_443, 8_444, 20_003][..]),
        6 => select(&[53_u16, 443, 444, 22, 9_000, 9_001, 9_002, 9_003, 7_000, 7_001, 20_015, 20_016][..]),
        1 => any::<u16>(),
    ]
    .prop_map(Port)
}

fn remote_port() -> impl Strategy<Value = Port> {
    prop_oneof![12 => select(&[80_u16, 53, 443][..]), 1 => any::<u16>()].prop_map(Port)
}

/// A client's port: below 1,024, in the pool, taken by the host, above.
fn port() -> impl Strategy<Value = Port> {
    prop_oneof![
        12 => select(&[500_u16, 1_024, 1_026, 1_027, 1_029, 1_030, 5_353, 40_000, 40_001, 40_002, 61_003][..]),
        1 => any::<u16>(),
    ]
    .prop_map(Port)
}

fn options() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0), 1 => 1..=10_u8]
}

fn payload() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 0..40_u16, 1 => 1_200..1_290_u16]
}
