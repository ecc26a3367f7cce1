//! Where a translated packet goes on, and what must hold for it.

use super::{Datagram, Env, Route, flow::Translation};
use crate::maps::{FlowKey, Hook, IfIndex, Kind, Protocol, Reason, Side, Way};

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

/// The way of a translated packet. `whole` says that it is neither a fragment nor an ICMP error: those are not answered
/// (RFC 1122, 3.2.2).
#[inline(always)]
pub(super) fn choose<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    translation: &Translation<'_, E::Ip>,
    whole: bool,
) -> Result<Carried, Reason> {
    let &Translation {
        kind, side, way, out, ..
    } = translation;
    let (way, reason) = if hook == Hook::UplinkOut || way == Way::Stack {
        (Way::Stack, reason(kind, side, true))
    } else {
        match check(env, datagram, way, out) {
            Ok(()) => (way, reason(kind, side, false)),
            Err(why) => (answerable(env, hook, datagram, whole, why)?, Reason::HostAnswers),
        }
    };
    let verdict = match way {
        Way::Peer => Verdict::Peer(out),
        Way::Neigh => Verdict::Neigh(out),
        Way::Stack => Verdict::Stack,
    };
    Ok(Carried { verdict, reason })
}

/// What must hold before a packet is translated and sent on past the host's stack. Where it does not, the packet
/// goes to the stack as it came, so that the stack answers: "time exceeded" (RFC 1812, 5.3.1) or "fragmentation
/// needed" (RFC 1191, 4).
#[inline(always)]
pub(super) fn check<E: Env>(
    env: &E,
    datagram: &Datagram<E::Ip>,
    way: Way,
    out: IfIndex,
) -> Result<(), Reason> {
    if way != Way::Stack && datagram.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    // `bpf_redirect_peer` delivers whatever the container's interface would: it needs no check.
    if way == Way::Neigh && !env.fits(out) {
        return Err(Reason::TooBig);
    }
    Ok(())
}

/// The way of a packet inside a flow that cannot be sent on. What is addressed to this host would not be forwarded by the
/// stack but delivered, and the host would reset a connection that is not its own: so where the stack would forward it
/// once it is translated, it is, and the stack answers. That answer is translated as it leaves.
#[inline(always)]
fn answerable<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    whole: bool,
    why: Reason,
) -> Result<Way, Reason> {
    if whole && hook == Hook::UplinkIn && is_forwarded(env, &datagram.key) {
        return Ok(Way::Stack);
    }
    let is_for_host = hook == Hook::UplinkIn || env.is_local(datagram.key.dst);
    Err(match why {
        Reason::TtlExpired if is_for_host => Reason::TtlExpiredInFlow,
        Reason::TooBig if is_for_host && datagram.protocol == Protocol::Tcp => Reason::TooBigInFlow,
        why => why,
    })
}

/// Whether the host would forward what a flow makes of a packet. Not inlined, for its stack: few packets come here.
#[inline(never)]
fn is_forwarded<E: Env>(env: &E, key: &FlowKey<E::Ip>) -> bool {
    env.flow(key)
        .is_some_and(|flow| matches!(env.route(&flow.to, env.arrival()), Route::Out(_)))
}

const fn reason(kind: Kind, side: Side, on_stack: bool) -> Reason {
    match (kind, side, on_stack) {
        (Kind::Published, Side::Original, false) => Reason::PublishedIn,
        (Kind::Published, Side::Reply, false) => Reason::PublishedReply,
        (Kind::Egress, Side::Original, false) => Reason::EgressOut,
        (Kind::Egress, Side::Reply, false) => Reason::EgressReply,
        (Kind::Mapped | Kind::Mapping, Side::Original, _) => Reason::MappedIn,
        (Kind::Mapped | Kind::Mapping, Side::Reply, _) => Reason::MappedReply,
        (Kind::Hairpin, Side::Original, _) => Reason::HairpinIn,
        (Kind::Hairpin, Side::Reply, _) => Reason::HairpinReply,
        (Kind::Direct, Side::Original, _) => Reason::DirectIn,
        (Kind::Direct, Side::Reply, _) => Reason::DirectReply,
        (Kind::OwnPort, Side::Original, _) => Reason::OwnPortIn,
        (Kind::OwnPort, Side::Reply, _) => Reason::OwnPortReply,
        (Kind::Published, Side::Original, true) => Reason::StackPublishedIn,
        (Kind::Published, Side::Reply, true) => Reason::StackPublishedReply,
        (Kind::Egress, Side::Original, true) => Reason::StackEgressOut,
        (Kind::Egress, Side::Reply, true) => Reason::StackEgressReply,
    }
}
