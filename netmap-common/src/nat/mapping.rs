//! Endpoint-independent mapping and filtering (RFC 4787, 4.1 and 5; RFC 5382, REQ-1 and REQ-3), where a network wants it:
//! a container's port has one port outside towards everybody, and everybody may send to it there.
//!
//! A mapping is a pair of twins in the table of flows: `c:port -> H:0` becomes `H:p -> H:0`, and `H:0 -> H:p` becomes
//! `H:0 -> c:port`. So a port is claimed, listed, ended and found to be taken as any flow's. No packet matches them
//! ([`super::flow`] sees to it); flows are opened by them. The remote end is the host's own address and not the unspecified
//! one, so a container that goes out by two uplinks has a mapping at either's address.

use super::{
    Datagram, Env, HostSocket, dnat, egress, flow, forward,
    ports::{Direction, Wish},
    tcp,
};
use crate::maps::{FlowKey, Hook, Ip, Kind, Network, Port, Protocol, Reason, Seen, Side, Way};

/// Whether what goes out of this network has a mapping. Echo requests have none: nobody could open a flow by one.
#[inline(always)]
pub(super) fn is_for<A: Ip>(protocol: Protocol, network: &Network<A>) -> bool {
    network.has_mappings() && protocol != Protocol::Icmp
}

/// What flow the packet opens, if it is for a port that is nobody's but a mapping's. `ToHost` if it is not.
#[inline(always)]
pub(super) fn wish<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    find_owner(env, datagram, wish)?;
    enter(env, hook, datagram, wish)
}

/// Whether the packet may come in, and how its answers go back.
// Not inlined: few packets come here, and it needs stack of its own. So the others.
#[inline(never)]
fn enter<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let arrival = env.interface(env.arrival()).ok_or(Reason::NoInterface)?;
    dnat::check_source(env, hook, datagram, &arrival)?;
    if datagram.protocol == Protocol::Tcp && !tcp::opens(datagram.tcp) {
        return Err(Reason::MidFlow);
    }
    // A program that was there first, or that asked for this very port.
    if env.host_socket(&datagram.key) != HostSocket::Absent {
        return Err(Reason::ToHost);
    }
    forward::check(env, datagram, wish.there.way(), wish.there.out)?;
    if hook == Hook::UplinkIn {
        wish.back_by(Direction::new(Way::Neigh, env.arrival()));
        return Ok(());
    }
    let way = Way::from_number(arrival.way).ok_or(Reason::NoInterface)?;
    wish.back_by(Direction::new(way, arrival.out));
    // "External source IP address and port" (RFC 4787, REQ-9 a).
    wish.become_kind(Kind::Hairpin as u32);
    wish.to.src = datagram.key.dst;
    let Some(network) = env.network(datagram.key.src) else {
        return Ok(());
    };
    wish.has_mapping = is_for(datagram.protocol, &network);
    if network.egress_places() == 0 {
        return Ok(());
    }
    egress::choose(env, &network, wish)
}

/// Writes down whose port it is, and the way there.
#[inline(never)]
fn find_owner<E: Env>(env: &E, datagram: &Datagram<E::Ip>, wish: &mut Wish<E::Ip>) -> Result<(), Reason> {
    if !env.settings().has_mappings()
        || datagram.protocol == Protocol::Icmp
        || datagram.key.src_port == Port(0)
    {
        return Err(Reason::ToHost);
    }
    // In the room: the stack has none.
    wish.from = datagram.key.owner();
    let owner = env.flow(&wish.from).ok_or(Reason::ToHost)?;
    let is_mapping = owner.kind() == Some(Kind::Mapping) && owner.side() == Side::Reply;
    let way = owner
        .way()
        .filter(|way| *way != Way::Stack)
        .ok_or(Reason::ToHost)?;
    if !is_mapping || !flow::has_twin(env, &wish.from, owner.nonce) {
        return Err(Reason::ToHost);
    }
    wish.from = datagram.key;
    let to = FlowKey {
        dst: owner.to.dst,
        dst_port: owner.to.dst_port,
        ..datagram.key
    };
    let there = Direction::new(way, owner.out);
    wish.be(Kind::Mapped, to, Default::default(), there, there);
    Ok(())
}

/// Gives the flow that is wished for its mapping's port; where it has no mapping yet, wishes for that one first.
#[inline(never)]
pub(super) fn find<E: Env>(env: &E, datagram: &Datagram<E::Ip>, wish: &mut Wish<E::Ip>) {
    wish.from = datagram.key.mapping(wish.to.src);
    if let Some(mapping) = env.flow(&wish.from) {
        if flow::has_twin(env, &wish.from, mapping.nonce) {
            wish.to.src_port = mapping.to.src_port;
            wish.from = datagram.key;
            wish.is_mapped = true;
            return;
        }
        env.remove(&wish.from, mapping.nonce);
    }
    // Nobody from outside could be led to who is behind the host's stack.
    if wish.there.way() == Way::Stack {
        wish.from = datagram.key;
        return;
    }
    wish.remote = (wish.to.dst, wish.to.dst_port);
    (wish.to.dst, wish.to.dst_port) = (wish.to.src, Port(0));
    wish.behind = wish.kind() as u32;
    wish.become_kind(Kind::Mapping as u32);
}

/// Goes back to the flow, with the port of its mapping, which has been claimed.
#[inline(never)]
pub(super) fn apply<A: super::Family>(datagram: &Datagram<A>, wish: &mut Wish<A>) {
    wish.from = datagram.key;
    (wish.to.dst, wish.to.dst_port) = wish.remote;
    wish.become_kind(wish.behind);
    wish.is_mapped = true;
}

/// Whether this host's port that a packet would have as its source belongs to a mapping. Leaves in `key` what it looked for.
#[inline(never)]
pub(super) fn owns<E: Env>(env: &E, to: &FlowKey<E::Ip>, key: &mut FlowKey<E::Ip>) -> bool {
    *key = FlowKey {
        src: to.src,
        dst: to.src,
        src_port: Port(0),
        dst_port: to.src_port,
        ..*to
    };
    env.flow(key).is_some()
}

/// A packet from a container keeps the mapping of its flow, if that has one (RFC 4787, REQ-6: by what goes out). `key` is the
/// packet's.
#[inline(never)]
pub(super) fn refresh<E: Env>(env: &E, key: &FlowKey<E::Ip>) {
    if !env.settings().has_mappings() {
        return;
    }
    let Some(flow) = env.flow(key) else { return };
    let seen = Seen {
        now: env.now(),
        packets: 0,
        bytes: 0,
        tcp: 0,
    };
    env.touch(&key.mapping(flow.to.src), seen, |mapping| {
        mapping.kind() == Some(Kind::Mapping)
    });
}
