//! The socket hooks: published ports to the proxy, and away from everybody else. The only file that touches their
//! contexts.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_netns_cookie, bpf_set_retval},
    programs::{SkLookupContext, SockAddrContext},
};
use netmap_common::{
    maps::{Address, Hook, Port, PortSlots, Protocol, Reason, Slot, socket},
    nat::{Rules as _, published},
};

use crate::maps::{self, SOCKETS, Tables};

const AF_INET: u32 = 2;
/// `SK_PASS`: the socket that was assigned, or else whoever listens.
const PASS: u32 = 1;

/// Gives a connection or datagram to a published port to the proxy's socket.
#[inline(always)]
pub(crate) fn steer(ctx: &SkLookupContext) -> u32 {
    // Every field is read before the first branch: LLVM would else merge the reads into one pointer with an offset
    // that varies, which the verifier refuses.
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    let family = unsafe { read_volatile(addr_of!((*ctx.lookup).family)) };
    // SAFETY: as above.
    let protocol = unsafe { read_volatile(addr_of!((*ctx.lookup).protocol)) };
    // SAFETY: as above. Network byte order.
    let address = unsafe { read_volatile(addr_of!((*ctx.lookup).local_ip4)) };
    // SAFETY: as above. Host byte order.
    let port = unsafe { read_volatile(addr_of!((*ctx.lookup).local_port)) };
    let (protocol, index) = match protocol {
        6 => (Protocol::Tcp, socket::TCP4),
        17 => (Protocol::Udp, socket::UDP4),
        _ => return PASS,
    };
    if family != AF_INET || maps::is_probing() {
        return PASS;
    }
    // The packet is delivered here, so its destination is an address of this host.
    let address = Address(u32::from_be(address));
    match published(&Tables, protocol, address, Port(port as u16)) {
        Some((_, rule)) if !rule.yields() => {}
        _ => return PASS,
    }
    // Without the proxy's socket (the daemon is away) whoever listens gets it, else the client hears a reset.
    let reason = match SOCKETS.redirect_sk_lookup(ctx, index, 0) {
        Ok(()) => Reason::Proxied,
        Err(_) => Reason::NoProxy,
    };
    maps::count(Hook::Socket, reason, 0);
    PASS
}

const ALLOW: i32 = 1;
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
    let settings = Tables::settings();
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
        return published(&Tables, protocol, address, port).is_some();
    }
    PortSlots::index(protocol, port).is_some_and(|index| Tables.slot(index) != Slot::EMPTY)
}
