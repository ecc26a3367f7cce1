//! A container sends from its own addresses only, where they are known: not in the name of a neighbour on its bridge.

use super::Env;
use crate::maps::{FlowKey, Interface, Reason};

/// Whether what came by a bridge port may have the source that it has. Asked where there is no flow yet: a flow's packets
/// count by its own port alone. What is in none of the bridge's networks is judged by others, for other reasons.
// Not inlined, for its stack.
#[inline(never)]
pub(super) fn check<E: Env>(env: &E, key: &FlowKey<E::Ip>) -> Result<(), Reason> {
    let port = env.arrival();
    if let Some(owner) = env.owner(key.src) {
        return if owner == port {
            Ok(())
        } else {
            Err(Reason::SpoofedSource)
        };
    }
    let Some(arrival) = env.interface(port) else {
        return Ok(());
    };
    let is_known = arrival.flags & Interface::<E::Ip>::KNOWN != 0;
    let is_inside = || {
        env.network(key.src)
            .is_some_and(|network| network.bridge == arrival.bridge)
    };
    if is_known && is_inside() {
        return Err(Reason::SpoofedSource);
    }
    Ok(())
}
