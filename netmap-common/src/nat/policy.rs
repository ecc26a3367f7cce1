//! What is refused whatever is published.

use super::{Env, Family, parse::Internet};
use crate::maps::{Hook, Ip as _, Network, Reason};

/// Refuses loopback addresses on a wire or from a container: "addresses of this form MUST NOT appear outside a host"
/// (RFC 1122, 3.2.1.3 g; RFC 4291, 2.5.3).
#[inline(always)]
pub(super) fn addresses<A: Family>(hook: Hook, internet: &Internet<A>) -> Result<(), Reason> {
    let from_a_wire = !matches!(hook, Hook::UplinkOut);
    if from_a_wire && (internet.src.is_loopback() || internet.dst.is_loopback()) {
        return Err(Reason::LoopbackOnWire);
    }
    Ok(())
}

/// The reason to give for a packet that cannot be translated: one that must not pass has its own.
#[inline(always)]
pub(super) fn stray<E: Env>(env: &E, hook: Hook, internet: &Internet<E::Ip>, why: Reason) -> Reason {
    match hook {
        Hook::UplinkOut => leaving(env, internet.src),
        _ if reaches_container(env, hook, internet) => Reason::DirectAccess,
        Hook::PortIn | Hook::BridgeIn if leaves_internal(env, internet) => Reason::InternalNetwork,
        _ => why,
    }
}

/// Whether the host would route it to a container: from outside, or from another bridge.
#[inline(always)]
fn reaches_container<E: Env>(env: &E, hook: Hook, internet: &Internet<E::Ip>) -> bool {
    // "Routers must not forward" what a link-local address sends (RFC 4291, 2.5.6): it is for a neighbour, and a container
    // asks another with it whether it is still there (RFC 4861, 7.3.3).
    if E::Ip::HAS_ZONES && internet.src.is_link_local() {
        return false;
    }
    let Some(network) = env.network(internet.dst) else {
        return false;
    };
    let is_neighbour = || {
        env.network(internet.src)
            .is_some_and(|own| own.bridge == network.bridge)
    };
    !env.is_local(internet.dst) && (hook == Hook::UplinkIn || !is_neighbour())
}

/// What becomes of what the host sends out with this source.
#[inline(always)]
fn leaving<E: Env>(env: &E, src: E::Ip) -> Reason {
    match env.network(src) {
        // The bridge's own address is the host's.
        Some(_) if env.is_local(src) => Reason::FromHost,
        Some(network) if network.is_internal() => Reason::InternalNetwork,
        Some(network) if network.is_plain() => Reason::NotMasqueraded,
        Some(_) => Reason::WouldLeak,
        None => Reason::FromHost,
    }
}

/// From a container of an internal network to somebody who is neither a neighbour nor the host.
#[inline(always)]
fn leaves_internal<E: Env>(env: &E, internet: &Internet<E::Ip>) -> bool {
    let (src, dst) = (internet.src, internet.dst);
    let Some(network) = env.network(src).filter(Network::is_internal) else {
        return false;
    };
    let is_routed = !dst.is_multicast_or_reserved() && !dst.is_link_local();
    let is_neighbour = || {
        env.network(dst)
            .is_some_and(|other| other.bridge == network.bridge)
    };
    is_routed && !env.is_local(dst) && !is_neighbour()
}
