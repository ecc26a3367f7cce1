//! Flows to a published port: from outside, from a neighbour container, from the container itself.

use super::{
    Datagram, Env, Family, HostSocket, forward,
    ports::{Direction, Wish},
    rule, tcp,
};
use crate::maps::{
    AllowKey, Endpoint, FlowKey, Hook, IfIndex, Interface, Ip as _, Kind, Protocol, Reason, Rule, RuleId, Way,
};

/// What flow the packet opens, if the packet is for a published port and may open one. Not inlined, for the same reasons as
/// [`super::ports::claim`].
#[inline(never)]
pub(super) fn wish<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let has_zone = has_zone(&datagram.key);
    let (id, rule) =
        find_rule(env, datagram).map_err(|why| if has_zone { Reason::LinkLocal } else { why })?;
    let arrival = env.interface(env.arrival()).ok_or(Reason::NoInterface)?;
    let is_closed = hook == Hook::UplinkIn
        && arrival.flags & Interface::<E::Ip>::CLOSED != 0
        && env.is_closed(datagram.key.dst);
    if has_zone && !is_closed {
        return Err(Reason::LinkLocal);
    }
    check_source(env, hook, datagram, &arrival)?;
    may_open(env, datagram, id, &rule, is_closed)?;
    let endpoint = find_endpoint(env, &rule)?;
    let (there, back) = ways(hook, &endpoint, &arrival, env.arrival())?;
    forward::check(env, datagram, there.way(), there.out)?;
    let (kind, src) = source(hook, datagram, &rule, &endpoint, &arrival);
    let target_port = rule.target_port_of(datagram.key.dst_port).ok_or(Reason::ToHost)?;
    let to = FlowKey {
        src,
        dst: rule.target,
        dst_port: target_port,
        ..datagram.key
    };
    wish.be(kind, to, (id, rule.generation), there, back);
    Ok(())
}

#[inline(always)]
fn find_rule<E: Env>(env: &E, datagram: &Datagram<E::Ip>) -> Result<(RuleId, Rule<E::Ip>), Reason> {
    let key = &datagram.key;
    if !env.is_local(key.dst) {
        let behind_bridge = env.network(key.dst).is_some();
        return Err(if behind_bridge {
            Reason::DirectAccess
        } else {
            Reason::Transit
        });
    }
    rule::published(env, datagram.protocol, key.dst, key.dst_port).ok_or(Reason::ToHost)
}

/// Whether an address means something together with an interface only: the proxy's, where it is for a published port.
#[inline(always)]
fn has_zone<A: Family>(key: &FlowKey<A>) -> bool {
    A::HAS_ZONES && (key.dst.is_link_local() || key.src.is_link_local())
}

#[inline(always)]
fn find_endpoint<E: Env>(env: &E, rule: &Rule<E::Ip>) -> Result<Endpoint<E::Ip>, Reason> {
    if rule.target.is_mapped() {
        return Err(Reason::OtherFamily);
    }
    env.endpoint(rule.target).ok_or(Reason::NoEndpoint)
}

/// The way past the host's stack is also past its checks of sources: a container speaks with an address of its own
/// bridge's networks, the outside with one that is neither this host's nor a container's, and that somebody can have.
#[inline(always)]
pub(super) fn check_source<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    arrival: &Interface<E::Ip>,
) -> Result<(), Reason> {
    let src = datagram.key.src;
    // First, and each hook to its own end: LLVM would merge what follows, and keep a pointer and a number in one register.
    if env.is_local(src) {
        return Err(Reason::SpoofedSource);
    }
    let network = env.network(src);
    if hook == Hook::UplinkIn {
        let plausible = network.is_none() && !src.is_multicast_or_reserved() && !src.is_nobody();
        return if plausible {
            Ok(())
        } else {
            Err(Reason::SpoofedSource)
        };
    }
    match network {
        Some(network) if network.bridge == arrival.bridge => {
            if network.is_internal() {
                Err(Reason::InternalNetwork)
            } else {
                Ok(())
            }
        }
        _ => Err(Reason::SpoofedSource),
    }
}

/// Only a SYN opens a published TCP flow. A UDP packet does, unless it answers a socket of this host that uses the
/// published port as its source. `is_closed` says that nothing is published where it came in.
#[inline(always)]
fn may_open<E: Env>(
    env: &E,
    datagram: &Datagram<E::Ip>,
    id: RuleId,
    rule: &Rule<E::Ip>,
    is_closed: bool,
) -> Result<(), Reason> {
    if datagram.protocol == Protocol::Tcp && !tcp::opens(datagram.tcp) {
        return Err(Reason::MidFlow);
    }
    if datagram.protocol == Protocol::Udp && env.host_socket(&datagram.key) == HostSocket::Connected {
        return Err(Reason::HostSocket);
    }
    if is_closed {
        return Err(Reason::NotPublishedHere);
    }
    if rule.has_allow_list() && !env.allows(&AllowKey::new(id, datagram.key.src)) {
        return Err(Reason::NotAllowed);
    }
    Ok(())
}

/// How packets get to the container and back. Both directions bypass the host's stack, or both take it.
#[inline(always)]
fn ways<A: Family>(
    hook: Hook,
    endpoint: &Endpoint<A>,
    arrival: &Interface<A>,
    index: IfIndex,
) -> Result<(Direction, Direction), Reason> {
    let to_endpoint = Way::from_number(endpoint.way).ok_or(Reason::NoEndpoint)?;
    if to_endpoint == Way::Stack {
        // A packet translated at a port must not go to the stack: a martian by its own address.
        let valid = hook == Hook::UplinkIn;
        return if valid {
            Ok((Direction::STACK, Direction::STACK))
        } else {
            Err(Reason::NoEndpoint)
        };
    }
    let back = match hook {
        Hook::UplinkIn => Direction::new(Way::Neigh, index),
        _ => Direction::new(
            Way::from_number(arrival.way).ok_or(Reason::NoInterface)?,
            arrival.out,
        ),
    };
    Ok((Direction::new(to_endpoint, endpoint.out), back))
}

/// The source that the container sees: the client's own wherever the answer will pass a hook of ours.
#[inline(always)]
fn source<A: Family>(
    hook: Hook,
    datagram: &Datagram<A>,
    rule: &Rule<A>,
    endpoint: &Endpoint<A>,
    arrival: &Interface<A>,
) -> (Kind, A) {
    let own = datagram.key.src == rule.target;
    // Isolated ports cannot resolve each other's link-layer address, so the answer would have nowhere to go.
    let isolated =
        arrival.flags & endpoint.flags & Interface::ISOLATED != 0 && arrival.bridge == endpoint.bridge;
    match hook {
        Hook::UplinkIn => (Kind::Published, datagram.key.src),
        _ if own || isolated => (Kind::OwnPort, endpoint.gateway),
        _ => (Kind::Hairpin, datagram.key.src),
    }
}
