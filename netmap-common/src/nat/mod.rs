//! The NAT: what becomes of one packet at one hook.
//!
//! [`process`] is the data path. Each of its lines is a stage with a file of its own, in this order: `parse`,
//! `policy`, `flow`, then for what has no flow yet `rule` with `dnat` or `snat` (both claim through `ports`), then
//! `forward` and `rewrite`. Nothing here names a kernel or a map: packets come through [`Packet`], everything else
//! through [`Env`].

mod checksum;
mod dnat;
mod env;
mod flow;
mod forward;
mod lifetime;
mod packet;
mod parse;
mod policy;
mod ports;
mod rewrite;
mod rule;
mod snat;
mod tcp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use checksum::Delta;
pub use env::{Env, HostSocket, InsertError, Route};
pub use forward::{Carried, Verdict};
pub use lifetime::{lifetime, state_name};
pub use packet::{Header, L4Change, Packet, Truncated};
pub use parse::{Datagram, Internet};
pub use rule::published;
pub use tcp::State as TcpState;

use crate::maps::{Flow, Hook, Reason};

/// The data path: translates one packet, or says why not.
///
/// `Err` leaves the packet untouched; whether it is then passed on or dropped is the reason's
/// [`class`](Reason::class).
#[inline(always)]
pub fn process<P: Packet + ?Sized, E: Env>(packet: &mut P, env: &E, hook: Hook) -> Result<Carried, Reason> {
    let internet = parse::internet(packet)?;
    policy::addresses(hook, &internet)?;
    let datagram = parse::transport(packet, &internet).map_err(|why| policy::stray(env, hook, &internet, why))?;
    let flow = match flow::find(env, hook, &datagram)? {
        Some(flow) => flow,
        None => open(env, hook, &datagram)?,
    };
    let carried = forward::choose(env, hook, &datagram, &flow)?;
    rewrite::apply(packet, &datagram, &flow, carried.verdict).or(Err(Reason::RewriteFailed))?;
    Ok(carried)
}

/// Opens a flow: towards this host's addresses if the port is published, from a container to the outside.
#[inline(always)]
fn open<E: Env>(env: &E, hook: Hook, datagram: &Datagram) -> Result<Flow, Reason> {
    match hook {
        Hook::UplinkIn => dnat::open(env, hook, datagram),
        Hook::UplinkOut => snat::open(env, hook, datagram),
        _ if env.is_local(datagram.key.dst) => dnat::open(env, hook, datagram),
        _ => snat::open(env, hook, datagram),
    }
}
