//! The host's own sockets straight to containers: on connect, and for each datagram of an unconnected socket.

use aya_ebpf::programs::SockAddrContext;
use netmap_common::{
    maps::{Hook, Reason},
    nat::local,
};

use super::{
    ALLOW,
    call::Call,
    family::{Datagrams, Family, Mapped, V4, V6},
};
use crate::maps;

/// connect(2), and the beginning of a TCP connection by sendto(2) (`MSG_FASTOPEN`).
#[inline(always)]
pub(crate) fn connect4(ctx: &SockAddrContext) -> i32 {
    connect::<V4>(ctx)
}

/// The same for IPv6 sockets, to peers of either family.
#[inline(always)]
pub(crate) fn connect6(ctx: &SockAddrContext) -> i32 {
    match V6::place(ctx) {
        Some(_) => connect::<V6>(ctx),
        None => connect::<Mapped>(ctx),
    }
}

/// A datagram whose destination is given with it. IPv4 destinations of IPv6 sockets come here, too.
#[inline(always)]
pub(crate) fn sendmsg4(ctx: &SockAddrContext) -> i32 {
    sendmsg::<V4>(ctx)
}

/// The same for IPv6 destinations.
#[inline(always)]
pub(crate) fn sendmsg6(ctx: &SockAddrContext) -> i32 {
    sendmsg::<V6>(ctx)
}

#[inline(always)]
fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let Some(call) = Call::<F>::read(ctx) else {
        return ALLOW;
    };
    let Some(detour) = call.detour() else {
        return ALLOW;
    };
    if let Some(source) = local::source(&call, &detour) {
        F::bind(ctx, source);
    }
    F::set_place(ctx, &detour.target);
    call.remember_client(&detour);
    maps::count(Hook::Socket, Reason::Connected, 0);
    ALLOW
}

#[inline(always)]
fn sendmsg<F: Datagrams>(ctx: &SockAddrContext) -> i32 {
    let source = F::message_source(ctx);
    let Some(call) = Call::<F>::read(ctx) else {
        return ALLOW;
    };
    if call.is_to_its_peer() {
        return ALLOW;
    }
    let call = call.with_source(source);
    let Some(detour) = call.detour() else {
        return ALLOW;
    };
    if let Some(source) = local::source(&call, &detour) {
        F::set_message_source(ctx, source);
    }
    F::set_place(ctx, &detour.target);
    maps::count(Hook::Socket, Reason::Connected, 0);
    ALLOW
}
