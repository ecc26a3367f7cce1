//! The host's own sockets: which of them go straight to a container, and what they see as their peer.
//!
//! [`detour`] decides for a socket that connects or sends, [`Detours::take`] remembers it with the socket, and
//! [`Detours::to`] turns the container's address back into the one that was asked for. What is left alone here
//! reaches the published port as it is, and there the proxy.

use super::{Family, Rules, rule::published};
use crate::maps::{Detour, Detours, IfIndex, Ip, Place, Protocol, ROOM, Settings};

/// What the socket hooks need of the host.
pub trait Host: Rules {
    /// Whether it is an address of this host (loopback may be missing).
    fn has_address(&self, address: Self::Ip) -> bool;

    /// Whether the host knows where this container is.
    fn knows_container(&self, address: Self::Ip) -> bool;

    /// Settings.
    fn settings(&self) -> Settings;
}

/// A socket that connects or sends.
pub trait Caller<A> {
    /// The source that is fixed already, by a bind or for this datagram; [`Ip::ANY`] if the kernel is to choose.
    fn source(&self) -> A;

    /// The interface that it is bound to, 0 for none.
    fn device(&self) -> IfIndex;

    /// Its mark (`SO_MARK`).
    fn mark(&self) -> u32;

    /// The cookie of its network namespace.
    fn netns(&self) -> u64;
}

/// Where a socket goes that asks for `to`; `None` leaves it alone.
///
/// Left alone is, beside what is not published: a socket of another network namespace, whose 127.0.0.1 is its own; the
/// daemon's own; one bound to 127.0.0.0/8 or `::1`, which no container could answer, or to an interface, which need not
/// lead to the container; addresses that mean something together with an interface only; a container that the host does
/// not see, or of the other family; a port that another program of this host has. An allow-list does not apply: it is for
/// other hosts.
#[inline(always)]
pub fn detour<H: Host, C: Caller<H::Ip>>(
    host: &H,
    caller: &C,
    protocol: Protocol,
    to: Place<H::Ip>,
) -> Option<Detour<H::Ip>> {
    let origin = Place::new(asked(caller, to.address), to.port);
    let (_, rule) = published(host, protocol, origin.address, origin.port)?;
    let target = Place::new(rule.target, rule.target_port_of(origin.port)?);
    let is_local = origin.address.is_loopback() || host.has_address(origin.address);
    if rule.yields() || !is_local || has_zone(origin.address) || !is_free(host, caller) {
        return None;
    }
    if target.address.is_mapped() || !host.knows_container(target.address) {
        return None;
    }
    Some(Detour { origin, target })
}

/// The source that a socket should have on this way: the host's own address, as without the detour. `None` where it is
/// fixed, or where the kernel has to choose because loopback addresses do not leave the host.
#[inline(always)]
pub fn source<A: Family, C: Caller<A>>(caller: &C, detour: &Detour<A>) -> Option<A> {
    let address = detour.origin.address;
    (caller.source() == A::ANY && !address.is_loopback()).then_some(address)
}

/// Whether a rule still leads from the detour's origin to its target.
#[inline(always)]
pub fn is_current<R: Rules>(rules: &R, protocol: Protocol, detour: &Detour<R::Ip>) -> bool {
    let Detour { origin, target } = detour;
    published(rules, protocol, origin.address, origin.port).is_some_and(|(_, rule)| {
        rule.target == target.address && rule.target_port_of(origin.port) == Some(target.port)
    })
}

impl<A: Ip> Detours<A> {
    /// Remembers a detour. `false` when the socket has no room, or talks to the same target under another address:
    /// then it must not be taken.
    ///
    /// Each slot is read once: in several rounds, LLVM would keep all of them on the stack, of which there is too little.
    #[inline(always)]
    pub fn take(&mut self, detour: &Detour<A>) -> bool {
        let (mut same, mut free) = (ROOM, ROOM);
        for index in 0..ROOM {
            let Some(slot) = self.0.get(index) else { break };
            let is_same = slot.origin == detour.origin;
            if slot.target == detour.target && !is_same {
                return false;
            }
            if is_same {
                same = index;
            }
            if slot.target == Place::default() {
                free = index;
            }
        }
        // The same port as before, perhaps to another container by now, or else a free place.
        let place = if same == ROOM { free } else { same };
        // In a loop, where the index is a constant to the verifier.
        for index in 0..ROOM {
            if let Some(slot) = self.0.get_mut(index)
                && index == place
            {
                *slot = *detour;
                return true;
            }
        }
        false
    }

    /// Forgets the detour to `target`: the socket talks to it under its own address from now on.
    #[inline(always)]
    pub fn forget(&mut self, target: Place<A>) {
        for index in 0..ROOM {
            let Some(slot) = self.0.get_mut(index) else { break };
            if slot.target == target {
                *slot = Detour::NONE;
            }
        }
    }

    /// The detour to `target`.
    #[inline(always)]
    pub fn to(&self, target: Place<A>) -> Option<Detour<A>> {
        for index in 0..ROOM {
            let slot = self.0.get(index)?;
            if slot.target == target {
                // An empty slot is a detour to nowhere.
                return (slot.origin != Place::default()).then_some(*slot);
            }
        }
        None
    }
}

/// The address that the kernel takes 0.0.0.0 for: the socket's own.
#[inline(always)]
fn asked<A: Family, C: Caller<A>>(caller: &C, to: A) -> A {
    let source = caller.source();
    match (to == A::ANY, source == A::ANY) {
        (true, true) => A::LOCALHOST,
        (true, false) => source,
        (false, _) => to,
    }
}

#[inline(always)]
fn is_free<H: Host, C: Caller<H::Ip>>(host: &H, caller: &C) -> bool {
    let settings = host.settings();
    caller.netns() == settings.netns_cookie
        && caller.mark() != settings.socket_mark
        && caller.device() == IfIndex(0)
        && !caller.source().is_loopback()
        && !has_zone(caller.source())
}

/// Whether it needs an interface beside it, which a way past the interface that was meant would not have.
#[inline(always)]
fn has_zone<A: Family>(address: A) -> bool {
    A::HAS_ZONES && address.is_link_local()
}

#[cfg(test)]
mod tests;
