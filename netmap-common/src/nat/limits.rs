//! Everybody's share of the table: a container at its limit, or a flood from one place outside, leaves room for others
//! (RFC 6888, REQ-4 and REQ-5).

use super::{Datagram, Env, ports::Wish};
use crate::maps::{FlowKey, Opening, Payer, Reason, Side};

/// Whether there is room for the flow in its payers' shares.
// Not inlined, like the other: few packets come here, and it needs stack of its own.
#[inline(never)]
pub(super) fn admit<E: Env>(env: &E, datagram: &Datagram<E::Ip>, wish: &Wish<E::Ip>) -> Result<(), Reason> {
    let limits = env.limits();
    if let Some(source) = Payer::source(wish.kind(), &datagram.key)
        && is_full(env, &source, limits.source_flows)
    {
        return Err(Reason::SourceFull);
    }
    let container = Payer::container(wish.kind(), &datagram.key, &wish.to);
    if is_full(env, &container, limits.container_flows) {
        return Err(Reason::ContainerFull);
    }
    if limits.container_rate != 0 && !env.may_open(&container, limits.container_rate) {
        return Err(Reason::ContainerTooFast);
    }
    Ok(())
}

/// The flow is there. Two CPUs that open it at once count it twice, until the sweeper counts.
#[inline(never)]
pub(super) fn count<E: Env>(env: &E, datagram: &Datagram<E::Ip>, wish: &Wish<E::Ip>) {
    env.add_load(&Payer::container(wish.kind(), &datagram.key, &wish.to));
    if let Some(source) = Payer::source(wish.kind(), &datagram.key) {
        env.add_load(&source);
        displace(env, wish);
    }
    env.opened(wish);
}

/// Somebody outside has opened a flow. Where there are as many such as may be, the one that was opened first is no longer among
/// them, and ends if nobody has confirmed it yet. So a flood by forged addresses has no more than its share of the table, and
/// keeps nobody out of that.
#[inline(always)]
fn displace<E: Env>(env: &E, wish: &Wish<E::Ip>) {
    let opening = Opening {
        key: wish.from,
        nonce: wish.nonce(),
    };
    if let Some(former) = env.push_opening(&opening) {
        give_way(env, &former.key, former.nonce);
    }
}

/// Ends the flow of this nonce that `key` opened, if nobody has confirmed it yet.
#[inline(never)]
fn give_way<E: Env>(env: &E, key: &FlowKey<E::Ip>, nonce: u32) {
    let Some(flow) = env.flow(key) else { return };
    let (Some(kind), Side::Original) = (flow.kind(), flow.side()) else {
        return;
    };
    let twin = flow.twin();
    let Some(reply) = env.flow(&twin) else { return };
    if flow.nonce != nonce || reply.nonce != nonce || !Opening::gives_way(&flow, &reply) {
        return;
    }
    env.remove(key, nonce);
    env.remove(&twin, nonce);
    env.drop_load(&Payer::container(kind, key, &flow.to));
    if let Some(source) = Payer::source(kind, key) {
        env.drop_load(&source);
    }
}

#[inline(always)]
fn is_full<E: Env>(env: &E, payer: &Payer<E::Ip>, most: u32) -> bool {
    most != 0 && env.load(payer) >= u64::from(most)
}
