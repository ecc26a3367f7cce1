//! What a socket on a detour sees: the peer that it asked for.

use aya_ebpf::programs::SockAddrContext;
use netmap_common::{maps::Detour, nat::local};

use super::{
    ALLOW, call,
    family::{Family, Mapped, V4, V6},
};
use crate::maps::{self, Published};

/// The source of a datagram, as the receiver is told it.
#[inline(always)]
pub(crate) fn recvmsg4(ctx: &SockAddrContext) -> i32 {
    recvmsg::<V4>(ctx)
}

/// The same for IPv6 sockets, whose peers may be IPv4's.
#[inline(always)]
pub(crate) fn recvmsg6(ctx: &SockAddrContext) -> i32 {
    match V6::place(ctx) {
        Some(_) => recvmsg::<V6>(ctx),
        None => recvmsg::<Mapped>(ctx),
    }
}

/// The peer of a connected socket.
#[inline(always)]
pub(crate) fn getpeername4(ctx: &SockAddrContext) -> i32 {
    getpeername::<V4>(ctx)
}

/// The same for IPv6 sockets.
#[inline(always)]
pub(crate) fn getpeername6(ctx: &SockAddrContext) -> i32 {
    match V6::place(ctx) {
        Some(_) => getpeername::<V6>(ctx),
        None => getpeername::<Mapped>(ctx),
    }
}

/// One that comes after its port was taken back, or given to another container, is not an answer of that port any more.
#[inline(always)]
fn recvmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    if let Some(detour) = detour::<F>(ctx)
        && let Some(protocol) = call::protocol(ctx)
        && local::is_current(&Published::<F::Ip>::RULES, protocol, &detour)
    {
        F::set_place(ctx, &detour.origin);
    }
    ALLOW
}

#[inline(always)]
fn getpeername<F: Family>(ctx: &SockAddrContext) -> i32 {
    if let Some(detour) = detour::<F>(ctx) {
        F::set_place(ctx, &detour.origin);
    }
    ALLOW
}

/// The socket's detour to the peer that the call names.
#[inline(always)]
fn detour<F: Family>(ctx: &SockAddrContext) -> Option<Detour<F::Ip>> {
    let peer = F::place(ctx)?;
    maps::with_detours::<F::Ip, _>(ctx, |detours| detours.to(peer)).flatten()
}
