//! TCP as a NAT sees it: flags in both directions, nothing of sequence numbers.

use crate::maps::TcpSeen;

/// Flags in the header's byte 13.
pub(super) mod flag {
    /// No more data from the sender.
    pub(crate) const FIN: u8 = 0x01;
    /// Opens a connection.
    pub(crate) const SYN: u8 = 0x02;
    /// Resets it.
    pub(crate) const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub(crate) const ACK: u8 = 0x10;
}

/// Whether these flags ask for a new connection.
#[inline(always)]
pub(super) const fn opens(flags: u8) -> bool {
    flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN
}

/// State of a connection, from what both directions have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not acknowledged in both directions yet.
    Opening,
    /// Acknowledged in both directions, open in at least one (RFC 5382, REQ-3: half-closed stays usable).
    Established,
    /// Closed in both directions; the pair of ports rests.
    Closed,
    /// Reset by one side. RFC 7857, 2.2: the mapping is kept for a while, for a reset may be forged; it is forgotten
    /// when that side goes on (RFC 6146, 3.5.2.2).
    Reset,
}

impl State {
    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }

    /// The state that two directions make together.
    pub const fn of(one: TcpSeen, other: TcpSeen) -> Self {
        let both = one.0 & other.0;
        if (one.0 | other.0) & flag::RST != 0 {
            Self::Reset
        } else if both & flag::ACK == 0 {
            Self::Opening
        } else if both & flag::FIN != 0 {
            Self::Closed
        } else {
            Self::Established
        }
    }
}

impl TcpSeen {
    /// Whether this direction has no more to say.
    pub const fn has_ended(self) -> bool {
        self.0 & (flag::FIN | flag::RST) != 0
    }

    /// What this direction has shown after a packet with `flags`.
    ///
    /// A SYN after FIN or RST begins anew (the port pair is used again); a SYN on a live connection changes nothing,
    /// so that nobody off the path can demote it (RFC 5382, 2; RFC 793 answers it with a challenge). Who goes on after
    /// a RST has not sent it: somebody else has forged it.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, flags: u8) -> Self {
        const KEPT: u8 = flag::FIN | flag::SYN | flag::RST | flag::ACK;
        let reopened = flags & flag::SYN != 0 && self.0 & (flag::FIN | flag::RST) != 0;
        let before = if reopened { 0 } else { self.0 & !flag::RST };
        Self(before | (flags & KEPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(packets: &[u8]) -> TcpSeen {
        packets
            .iter()
            .fold(TcpSeen::default(), |seen, flags| seen.after(*flags))
    }

    #[test]
    fn a_connection_is_established_once_both_sides_acknowledge() {
        let client = seen(&[flag::SYN, flag::ACK]);
        assert_eq!(State::of(seen(&[flag::SYN]), TcpSeen::default()), State::Opening);
        assert_eq!(
            State::of(seen(&[flag::SYN]), seen(&[flag::SYN | flag::ACK])),
            State::Opening
        );
        assert_eq!(
            State::of(client, seen(&[flag::SYN | flag::ACK])),
            State::Established
        );
    }

    #[test]
    fn one_fin_leaves_it_established_and_two_close_it() {
        let closing = seen(&[flag::SYN, flag::ACK, flag::FIN | flag::ACK]);
        let open = seen(&[flag::SYN | flag::ACK]);
        assert_eq!(State::of(closing, open), State::Established);
        assert_eq!(
            State::of(closing, open.after(flag::FIN | flag::ACK)),
            State::Closed
        );
    }

    #[test]
    fn a_syn_on_a_closed_connection_opens_it_anew() {
        let closed = seen(&[flag::SYN, flag::ACK, flag::FIN | flag::ACK]);
        assert_eq!(State::of(closed.after(flag::SYN), closed), State::Opening);
        assert_eq!(
            State::of(seen(&[flag::RST]).after(flag::SYN), TcpSeen::default()),
            State::Opening
        );
    }

    #[test]
    fn a_reset_that_its_sender_does_not_keep_to_was_forged() {
        let (live, peer) = (seen(&[flag::SYN, flag::ACK]), seen(&[flag::SYN | flag::ACK]));
        let reset = live.after(flag::RST);
        assert_eq!(State::of(reset, peer), State::Reset);
        assert_eq!(State::of(reset.after(flag::ACK), peer), State::Established);
        assert_eq!(State::of(reset.after(flag::RST | flag::ACK), peer), State::Reset);
    }

    #[test]
    fn a_syn_on_a_live_connection_does_not_demote_it() {
        let live = seen(&[flag::SYN, flag::ACK]);
        assert_eq!(
            State::of(live.after(flag::SYN), seen(&[flag::SYN | flag::ACK])),
            State::Established
        );
    }
}
