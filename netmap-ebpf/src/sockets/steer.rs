//! Published ports to the proxy.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::programs::SkLookupContext;
use netmap_common::{
    maps::{Address, Hook, Port, Protocol, Reason, socket},
    nat::published,
};

use crate::maps::{self, Published, SOCKETS};

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
    match published(&Published::RULES, protocol, address, Port(port as u16)) {
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
