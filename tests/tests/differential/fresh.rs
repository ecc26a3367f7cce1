//! First packets: what might open a flow, and where it would come.

use netmap_common::maps::{Address, FlowKey, Hook, IfIndex, Port, Protocol};
use netmap_tests::programs::{
    Frame,
    scenery::{
        address::{
            BEYOND_LAN, BEYOND_UP1, BEYOND_UP2, BY_STACK, C1, C1B, C1C, C2, C3, FAR, GATEWAY1, GATEWAY2,
            HOST, HOST2, HOST3, LOST, NEAR, UNREACHABLE, of,
        },
        interface::{BR1, BR2, BR3, STRANGER, UP0, UP1, UP2, VC1, VC1B, VC1C, VC2, VC3},
    },
};
use proptest::{prelude::*, sample::select};

const UPLINKS: &[IfIndex] = &[UP0, UP1, UP2];
const PORTS: &[(IfIndex, Address)] = &[
    (VC1, C1),
    (VC1B, C1B),
    (VC1C, C1C),
    (VC2, C2),
    (VC3, C3),
    (STRANGER, C1),
];
/// The first packet of something, where it would come.
pub(crate) fn fresh() -> impl Strategy<Value = ((Hook, IfIndex), Frame)> {
    let opening = prop_oneof![
        8 => (select(UPLINKS), outside(), inside(), port(), published(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkIn, uplink), (protocol, src, from, dst, to))),
        4 => (select(PORTS), inside(), port(), published(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        6 => (select(PORTS), outside(), port(), remote_port(), protocol())
            .prop_map(|((index, src), dst, from, to, protocol)| ((Hook::PortIn, index), (protocol, src, from, dst, to))),
        2 => (select(UPLINKS), inside(), outside(), port(), remote_port(), protocol())
            .prop_map(|(uplink, src, dst, from, to, protocol)| ((Hook::UplinkOut, uplink), (protocol, src, from, dst, to))),
        // An answer to the host's own socket.
        1 => Just(((Hook::UplinkIn, UP0), (Protocol::Udp, NEAR, Port(5_353), HOST, Port(53)))),
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

fn outside() -> impl Strategy<Value = Address> {
    const ODD: &[[u8; 4]] = &[
        [224, 0, 0, 5],
        [255, 255, 255, 255],
        [169, 254, 1, 1],
        [127, 0, 0, 1],
        [0, 0, 0, 0],
        [192, 168, 50, 255],
        [172, 30, 9, 9],
    ];
    prop_oneof![
        12 => select(&[NEAR, FAR, BEYOND_UP1][..]),
        2 => select(&[BEYOND_UP2, BEYOND_LAN, UNREACHABLE][..]),
        1 => select(ODD).prop_map(of),
    ]
}

fn inside() -> impl Strategy<Value = Address> {
    prop_oneof![
        4 => select(&[HOST, HOST2][..]),
        2 => select(&[HOST3, GATEWAY1, GATEWAY2][..]),
        2 => select(&[C1, C1B, C1C, C2, C3, BY_STACK, LOST][..]),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![4 => Just(Protocol::Tcp), 4 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp)]
}

fn published() -> impl Strategy<Value = Port> {
    prop_oneof![
        6 => select(&[8_080_u16, 8_443, 8_444, 20_003][..]),
        6 => select(&[53_u16, 443, 444, 22, 9_000, 9_001, 9_002, 7_000, 7_001, 20_015, 20_016][..]),
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
    prop_oneof![8 => 0..40_u16, 1 => 200..600_u16]
}
