//! By which address of this host a container leaves, where its bridge has some of its own (`netmap run --egress`).
//!
//! A container has one of them for all that it sends, told by its own address alone: "paired" pooling (RFC 4787, REQ-2;
//! RFC 7857, 4), without a state that could be lost. The daemon sees to it that a place has an address while the host has
//! any of the bridge's: so a container changes to another only when its own goes, and nobody else does.

use super::{Env, hash::scatter, ports::Wish};
use crate::maps::{EgressPlace, Ip, Network, Reason};

/// Gives the flow that is wished for the container's address outside.
// Not inlined: few bridges have such addresses, and it needs stack of its own.
#[inline(never)]
pub(super) fn choose<E: Env>(
    env: &E,
    network: &Network<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let place = EgressPlace {
        bridge: network.bridge,
        number: place(wish.from.src, network.egress_places()),
    };
    wish.to.src = env.egress(&place).ok_or(Reason::NoEgressAddress)?;
    Ok(())
}

/// The place of a container, of so many. Neighbouring addresses need not have neighbouring places: hosts that give out
/// every second address would use every second place only.
#[inline(always)]
fn place<A: Ip>(container: A, places: u32) -> u32 {
    let [first, second, third, last] = container.words();
    let folded = first ^ second.rotate_left(8) ^ third.rotate_left(16) ^ last;
    scatter(folded).checked_rem(places).unwrap_or(0)
}
