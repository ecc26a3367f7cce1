//! The flow that a packet belongs to, if it still counts.

use super::{Datagram, Env, Family, mapping};
use crate::maps::{Flow, FlowKey, Hook, IfIndex, Kind, Reason, RuleId, Seen, Side, Way};

/// What a flow makes of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translation<'place, A: Family> {
    /// The packet after it.
    pub(super) to: &'place FlowKey<A>,
    /// Why it is translated.
    pub(super) kind: Kind,
    /// Which direction the packet has.
    pub(super) side: Side,
    /// How it goes on.
    pub(super) way: Way,
    /// Where that leads.
    pub(super) out: IfIndex,
}

/// The flow of a packet; `None` if it has none, or one whose rule has changed since: then it is decided anew. What the packet
/// becomes is left in `place`.
#[inline(always)]
pub(super) fn find<'place, E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    place: &'place mut FlowKey<E::Ip>,
) -> Result<Option<Translation<'place, E::Ip>>, Reason> {
    let seen = Seen {
        now: env.now(),
        packets: 1,
        bytes: datagram.length,
        tcp: datagram.tcp,
    };
    let Some(flow) = env.touch(&datagram.key, seen, |flow| {
        counts_at(hook, flow) && !is_forged(env, hook, flow) && sends(env, flow)
    }) else {
        return Ok(None);
    };
    // At once, or the copy would lie on the stack until it is wanted.
    *place = flow.to;
    // One look a second at the twin keeps the second lookup off the path of nearly every packet.
    let look = if flow.last_seen == seen.now {
        Look::Once
    } else {
        Look::AtTwin
    };
    judge(env, hook, &datagram.key, &flow, look, place)
}

/// The flow that an answer with this key would have. Nothing is recorded.
#[inline(always)]
pub(super) fn peek<'place, E: Env>(
    env: &E,
    hook: Hook,
    key: &FlowKey<E::Ip>,
    place: &'place mut FlowKey<E::Ip>,
) -> Result<Option<Translation<'place, E::Ip>>, Reason> {
    let Some(flow) = env.flow(key) else {
        return Ok(None);
    };
    *place = flow.to;
    judge(env, hook, key, &flow, Look::AtTwinOnly, place)
}

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The entry.
    Once,
    /// Its twin as well, and its mapping is kept.
    AtTwin,
    /// Its twin as well.
    AtTwinOnly,
}

/// What an entry makes of a packet at this hook, if it counts still.
#[inline(always)]
fn judge<'place, E: Env>(
    env: &E,
    hook: Hook,
    key: &FlowKey<E::Ip>,
    flow: &Flow<E::Ip>,
    look: Look,
    place: &'place mut FlowKey<E::Ip>,
) -> Result<Option<Translation<'place, E::Ip>>, Reason> {
    // An entry that no version of this code wrote would be the table's corruption, not the packet's fault.
    let (Some(kind), Some(way), side) = (flow.kind(), flow.way(), flow.side()) else {
        return Ok(None);
    };
    if !comes_in_at(hook, kind, side) {
        return Ok(None);
    }
    if is_forged(env, hook, flow) {
        return Err(Reason::SpoofedSource);
    }
    if !is_published_still(env, flow) {
        end(env, key, flow.nonce);
        return if side == Side::Original {
            Ok(None)
        } else {
            Err(Reason::Unpublished)
        };
    }
    if look != Look::Once && !has_twin(env, key, flow.nonce) {
        env.remove(key, flow.nonce);
        return Ok(None);
    }
    if look == Look::AtTwin && hook != Hook::UplinkIn {
        mapping::refresh(env, key);
    }
    if !is_carried_at(hook, flow) {
        return Err(Reason::StackFlow);
    }
    Ok(Some(Translation {
        to: place,
        kind,
        side,
        way,
        out: flow.out,
    }))
}

