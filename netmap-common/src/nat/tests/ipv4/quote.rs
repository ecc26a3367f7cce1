//! What a message about a refused packet quotes of its header.

use super::{
    message::{full, told},
    *,
};

#[test]
fn options_are_quoted_too() {
    let packet = udp(r(40_000), h(8_080)).options(vec![7, 7, 4, 0, 0, 0, 0, 0]);
    let message = Sample::read(&told(&full(), UPLINK_IN, &packet.bytes()).unwrap());
    assert_eq!(message.payload.len(), HEADER + 8 + 8);
    assert_eq!(message.payload[HEADER..][..8], [7, 7, 4, 0, 0, 0, 0, 0]);
}
