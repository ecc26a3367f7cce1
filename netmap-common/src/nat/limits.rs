//! Everybody's share of the table: a container at its limit, or a flood from one place outside, leaves room for others
//! (RFC 6888, REQ-4 and REQ-5).

use super::{Datagram, Env, ports::Wish};
use crate::maps::{Payer, Reason};

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
    }
    env.opened(wish);
}

#[inline(always)]
fn is_full<E: Env>(env: &E, payer: &Payer<E::Ip>, most: u32) -> bool {
    most != 0 && env.load(payer) >= u64::from(most)
}