/// Whether a packet counts for the flow at this hook: what is forged elsewhere neither keeps it alive nor resets it.
#[inline(always)]
fn counts_at<A: Family>(hook: Hook, flow: &Flow<A>) -> bool {
    comes_in(hook, flow) && is_carried_at(hook, flow)
}

/// Whether packets of the flow's direction come in where the hook is.
#[inline(always)]
pub(super) fn comes_in<A: Family>(hook: Hook, flow: &Flow<A>) -> bool {
    flow.kind()
        .is_some_and(|kind| comes_in_at(hook, kind, flow.side()))
}

/// What a hook leaves to another is that one's to record.
#[inline(always)]
fn sends<E: Env>(env: &E, flow: &Flow<E::Ip>) -> bool {
    flow.way().is_some_and(|way| env.sends(&flow.to, way, flow.out))
}

/// Whether packets of this kind and direction come in where the hook is. Elsewhere the addresses are forged, or another
/// flow's.
#[inline(always)]
pub(super) const fn comes_in_at(hook: Hook, kind: Kind, side: Side) -> bool {
    let from_outside = matches!(
        (kind, side),
        (Kind::Published | Kind::Mapped | Kind::Direct, Side::Original) | (Kind::Egress, Side::Reply)
    );
    match hook {
        // A mapping has no packets: flows have.
        _ if matches!(kind, Kind::Mapping) => false,
        Hook::UplinkIn => from_outside,
        // What goes from one container to another has no business there.
        Hook::UplinkOut => {
            !from_outside && matches!(kind, Kind::Published | Kind::Direct | Kind::Egress | Kind::Mapped)
        }
        _ => !from_outside,
    }
}

/// Whether it comes by another container's port than the flow's own. What reaches the bridge's hook has passed some port.
#[inline(always)]
fn is_forged<E: Env>(env: &E, hook: Hook, flow: &Flow<E::Ip>) -> bool {
    hook == Hook::PortIn && flow.from != IfIndex(0) && flow.from != env.arrival()
}

/// What the host's stack forwards is translated at the uplink, not where it leaves the container.
#[inline(always)]
fn is_carried_at<A: Family>(hook: Hook, flow: &Flow<A>) -> bool {
    flow.way() != Some(Way::Stack) || !matches!(hook, Hook::PortIn | Hook::BridgeIn)
}

#[inline(always)]
fn is_published_still<E: Env>(env: &E, flow: &Flow<E::Ip>) -> bool {
    flow.rule == RuleId::default()
        || env
            .rule(flow.rule)
            .is_some_and(|rule| rule.generation == flow.generation)
}

/// An entry counts only if its twin points back: the nonce tells it from a later flow's entry under the same key.
// Not inlined, as few packets come here, and the entry looked up again, to leave the others the stack.
#[inline(never)]
pub(super) fn has_twin<E: Env>(env: &E, key: &FlowKey<E::Ip>, nonce: u32) -> bool {
    let Some(flow) = env.flow(key) else { return false };
    env.flow(&flow.twin())
        .is_some_and(|twin| twin.nonce == nonce && twin.twin() == *key)
}

/// Removes both entries.
#[inline(never)]
fn end<E: Env>(env: &E, key: &FlowKey<E::Ip>, nonce: u32) {
    let Some(flow) = env.flow(key) else { return };
    env.remove(key, nonce);
    env.remove(&flow.twin(), nonce);
}

impl<A: Family> Flow<A> {
    /// Records a packet of this direction.
    #[inline(always)]
    pub fn record(&mut self, seen: Seen) {
        // The line is written once a second at most for this, not once a packet.
        if self.last_seen != seen.now {
            self.last_seen = seen.now;
        }
        let tcp = self.tcp.after(seen.tcp);
        if self.tcp != tcp {
            self.tcp = tcp;
        }
        self.packets = self.packets.wrapping_add(u64::from(seen.packets));
        self.bytes = self.bytes.wrapping_add(u64::from(seen.bytes));
    }
}
