//! The host's own sockets straight to containers: on connect, and for each datagram of an unconnected socket.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::programs::SockAddrContext;
use netmap_common::{
    maps::{Address, Hook, Reason},
    nat::local,
};

use super::{
    ALLOW,
    call::Call,
    family::{Family, V4},
};
use crate::maps;

/// connect(2), and the beginning of a TCP connection by sendto(2) (`MSG_FASTOPEN`).
#[inline(always)]
pub(crate) fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let Some(call) = Call::read::<F>(ctx) else {
        return ALLOW;
    };
    let Some(detour) = call.detour() else {
        return ALLOW;
    };
    if let Some(source) = local::source(&call, &detour) {
        F::bind(ctx, source);
    }
    F::set_place(ctx, detour.target);
    call.remember_client(&detour);
    maps::count(Hook::Socket, Reason::Connected, 0);
    ALLOW
}

/// A datagram whose destination is given with it. IPv4 destinations of IPv6 sockets come here, too.
#[inline(always)]
pub(crate) fn sendmsg(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order. It is what the socket
    // is bound to, unless the datagram brings a source of its own (IP_PKTINFO).
    let source = unsafe { read_volatile(addr_of!((*ctx.sock_addr).msg_src_ip4)) };
    let Some(call) = Call::read::<V4>(ctx) else {
        return ALLOW;
    };
    if call.is_to_its_peer() {
        return ALLOW;
    }
    let call = call.with_source(Address(u32::from_be(source)));
    let Some(detour) = call.detour() else {
        return ALLOW;
    };
    if let Some(source) = local::source(&call, &detour) {
        // SAFETY: as above; the field is writable.
        unsafe { write_volatile(addr_of_mut!((*ctx.sock_addr).msg_src_ip4), source.0.to_be()) };
    }
    V4::set_place(ctx, detour.target);
    maps::count(Hook::Socket, Reason::Connected, 0);
    ALLOW
}
