//! A flow's state in a word.

use netmap_common::maps::{Flow, Protocol};

const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The flow's state, from its two entries.
pub(super) fn state_name(original: &Flow, reply: &Flow) -> &'static str {
    if Protocol::from_number(original.to.protocol) != Some(Protocol::Tcp) {
        return if reply.packets > 0 {
            "answered"
        } else {
            "unanswered"
        };
    }
    let both = original.tcp.0 & reply.tcp.0;
    if (original.tcp.0 | reply.tcp.0) & RST != 0 {
        "reset"
    } else if both & ACK == 0 {
        "opening"
    } else if both & FIN != 0 {
        "closed"
    } else {
        "established"
    }
}
