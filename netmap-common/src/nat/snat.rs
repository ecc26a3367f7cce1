//! Flows from a container to the outside, with the uplink's address or the bridge's own ones.

use super::{
    Datagram, Env, Family, Route, egress, forward, mapping,
    ports::{Direction, Wish},
    tcp,
};
use crate::maps::{FlowKey, Hook, IfIndex, Interface, Ip as _, Kind, Network, Protocol, Reason, Role, Way};

/// What flow the packet opens, if the packet leaves a managed network and may open one. Not inlined, for the same reasons as
/// [`super::ports::claim`].
#[inline(never)]
pub(super) fn wish<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let network = find_network(env, hook, datagram)?;
    let arrival = env.interface(env.arrival()).ok_or(Reason::NoInterface)?;
    may_open(env, hook, datagram, &network, &arrival)?;
    if network.is_plain() {
        return keep_source(hook, datagram, wish);
    }
    let (uplink, address) = find_uplink(env, hook, datagram, &arrival)?;
    let has_own = network.egress_places() != 0;
    if address == E::Ip::ANY && !has_own {
        return Err(Reason::NoUplinkAddress);
    }
    let (there, back) = ways(hook, &arrival, uplink)?;
    forward::check(env, datagram, there.way(), there.out)?;
    let to = FlowKey {
        src: address,
        ..datagram.key
    };
    wish.be(Kind::Egress, to, Default::default(), there, back);
    if has_own {
        egress::choose(env, &network, wish)?;
    }
    wish.has_mapping = mapping::is_for(datagram.protocol, &network);
    Ok(())
}

/// The flow of what leaves with its own source, by the host's stack. It has entries all the same, by which answers are told
/// from what somebody outside sends straight to a container.
#[inline(always)]
fn keep_source<A: Family>(hook: Hook, datagram: &Datagram<A>, wish: &mut Wish<A>) -> Result<(), Reason> {
    if hook != Hook::UplinkOut {
        return Err(Reason::NotMasqueraded);
    }
    wish.be(
        Kind::Egress,
        datagram.key,
        Default::default(),
        Direction::STACK,
        Direction::STACK,
    );
    Ok(())
}

#[inline(always)]
fn find_network<E: Env>(env: &E, hook: Hook, datagram: &Datagram<E::Ip>) -> Result<Network<E::Ip>, Reason> {
    let dst = datagram.key.dst;
    let at_uplink = hook == Hook::UplinkOut;
    if !at_uplink && (dst.is_multicast_or_reserved() || dst.is_link_local() || dst == E::Ip::ANY) {
        return Err(Reason::NotRoutable);
    }
    let missing = if at_uplink {
        Reason::FromHost
    } else {
        Reason::ForeignSource
    };
    let network = env.network(datagram.key.src).ok_or(missing)?;
    // The bridge's own address: nobody but the host speaks with it.
    match (env.is_local(datagram.key.src), at_uplink) {
        (false, _) => Ok(network),
        (true, true) => Err(Reason::FromHost),
        (true, false) => Err(Reason::SpoofedSource),
    }
}

/// At a port, TCP without a SYN began on the host's stack and stays there. At the uplink it would leave with the
/// container's address, so it is taken up in the middle, as the kernel's own NAT does.
#[inline(always)]
fn may_open<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    network: &Network<E::Ip>,
    arrival: &Interface<E::Ip>,
) -> Result<(), Reason> {
    let is_tcp = datagram.protocol == Protocol::Tcp;
    let is_echo_reply =
        datagram.protocol == Protocol::Icmp && datagram.key.src_port.0 == 0 && datagram.key.dst_port.0 != 0;
    if hook == Hook::UplinkOut {
        let resets = is_tcp && datagram.tcp & tcp::flag::RST != 0;
        return match resets || is_echo_reply {
            _ if network.is_internal() => Err(Reason::InternalNetwork),
            true if network.is_plain() => Err(Reason::NotMasqueraded),
            true => Err(Reason::WouldLeak),
            false => Ok(()),
        };
    }
    if arrival.bridge != network.bridge {
        return Err(Reason::ForeignSource);
    }
    match env.network(datagram.key.dst) {
        Some(other) if other.bridge == network.bridge => return Err(Reason::OnLink),
        Some(_) => return Err(Reason::DirectAccess),
        None if network.is_internal() => return Err(Reason::InternalNetwork),
        None => {}
    }
    if is_tcp && !tcp::opens(datagram.tcp) || is_echo_reply {
        return Err(Reason::MidFlow);
    }
    Ok(())
}

/// The uplink, and its address if it has one.
#[inline(always)]
fn find_uplink<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    arrival: &Interface<E::Ip>,
) -> Result<(IfIndex, E::Ip), Reason> {
    let (index, uplink) = if hook == Hook::UplinkOut {
        (env.arrival(), *arrival)
    } else {
        // As the host would see it: from the bridge, by which rules of policy routing go.
        let index = match env.route(&datagram.key, arrival.bridge) {
            Route::Out(index) => index,
            Route::ForwardingOff => return Err(Reason::ForwardingOff),
            Route::Nowhere => return Err(Reason::NotOurRoute),
        };
        (index, env.interface(index).ok_or(Reason::NotOurRoute)?)
    };
    if uplink.role != Role::Uplink as u8 {
        return Err(Reason::NotOurRoute);
    }
    Ok((index, uplink.address))
}

/// How packets get out and back. Both directions bypass the host's stack, or both take it.
#[inline(always)]
fn ways<A: Family>(
    hook: Hook,
    arrival: &Interface<A>,
    uplink: IfIndex,
) -> Result<(Direction, Direction), Reason> {
    if hook == Hook::UplinkOut {
        return Ok((Direction::STACK, Direction::STACK));
    }
    let back = Way::from_number(arrival.way).ok_or(Reason::NoInterface)?;
    Ok((
        Direction::new(Way::Neigh, uplink),
        Direction::new(back, arrival.out),
    ))
}
