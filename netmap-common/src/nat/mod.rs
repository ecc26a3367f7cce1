//! The NAT: what becomes of one packet at one hook.
//!
//! [`process`] is the data path. Each of its lines is a stage with a file of its own, in this order: `parse`,
//! `policy`, `early`, `flow`, then for what has no flow yet `rule` with `dnat` or `snat` (both claim through `ports`),
//! then `forward` and `rewrite`; `fragment` and `icmp` stand beside them for what is not a whole datagram. Nothing here
//! names a kernel or a map: packets come through [`Packet`], everything else through [`Env`].

mod checksum;
mod direct;
mod dnat;
mod early;
mod env;
mod family;
mod flow;
mod forward;
mod fragment;
mod icmp;
mod ipv4;
mod ipv6;
mod lifetime;
mod limits;
pub mod local;
mod message;
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
pub use env::{Env, HostSocket, InsertError, Route, Rules};
pub use family::Family;
pub use forward::{Carried, Verdict};
pub use lifetime::{Class as LifetimeClass, Lifetimes, state_name};
pub use message::{Reshape, tell};
pub use packet::{Header, L4Change, Packet, Truncated};
pub use parse::{Datagram, Internet};
pub use rule::published;
pub use tcp::State as TcpState;

use self::{flow::Translation, ports::Wish};
use crate::maps::{Class, Hook, Reason, Side};

/// The data path: translates one packet, or says why not.
///
/// `Err` leaves the packet untouched; whether it is then passed on or dropped is the reason's
/// [`class`](Reason::class).
#[inline(always)]
pub fn process<P: Packet + ?Sized, E: Env>(packet: &mut P, env: &E, hook: Hook) -> Result<Carried, Reason> {
    let internet = parse::internet::<E::Ip, P>(packet)?;
    policy::addresses(hook, &internet)?;
    let datagram = match parse::transport(packet, &internet) {
        Ok(datagram) => datagram,
        Err(why) => {
            let mut carried = Carried::nowhere(why);
            return other(packet, env, hook, why, &mut carried).map(|()| carried);
        }
    };
    early::check(packet, &datagram)?;
    let translation = match flow::find(env, hook, &datagram)? {
        Some(known) if env.sends(&known.to, known.way, known.out) => known,
        Some(_) => return Err(Reason::LeftToTc),
        None => open(env, hook, &datagram)?,
    };
    let carried = forward::choose(env, hook, &datagram, &translation, !datagram.is_fragment)?;
    if datagram.is_fragment {
        let moves = translation.to.src != datagram.key.src;
        fragment::lead(packet, env, &datagram.key, moves, carried.reason)?;
    }
    rewrite::apply(packet, &datagram, &translation.to, carried.verdict).or(Err(Reason::RewriteFailed))?;
    Ok(carried)
}

/// What belongs to no flow by its own header: a fragment may by the first one's, an ICMP error by what it quotes.
/// Not inlined, and the header read again, to leave `process` the stack.
#[inline(never)]
fn other<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    hook: Hook,
    why: Reason,
    carried: &mut Carried,
) -> Result<(), Reason> {
    let result = match why {
        // TC has these to itself.
        why if packet.is_early() => Err(why),
        Reason::Fragment => fragment::follow(packet, env, hook, carried),
        Reason::OtherIcmp => icmp::translate(packet, env, hook, carried),
        why => Err(why),
    };
    match result {
        Err(why) if why.class() == Class::Passed => {
            Err(policy::stray(env, hook, &parse::internet(packet)?, why))
        }
        result => result,
    }
}

/// Opens a flow, if the packet may.
#[inline(always)]
fn open<E: Env>(env: &E, hook: Hook, datagram: &Datagram<E::Ip>) -> Result<Translation<E::Ip>, Reason> {
    let mut wish = Wish::default();
    match decide(env, hook, datagram, &mut wish) {
        Err(Reason::DirectAccess) if hook == Hook::UplinkIn => direct::decide(env, datagram, &mut wish)?,
        decided => decided?,
    }
    if !env.sends(&wish.to, wish.there.0, wish.there.1) {
        return Err(Reason::LeftToTc);
    }
    limits::admit(env, datagram, &wish)?;
    ports::claim(env, datagram, &mut wish)?;
    limits::count(env, datagram, &wish);
    Ok(Translation {
        to: wish.to,
        kind: wish.kind,
        side: Side::Original,
        way: wish.there.0,
        out: wish.there.1,
    })
}

/// What the packet would open: towards this host's addresses if the port is published, from a container to the
/// outside. Not inlined for the same reasons as [`ports::claim`].
#[inline(never)]
fn decide<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let for_host = hook == Hook::UplinkIn || hook != Hook::UplinkOut && env.is_local(datagram.key.dst);
    *wish = if for_host {
        dnat::wish(env, hook, datagram)?
    } else {
        snat::wish(env, hook, datagram)?
    };
    Ok(())
}
