//! Where a translated packet goes on, and what must hold for it.

use super::{Datagram, Env, flow::Translation};
use crate::maps::{Hook, IfIndex, Kind, Protocol, Reason, Side, Way};

/// How a translated packet leaves its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Into the network namespace behind this veth; the time to live is one less.
    Peer(IfIndex),
    /// Out of this interface, the kernel filling in link-layer addresses; the time to live is one less.
    Neigh(IfIndex),
    /// On through the host's stack, which decrements the time to live itself.
    Stack,
}

impl Verdict {
    /// Whether netmap routes the packet itself, and so takes one off its time to live (RFC 1812, 5.3.1).
    #[inline(always)]
    pub const fn is_routed(self) -> bool {
        !matches!(self, Self::Stack)
    }
}

/// A packet that was translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where it goes.
    pub verdict: Verdict,
    /// What it is counted as.
    pub reason: Reason,
}

impl Carried {
    /// Not carried yet.
    #[inline(always)]
    pub(super) const fn nowhere(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Stack,
            reason,
        }
    }
}

/// The way of a translated packet.
#[inline(always)]
pub(super) fn choose<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram,
    translation: &Translation,
) -> Result<Carried, Reason> {
    let &Translation {
        kind, side, way, out, ..
    } = translation;
    let on_stack = hook == Hook::UplinkOut || way == Way::Stack;
    let reason = reason(kind, side, on_stack);
    if on_stack {
        return Ok(Carried {
            verdict: Verdict::Stack,
            reason,
        });
    }
    check(env, datagram, way, out).map_err(|why| in_flow(env, hook, datagram, why))?;
    let verdict = if way == Way::Peer {
        Verdict::Peer(out)
    } else {
        Verdict::Neigh(out)
    };
    Ok(Carried { verdict, reason })
}

/// What must hold before a packet is translated and sent on past the host's stack. Where it does not, the packet
/// goes to the stack as it came, so that the stack answers: "time exceeded" (RFC 1812, 5.3.1) or "fragmentation
/// needed" (RFC 1191, 4).
#[inline(always)]
pub(super) fn check<E: Env>(env: &E, datagram: &Datagram, way: Way, out: IfIndex) -> Result<(), Reason> {
    if way != Way::Stack && datagram.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    // `bpf_redirect_peer` delivers whatever the container's interface would: it needs no check.
    if way == Way::Neigh && !env.fits(out) {
        return Err(Reason::TooBig);
    }
    Ok(())
}

/// The reason to give inside a flow: what is addressed to this host would not be forwarded by the stack but delivered,
/// and the host would reset a connection that is not its own. A datagram that is too big may go there: the proxy sends
/// it on in fragments.
#[inline(always)]
fn in_flow<E: Env>(env: &E, hook: Hook, datagram: &Datagram, why: Reason) -> Reason {
    let is_for_host = hook == Hook::UplinkIn || env.is_local(datagram.key.dst);
    match why {
        Reason::TtlExpired if is_for_host => Reason::TtlExpiredInFlow,
        Reason::TooBig if is_for_host && datagram.protocol == Protocol::Tcp => Reason::TooBigInFlow,
        why => why,
    }
}

const fn reason(kind: Kind, side: Side, on_stack: bool) -> Reason {
    match (kind, side, on_stack) {
        (Kind::Published, Side::Original, false) => Reason::PublishedIn,
        (Kind::Published, Side::Reply, false) => Reason::PublishedReply,
        (Kind::Egress, Side::Original, false) => Reason::EgressOut,
        (Kind::Egress, Side::Reply, false) => Reason::EgressReply,
        (Kind::Hairpin, Side::Original, _) => Reason::HairpinIn,
        (Kind::Hairpin, Side::Reply, _) => Reason::HairpinReply,
        (Kind::OwnPort, Side::Original, _) => Reason::OwnPortIn,
        (Kind::OwnPort, Side::Reply, _) => Reason::OwnPortReply,
        (Kind::Published, Side::Original, true) => Reason::StackPublishedIn,
        (Kind::Published, Side::Reply, true) => Reason::StackPublishedReply,
        (Kind::Egress, Side::Original, true) => Reason::StackEgressOut,
        (Kind::Egress, Side::Reply, true) => Reason::StackEgressReply,
    }
}
