//! How long a flow lives without a packet.

use super::tcp::State;
use crate::maps::{Flow, Ip, Kind, Protocol, Seconds};

const ESTABLISHED: Seconds = Seconds(432_000);
const TRANSITORY: Seconds = Seconds(240);
const OPENING_FROM_OUTSIDE: Seconds = Seconds(60);
const ANSWERED: Seconds = Seconds(300);
const UNANSWERED: Seconds = Seconds(120);
const UNANSWERED_FROM_OUTSIDE: Seconds = Seconds(30);
const ECHO: Seconds = Seconds(60);

/// Every lifetime that a flow can have, the shortest first. Without a packet a flow's lifetime does not change, so it ends
/// when one of these has passed and at no other time.
pub const LIFETIMES: [Seconds; 6] = [
    UNANSWERED_FROM_OUTSIDE,
    ECHO,
    UNANSWERED,
    TRANSITORY,
    ANSWERED,
    ESTABLISHED,
];

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
pub fn lifetime<A: Ip>(original: &Flow<A>, reply: &Flow<A>) -> Seconds {
    let answered = reply.packets > 0;
    match Protocol::from_number(original.to.protocol) {
        Some(Protocol::Tcp) => match State::of(original.tcp, reply.tcp) {
            State::Established => ESTABLISHED,
            State::Opening if original.kind() == Some(Kind::Published) => OPENING_FROM_OUTSIDE,
            State::Opening | State::Closed | State::Reset => TRANSITORY,
        },
        Some(Protocol::Udp) if answered => ANSWERED,
        Some(Protocol::Udp) if original.kind() == Some(Kind::Egress) => UNANSWERED,
        Some(Protocol::Udp) => UNANSWERED_FROM_OUTSIDE,
        Some(Protocol::Icmp) | None => ECHO,
    }
}

/// The flow's state in a word.
pub fn state_name<A: Ip>(original: &Flow<A>, reply: &Flow<A>) -> &'static str {
    match Protocol::from_number(original.to.protocol) {
        Some(Protocol::Tcp) => State::of(original.tcp, reply.tcp).name(),
        _ if reply.packets > 0 => "answered",
        _ => "unanswered",
    }
}
