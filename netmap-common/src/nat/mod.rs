//! The NAT: what becomes of one packet at one hook.
//!
//! [`process_part`] is the data path. Each of its lines is a stage with a file of its own, in this order: `parse`,
//! `policy`, `early`, `flow`, then for what has no flow yet `rule` with `dnat` or `snat` (both claim through `ports`),
//! then `forward` and `rewrite`; `fragment` and `icmp` stand beside them for what is not a whole datagram. Nothing here
//! names a kernel or a map: packets come through [`Packet`], everything else through [`Env`].

mod candidates;
mod checksum;
mod direct;
mod dnat;
mod early;
mod egress;
mod env;
mod family;
mod flow;
mod forward;
mod fragment;
mod hash;
mod icmp;
mod ipv4;
mod ipv6;
mod lifetime;
mod limits;
pub mod local;
mod mapping;
mod message;
mod owner;
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
pub use env::{Env, Here, Hold, HostSocket, InsertError, Route, Rules};
pub use family::Family;
pub use forward::{Carried, Verdict};
pub use fragment::key_of as fragment_key;
pub use lifetime::{Class as LifetimeClass, Lifetimes, state_name};
pub use message::{Reshape, tell};
pub use packet::{Header, L4Change, Packet, Truncated};
pub use parse::{Datagram, Internet};
pub use ports::Wish;
pub use rule::published;
pub use tcp::State as TcpState;

use self::flow::Translation;
use crate::maps::{Class, FlowKey, Hook, Kind, Reason, Side};

/// The data path: translates one packet, or says why not.
///
/// `Err` leaves the packet untouched; whether it is then passed on or dropped is the reason's
/// [`class`](Reason::class). [`Step::Next`] leaves it untouched as well, for the program that has the next part.
#[inline(always)]
pub fn process_part<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    hook: Hook,
    part: Part,
) -> Result<Step, Reason> {
    let result = stages(packet, env, hook, part);
    if result.is_err() && matches!(hook, Hook::UplinkIn | Hook::PortIn) && !packet.is_early() {
        fragment::leave(packet, env);
    }
    result
}

#[inline(always)]
fn stages<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    hook: Hook,
    part: Part,
) -> Result<Step, Reason> {
    if part == Part::Other {
        let why = parse::refusal::<E::Ip, P>(packet);
        let mut carried = Carried::nowhere(why);
        return other(packet, env, hook, why, &mut carried).map(|()| Step::Done(carried));
    }
    let internet = parse::internet::<E::Ip, P>(packet)?;
    policy::addresses(hook, &internet)?;
    let datagram = match parse::transport(packet, &internet) {
        Ok(datagram) => datagram,
        Err(_) if part != Part::Whole => return Ok(Step::Next(Part::Other)),
        Err(why) => {
            let mut carried = Carried::nowhere(why);
            return other(packet, env, hook, why, &mut carried).map(|()| Step::Done(carried));
        }
    };
    early::check(packet, &datagram)?;
    let mut place = env.place()?;
    let known = match part {
        Part::Open => None,
        _ => flow::find(env, hook, &datagram, &mut place)?,
    };
    let translation = match known {
        Some(known) if env.sends(known.to, known.way, known.out) => known,
        Some(_) => return Err(Reason::LeftToTc),
        None if part == Part::Known => return Ok(Step::Next(Part::Open)),
        None => {
            let is_blank = part == Part::Open;
            let opened = open(env, hook, &datagram, is_blank, &mut place)?;
            if is_blank {
                return Ok(Step::Next(Part::Known));
            }
            opened
        }
    };
    let carried = forward::choose(env, hook, &datagram, &translation, !datagram.is_fragment)?;
    if datagram.is_fragment && !packet.is_early() {
        fragment::lead(packet, env, &datagram.key, carried.reason)?;
        if translation.to.src != datagram.key.src {
            fragment::rename(packet, env, &datagram.key)?;
        }
    }
    rewrite::apply(packet, &datagram, translation.to, carried.verdict).or(Err(Reason::RewriteFailed))?;
    Ok(Step::Done(carried))
}

/// The same as one.
#[inline(always)]
pub fn process<P: Packet + ?Sized, E: Env>(packet: &mut P, env: &E, hook: Hook) -> Result<Carried, Reason> {
    match process_part(packet, env, hook, Part::Whole)? {
        Step::Done(carried) => Ok(carried),
        // The whole has no next part.
        Step::Next(_) => Err(Reason::Malformed),
    }
}

/// Which part of the data path a program has: the addresses of IPv6 take so much of a program's stack (512 bytes) that
/// one cannot have all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What has a flow.
    Known,
    /// What may open one: it does, and gives the packet back to [`Part::Known`].
    Open,
    /// What has no ports of its own.
    Other,
}

/// How far a part has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The packet is translated.
    Done(Carried),
    /// This part is to go on with it.
    Next(Part),
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
        Err(why) if why.class() == Class::Passed => Err(stray(packet, env, hook, why)),
        result => result,
    }
}

/// The reason to give for it. Not inlined, to leave the stack to the others.
#[inline(never)]
fn stray<P: Packet + ?Sized, E: Env>(packet: &mut P, env: &E, hook: Hook, why: Reason) -> Reason {
    match parse::internet::<E::Ip, P>(packet) {
        Ok(internet) => policy::stray(env, hook, &internet, why),
        Err(why) => why,
    }
}

/// Opens a flow, if the packet may. `is_blank` leaves it to the flow's finder to record the packet.
#[inline(always)]
fn open<'place, E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    is_blank: bool,
    place: &'place mut FlowKey<E::Ip>,
) -> Result<Translation<'place, E::Ip>, Reason> {
    if hook == Hook::PortIn {
        owner::check(env, &datagram.key)?;
    }
    let mut room = env.room()?;
    let wish = &mut *room;
    wish.begin(is_blank, &datagram.key);
    let for_host = hook == Hook::UplinkIn || hook != Hook::UplinkOut && env.is_local(datagram.key.dst);
    let decided = if for_host {
        dnat::wish(env, hook, datagram, wish)
    } else {
        snat::wish(env, hook, datagram, wish)
    };
    match decided {
        // Not published, but perhaps a container's all the same.
        Err(Reason::ToHost) => mapping::wish(env, hook, datagram, wish)?,
        Err(Reason::DirectAccess) if hook == Hook::UplinkIn => direct::decide(env, datagram, wish)?,
        decided => decided?,
    }
    if !env.sends(&wish.to, wish.there.way(), wish.there.out) {
        return Err(Reason::LeftToTc);
    }
    limits::admit(env, datagram, wish)?;
    if wish.has_mapping {
        mapping::find(env, datagram, wish);
        if wish.kind() == Kind::Mapping {
            ports::claim(env, hook, datagram, wish)?;
            limits::count(env, datagram, wish);
            mapping::apply(datagram, wish);
        }
    }
    ports::claim(env, hook, datagram, wish)?;
    limits::count(env, datagram, wish);
    *place = wish.to;
    Ok(Translation {
        to: place,
        kind: wish.kind(),
        side: if wish.is_own_answer {
            Side::Reply
        } else {
            Side::Original
        },
        way: wish.there.way(),
        out: wish.there.out,
    })
}
