//! Datagrams in pieces (RFC 791; RFC 8200, 4.5; RFC 4787, REQ-14): the first has the ports, and lends them to the others.
//!
//! Nothing is put together here. Where another piece than the first comes first, there are no ports yet: it is held
//! ([`Env::hold`]) until they are known, or for a second. Where there is no room to hold it, what came to this host goes to it,
//! and then all of them do: the host waits for the rest, and at a published port the proxy carries the whole.

use super::{
    Carried, Datagram, Env, Family, Hold, Internet, Packet, flow, forward, hash,
    parse::{self, L3},
};
use crate::maps::{FlowKey, Fragment, FragmentKey, Hook, IfIndex, Port, Protocol, Reason};

/// The first piece of a flow's datagram: its ports will be the others'.
// Not inlined, like all of this, for its stack: few datagrams come in pieces. The header is read again, because handed over
// it would lie on the stack, where the verifier loses sight of its bounds.
#[inline(never)]
pub(super) fn lead<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    of: &FlowKey<E::Ip>,
    reason: Reason,
) -> Result<(), Reason> {
    let internet = parse::internet::<E::Ip, P>(packet)?;
    let key = key(packet, env.arrival(), &internet)?;
    // What else comes in from outside is no business of the host's: there is no socket that would take it.
    let is_published = matches!(
        reason,
        Reason::PublishedIn | Reason::StackPublishedIn | Reason::HairpinIn | Reason::OwnPortIn
    );
    if is_published && find(env, &key).is_some_and(|fragment| fragment.is_waiting()) {
        return Err(Reason::Fragment);
    }
    let fragment = Fragment {
        src_port: of.src_port,
        dst_port: of.dst_port,
        end: u16::try_from(internet.content_length()).unwrap_or(u16::MAX),
        protocol: of.protocol,
        is_left: 0,
        since: env.now(),
    };
    env.keep_fragment(&key, &fragment);
    Ok(())
}

/// Another piece: goes where its first went.
#[inline(never)]
pub(super) fn follow<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    hook: Hook,
    carried: &mut Carried,
) -> Result<(), Reason> {
    let internet = parse::internet::<E::Ip, P>(packet)?;
    // In IPv6 it may be a further extension header's, which only the first piece has.
    if E::Ip::HAS_HEADER_CHECKSUM && E::Ip::protocol(internet.protocol).is_none() {
        return Err(Reason::OtherProtocol);
    }
    let key = key(packet, env.arrival(), &internet)?;
    let Some(first) = find(env, &key) else {
        return Err(wait(env, hook, &key));
    };
    if first.end == 0 {
        return Err(Reason::Fragment);
    }
    // It would write over the ports that were judged (RFC 1858, 4; RFC 3128).
    if internet.fragment_offset() < u32::from(first.end) {
        return Err(Reason::FragmentOverlap);
    }
    let protocol = Protocol::from_number(first.protocol).ok_or(Reason::OtherProtocol)?;
    let datagram = Datagram {
        key: FlowKey::new(protocol, key.src, first.src_port, key.dst, first.dst_port),
        protocol,
        l4: internet.l4,
        length: internet.length,
        ttl: internet.ttl,
        tcp: 0,
        is_fragment: true,
    };
    let mut place = env.place()?;
    let translation = flow::find(env, hook, &datagram, &mut place)?.ok_or(Reason::Fragment)?;
    *carried = forward::choose(env, hook, &datagram, &translation, false)?;
    let is_routed = carried.verdict.is_routed();
    if translation.to.src != datagram.key.src {
        rename(packet, env, &datagram.key)?;
    }
    E::Ip::rewrite(packet, L3, &datagram.key, translation.to, is_routed).or(Err(Reason::RewriteFailed))?;
    Ok(())
}

/// A packet was not translated. If it is a first piece, the others need not wait for it.
#[inline(never)]
pub(super) fn leave<P: Packet + ?Sized, E: Env>(packet: &mut P, env: &E) {
    let Ok(internet) = parse::internet::<E::Ip, P>(packet) else {
        return;
    };
    if internet.fragment_offset() != 0 || !internet.is_fragment() {
        return;
    }
    let Ok(key) = key(packet, env.arrival(), &internet) else {
        return;
    };
    env.keep_fragment(&key, &Fragment::left(env.now()));
}

/// Another piece than the first has come first.
#[inline(always)]
fn wait<E: Env>(env: &E, hook: Hook, key: &FragmentKey<E::Ip>) -> Reason {
    let is_local = env.is_local(key.dst);
    let may_be_ours = match hook {
        Hook::UplinkIn => is_local,
        Hook::PortIn => is_local || env.network(key.dst).is_none(),
        _ => false,
    };
    if !may_be_ours {
        return Reason::Fragment;
    }
    match env.hold() {
        Hold::Held => return Reason::FragmentHeld,
        Hold::Back if !is_local => return Reason::FragmentLate,
        Hold::Back | Hold::Full => {}
    }
    if is_local {
        env.keep_fragment(key, &Fragment::waiting(env.now()));
    }
    Reason::Fragment
}

/// Gives the pieces of a datagram that leaves with another source an identification of its own: two containers behind one
/// address may have chosen the same (RFC 6864, 5.3). The same for every piece, without a table.
#[inline(never)]
pub(super) fn rename<P: Packet + ?Sized, E: Env>(
    packet: &mut P,
    env: &E,
    from: &FlowKey<E::Ip>,
) -> Result<(), Reason> {
    let internet = parse::internet::<E::Ip, P>(packet)?;
    #[expect(clippy::cast_possible_truncation, reason = "takes the number apart")]
    let (high, low) = ((internet.id >> 16) as u16, internet.id as u16);
    let number = FlowKey {
        src_port: Port(low),
        dst_port: Port(high),
        ..*from
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "these bits of a hash are as good as any"
    )]
    let new = hash::hash(env.settings().secret, &number) as u32;
    E::Ip::rename(packet, &internet, new).or(Err(Reason::RewriteFailed))
}

/// The key of the datagram of which a frame that came by `arrival` is a piece.
///
/// # Errors
///
/// Why it is not to be read: [`Reason::Malformed`], [`Reason::NotIp`].
pub fn key_of<A: Family>(frame: &mut [u8], arrival: IfIndex) -> Result<FragmentKey<A>, Reason> {
    let internet = parse::internet::<A, _>(frame)?;
    key(frame, arrival, &internet)
}

/// What every piece of a datagram has in common.
#[inline(always)]
fn key<P: Packet + ?Sized, A: Family>(
    packet: &P,
    arrival: IfIndex,
    internet: &Internet<A>,
) -> Result<FragmentKey<A>, Reason> {
    let (src, dst) = A::addresses(packet, internet).or(Err(Reason::Malformed))?;
    Ok(FragmentKey {
        src,
        dst,
        arrival,
        id: internet.id,
        protocol: if A::HAS_HEADER_CHECKSUM {
            internet.protocol
        } else {
            0
        },
        pad: 0,
        pad_word: 0,
    })
}

#[inline(always)]
fn find<E: Env>(env: &E, key: &FragmentKey<E::Ip>) -> Option<Fragment> {
    env.fragment(key)
        .filter(|fragment| fragment.is_current(env.now()))
}
