//! What is refused whatever is published.

use super::{Env, parse::Internet};
use crate::maps::{Hook, Reason};

/// Refuses loopback addresses on a wire or from a container: "addresses of this form MUST NOT appear outside a host"
/// (RFC 1122, 3.2.1.3 g).
#[inline(always)]
pub(super) fn addresses(hook: Hook, internet: &Internet) -> Result<(), Reason> {
    let from_a_wire = !matches!(hook, Hook::UplinkOut);
    if from_a_wire && (internet.src.is_loopback() || internet.dst.is_loopback()) {
        return Err(Reason::LoopbackOnWire);
    }
    Ok(())
}

/// The reason to give for a packet that cannot be translated: one that must not pass has its own.
#[inline(always)]
pub(super) fn stray<E: Env>(env: &E, hook: Hook, internet: &Internet, why: Reason) -> Reason {
    match hook {
        Hook::UplinkIn if reaches_container(env, internet) => Reason::DirectAccess,
        Hook::UplinkOut if env.network(internet.src).is_some() => Reason::WouldLeak,
        Hook::UplinkOut => Reason::FromHost,
        _ => why,
    }
}

#[inline(always)]
fn reaches_container<E: Env>(env: &E, internet: &Internet) -> bool {
    !env.is_local(internet.dst) && env.network(internet.dst).is_some()
}
