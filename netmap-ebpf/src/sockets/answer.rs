//! What a socket on a detour sees: the peer that it asked for.

use aya_ebpf::programs::SockAddrContext;
use netmap_common::{
    maps::{Address, Detour},
    nat::local,
};

use super::{ALLOW, call, family::Family};
use crate::maps::{self, Published};

/// The source of a datagram, as the receiver is told it. One that comes after its port was taken back, or given to
/// another container, is not an answer of that port any more.
#[inline(always)]
pub(crate) fn recvmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    if let Some(detour) = detour::<F>(ctx)
        && let Some(protocol) = call::protocol(ctx)
        && local::is_current(&Published::<Address>::RULES, protocol, &detour)
    {
        F::set_place(ctx, detour.origin);
    }
    ALLOW
}

/// The peer of a connected socket.
#[inline(always)]
pub(crate) fn getpeername<F: Family>(ctx: &SockAddrContext) -> i32 {
    if let Some(detour) = detour::<F>(ctx) {
        F::set_place(ctx, detour.origin);
    }
    ALLOW
}

/// The socket's detour to the peer that the call names.
#[inline(always)]
fn detour<F: Family>(ctx: &SockAddrContext) -> Option<Detour> {
    let peer = F::place(ctx)?;
    maps::with_detours::<Address, _>(ctx, |detours| detours.to(peer)).flatten()
}
