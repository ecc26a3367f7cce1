//! Published ports away from other programs.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_netns_cookie, bpf_set_retval},
    programs::SockAddrContext,
};
use netmap_common::{
    maps::{Address, Address6, Hook, Place, Port, PortSlots, Protocol, Reason, Rule, RuleId, Slot},
    nat::{Rules as _, published},
};

use super::{
    ALLOW, call,
    family::{Family as _, V4, named, port},
};
use crate::maps::{self, Published, Tables};

const REFUSE: i32 = 0;
const EADDRINUSE: i32 = 98;

/// Refuses to bind a published port, as a bound socket would; the daemon's own sockets carry a mark.
#[inline(always)]
pub(crate) fn hold4(ctx: &SockAddrContext) -> i32 {
    let place = V4::place(ctx);
    let protocol = call::protocol(ctx);
    match (protocol, place) {
        (Some(protocol), Some(place)) if is_held(protocol, place) => refuse(ctx),
        _ => ALLOW,
    }
}

/// The same for IPv6 sockets, which may bind IPv4 addresses too.
#[inline(always)]
pub(crate) fn hold6(ctx: &SockAddrContext) -> i32 {
    let address = named(ctx);
    let port = port(ctx);
    let Some(protocol) = call::protocol(ctx) else {
        return ALLOW;
    };
    let is_held = match address.to_mapped() {
        Some(address) => is_held(protocol, Place::new(address, port)),
        None if address == Address6::ANY && is_range_of_ipv4(protocol, port) => true,
        None => is_held(protocol, Place::new(address, port)),
    };
    if is_held { refuse(ctx) } else { ALLOW }
}

/// Says "address in use", except to the daemon itself and to containers: those share the cgroup tree but not the network
/// namespace.
#[inline(always)]
fn refuse(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    let sk = unsafe { read_volatile(addr_of!((*ctx.sock_addr).__bindgen_anon_1.sk)) };
    let settings = maps::settings();
    // SAFETY: the context is the program's own.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    if netns != settings.netns_cookie || sk.is_null() {
        return ALLOW;
    }
    // SAFETY: not null.
    let mark = unsafe { read_volatile(addr_of!((*sk).mark)) };
    if mark == settings.socket_mark {
        return ALLOW;
    }
    maps::count(Hook::Socket, Reason::PortHeld, 0);
    // SAFETY: takes a number.
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

/// A program that binds every address collides with whatever address is published. What an engine had published its own
/// sockets keep: it must be able to bind them anew.
#[inline(always)]
fn is_held<A: Tables>(protocol: Protocol, place: Place<A>) -> bool {
    if place.port == Port(0) {
        return false;
    }
    if place.address != A::ANY {
        return published(&Published::RULES, protocol, place.address, place.port)
            .is_some_and(|(_, rule)| !rule.is_of_engine());
    }
    match slot::<A>(protocol, place.port) {
        Slot::EMPTY => false,
        Slot::SHARED => true,
        Slot(rule) => Published::<A>::RULES
            .rule(RuleId(rule))
            .is_some_and(|rule| rule.is_live() && !rule.is_of_engine()),
    }
}

/// Whether the port is IPv4's, and kept by nothing but these hooks. A socket on `[::]` takes IPv4 as well unless it says
/// otherwise (`IPV6_V6ONLY`), which no hook can see: it is taken for one that does. Where sockets keep the port, the kernel
/// knows better.
#[inline(always)]
fn is_range_of_ipv4(protocol: Protocol, port: Port) -> bool {
    let slot = slot::<Address>(protocol, port);
    if port == Port(0) || slot == Slot::EMPTY || slot == Slot::SHARED {
        return false;
    }
    Published::<Address>::RULES
        .rule(RuleId(slot.0))
        .is_some_and(|rule| rule.is_live() && rule.length > Rule::MOST_SOCKETS)
}

#[inline(always)]
fn slot<A: Tables>(protocol: Protocol, port: Port) -> Slot {
    PortSlots::index(protocol, port).map_or(Slot::EMPTY, |index| Published::<A>::RULES.slot(index))
}
