//! Published ports away from other programs.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_netns_cookie, bpf_set_retval},
    programs::SockAddrContext,
};
use netmap_common::{
    maps::{Address, Hook, Port, PortSlots, Protocol, Reason, Slot},
    nat::{Rules as _, published},
};

use super::ALLOW;
use crate::maps::{self, Published};

const REFUSE: i32 = 0;
const EADDRINUSE: i32 = 98;

/// Refuses to bind a published port, as a bound socket would; the daemon's own sockets carry a mark.
#[inline(always)]
pub(crate) fn hold(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    let protocol = unsafe { read_volatile(addr_of!((*ctx.sock_addr).protocol)) };
    // SAFETY: as above. Network byte order.
    let address = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip4)) };
    // SAFETY: as above. Network byte order.
    let port = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_port)) };
    // SAFETY: as above.
    let sk = unsafe { read_volatile(addr_of!((*ctx.sock_addr).__bindgen_anon_1.sk)) };
    let protocol = match protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return ALLOW,
    };
    let (address, port) = (Address(u32::from_be(address)), Port(u16::from_be(port as u16)));
    if port == Port(0) || !is_held(protocol, address, port) {
        return ALLOW;
    }
    let settings = maps::settings();
    // SAFETY: the context is the program's own. Containers share the cgroup tree but not the network namespace.
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

/// A program that binds every address collides with whatever address is published.
#[inline(always)]
fn is_held(protocol: Protocol, address: Address, port: Port) -> bool {
    if address != Address::ANY {
        return published(&Published::RULES, protocol, address, port).is_some();
    }
    PortSlots::index(protocol, port)
        .is_some_and(|index| Published::<Address>::RULES.slot(index) != Slot::EMPTY)
}
