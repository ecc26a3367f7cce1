//! How long a flow lives without a packet.

use super::tcp::State;
use crate::maps::{Flow, Ip, Kind, Protocol, Seconds};

/// A kind of flow that has a lifetime of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// TCP that both sides have acknowledged, and not both ended.
    TcpEstablished = 0,
    /// TCP that a container opens, and closed or reset TCP.
    TcpTransitory = 1,
    /// TCP that somebody outside opens.
    TcpOpeningFromOutside = 2,
    /// UDP that was answered.
    UdpAnswered = 3,
    /// UDP to the outside that was not.
    UdpUnanswered = 4,
    /// UDP to a published port that was not.
    UdpUnansweredFromOutside = 5,
    /// An echo request and its answers.
    IcmpEcho = 6,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::TcpEstablished,
        Self::TcpTransitory,
        Self::TcpOpeningFromOutside,
        Self::UdpAnswered,
        Self::UdpUnanswered,
        Self::UdpUnansweredFromOutside,
        Self::IcmpEcho,
    ];

    /// Its name in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpEstablished => "tcp-established",
            Self::TcpTransitory => "tcp-transitory",
            Self::TcpOpeningFromOutside => "tcp-opening-from-outside",
            Self::UdpAnswered => "udp-answered",
            Self::UdpUnanswered => "udp-unanswered",
            Self::UdpUnansweredFromOutside => "udp-unanswered-from-outside",
            Self::IcmpEcho => "icmp-echo",
        }
    }

    /// The least that is sensible, and who says so.
    pub const fn floor(self) -> (Seconds, &'static str) {
        match self {
            Self::TcpEstablished => (Seconds(7_440), "RFC 5382, REQ-5: not less than 2 hours 4 minutes"),
            Self::TcpTransitory => (Seconds(240), "RFC 5382, REQ-5: not less than 4 minutes"),
            Self::UdpAnswered | Self::UdpUnanswered => {
                (Seconds(120), "RFC 4787, REQ-5: not less than two minutes")
            }
            Self::IcmpEcho => (Seconds(60), "RFC 5508, REQ-2: not less than 60 seconds"),
            Self::TcpOpeningFromOutside | Self::UdpUnansweredFromOutside => (
                Seconds(10),
                "RFC 6298, 2.1: an answer may be sent a third time by then",
            ),
        }
    }

    /// Whether its flows may go sooner where the table is nearly full: not those that somebody relies on.
    const fn gives_way(self) -> bool {
        !matches!(self, Self::TcpEstablished)
    }

    fn of<A: Ip>(original: &Flow<A>, reply: &Flow<A>) -> Self {
        let answered = reply.packets > 0;
        let is_mapping = original.kind() == Some(Kind::Mapping);
        match Protocol::from_number(original.to.protocol) {
            Some(Protocol::Tcp) if is_mapping => Self::TcpTransitory,
            Some(Protocol::Udp) if is_mapping => Self::UdpAnswered,
            Some(Protocol::Tcp) => match State::of(original.tcp, reply.tcp) {
                State::Established => Self::TcpEstablished,
                State::Opening if is_from_outside(original) => Self::TcpOpeningFromOutside,
                State::Opening | State::Closed | State::Reset => Self::TcpTransitory,
            },
            Some(Protocol::Udp) if answered => Self::UdpAnswered,
            Some(Protocol::Udp) if original.kind() == Some(Kind::Egress) => Self::UdpUnanswered,
            Some(Protocol::Udp) => Self::UdpUnansweredFromOutside,
            Some(Protocol::Icmp) | None => Self::IcmpEcho,
        }
    }
}

/// How long flows of each class may be idle.
///
/// | class | seconds by default | source |
/// |---|---|---|
/// | `tcp-established` | 432,000 | as the kernel's own NAT; RFC 5382, REQ-5 wants 7,440 at least |
/// | `tcp-transitory` | 240 | RFC 5382, REQ-5: "transitory"; RFC 6888, REQ-8: ports rest 120 |
/// | `tcp-opening-from-outside` | 60 | opened by anybody: a flood must not fill the table |
/// | `udp-answered` | 300 | RFC 4787, REQ-5: "five minutes or more is RECOMMENDED" |
/// | `udp-unanswered` | 120 | RFC 4787, REQ-5: not less than two minutes |
/// | `udp-unanswered-from-outside` | 30 | opened by anybody: a flood must not fill the table |
/// | `icmp-echo` | 60 | RFC 5508, REQ-2 |
///
/// A mapping lives as long after its last packet to the outside as an answered flow of UDP (RFC 4787, REQ-5 and REQ-6), or
/// as closed TCP; while it has open connections that idle, whoever ends flows sees to it that it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes([Seconds; Class::ALL.len()]);

impl Default for Lifetimes {
    fn default() -> Self {
        Self([432_000, 240, 60, 300, 120, 30, 60].map(Seconds))
    }
}

impl Lifetimes {
    /// The lifetime of a class.
    pub fn of_class(&self, class: Class) -> Seconds {
        self.0.get(class as usize).copied().unwrap_or_default()
    }

    /// Sets it. Whether it is sensible is for [`Class::floor`] to say.
    pub fn set(&mut self, class: Class, lifetime: Seconds) {
        if let Some(place) = self.0.get_mut(class as usize) {
            *place = lifetime;
        }
    }

    /// How long a flow may be idle, from its two entries.
    pub fn of<A: Ip>(&self, original: &Flow<A>, reply: &Flow<A>) -> Seconds {
        self.of_class(Class::of(original, reply))
    }

    /// All of them. Without a packet a flow's lifetime does not change, so it ends when one of these has passed and at no
    /// other time.
    pub const fn all(&self) -> [Seconds; Class::ALL.len()] {
        self.0
    }

    /// The shortest: no flow ends sooner.
    pub fn shortest(&self) -> Seconds {
        self.0.into_iter().min().unwrap_or_default()
    }

    /// How much is left of lifetimes where the table is so full, both in hundredths: from 80 up they shrink, to a quarter
    /// when it is full.
    pub fn left_at(fill: u32) -> u32 {
        const BEGIN: u32 = 80;
        const FULL: u32 = 100;
        const LEAST: u32 = 25;
        let over = fill.clamp(BEGIN, FULL) - BEGIN;
        100 - over * (100 - LEAST) / (FULL - BEGIN)
    }

    /// These where so much of them is left, in hundredths. Established connections live as long as ever.
    #[must_use]
    pub fn shrunk_to(&self, percent: u32) -> Self {
        let mut shrunk = *self;
        for class in Class::ALL.into_iter().filter(|class| class.gives_way()) {
            let lifetime = u64::from(self.of_class(class).0) * u64::from(percent) / 100;
            shrunk.set(class, Seconds(u32::try_from(lifetime).unwrap_or(u32::MAX).max(1)));
        }
        shrunk
    }
}

fn is_from_outside<A: Ip>(original: &Flow<A>) -> bool {
    matches!(
        original.kind(),
        Some(Kind::Published | Kind::Mapped | Kind::Direct)
    )
}

/// The flow's state in a word.
pub fn state_name<A: Ip>(original: &Flow<A>, reply: &Flow<A>) -> &'static str {
    if original.kind() == Some(Kind::Mapping) {
        return "kept";
    }
    match Protocol::from_number(original.to.protocol) {
        Some(Protocol::Tcp) => State::of(original.tcp, reply.tcp).name(),
        _ if reply.packets > 0 => "answered",
        _ => "unanswered",
    }
}
