//! How long a flow lives without a packet.

use super::tcp::State;
use crate::maps::{Flow, Kind, Protocol, Seconds};

/// How long a flow may be idle, from its two entries.
///
/// | flow | seconds | source |
/// |---|---|---|
/// | TCP, established | 432,000 | as the kernel's own NAT; RFC 5382, REQ-5 wants 7,440 at least |
/// | TCP, opening from outside | 60 | opened by anybody: a flood must not fill the table |
/// | TCP, opening from a container, closed or reset | 240 | RFC 5382, REQ-5: "transitory"; RFC 6888, REQ-8: ports rest 120 |
/// | UDP, answered | 300 | RFC 4787, REQ-5: "five minutes or more is RECOMMENDED" |
/// | UDP, not answered, to the outside | 120 | RFC 4787, REQ-5: not less than two minutes |
/// | UDP, not answered, to a published port | 30 | opened by anybody: a flood must not fill the table |
/// | ICMP echo | 60 | RFC 5508, REQ-2 |
pub fn lifetime(original: &Flow, reply: &Flow) -> Seconds {
    let answered = reply.packets > 0;
    Seconds(match Protocol::from_number(original.to.protocol) {
        Some(Protocol::Tcp) => match State::of(original.tcp, reply.tcp) {
            State::Established => 432_000,
            State::Opening if original.kind() == Some(Kind::Published) => 60,
            State::Opening | State::Closed | State::Reset => 240,
        },
        Some(Protocol::Udp) if answered => 300,
        Some(Protocol::Udp) if original.kind() == Some(Kind::Egress) => 120,
        Some(Protocol::Udp) => 30,
        Some(Protocol::Icmp) | None => 60,
    })
}

/// The flow's state in a word.
pub fn state_name(original: &Flow, reply: &Flow) -> &'static str {
    match Protocol::from_number(original.to.protocol) {
        Some(Protocol::Tcp) => State::of(original.tcp, reply.tcp).name(),
        _ if reply.packets > 0 => "answered",
        _ => "unanswered",
    }
}
