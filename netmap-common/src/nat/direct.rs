//! Flows from outside straight to a container's own address, where its bridge lets them in: nothing is translated, and the
//! host's stack forwards. They have entries all the same, by which answers are told from what the container opens, which
//! would leave with the uplink's address.

use super::{
    Datagram, Env,
    ports::{Direction, Wish},
    tcp,
};
use crate::maps::{Interface, Kind, Network, Protocol, Reason};

/// What flow the packet opens, if its way is open. Not inlined, for its stack.
#[inline(never)]
pub(super) fn decide<E: Env>(
    env: &E,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let network = env.network(datagram.key.dst).ok_or(Reason::DirectAccess)?;
    let arrival = env.interface(env.arrival()).ok_or(Reason::NoInterface)?;
    let is_trusted = arrival.flags & Interface::<E::Ip>::TRUSTED != 0;
    let is_open = network.flags & Network::<E::Ip>::DIRECT != 0
        || is_trusted && network.flags & Network::<E::Ip>::DIRECT_TRUSTED != 0;
    if !is_open {
        return Err(Reason::DirectAccess);
    }
    if env.network(datagram.key.src).is_some() || env.is_local(datagram.key.src) {
        return Err(Reason::SpoofedSource);
    }
    if datagram.protocol == Protocol::Tcp && !tcp::opens(datagram.tcp) {
        return Err(Reason::MidFlow);
    }
    wish.be(
        Kind::Direct,
        datagram.key,
        Default::default(),
        Direction::STACK,
        Direction::STACK,
    );
    Ok(())
}
