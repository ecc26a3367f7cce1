//! Published ports to the proxy.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::programs::SkLookupContext;
use netmap_common::{
    maps::{Address, Hook, Port, Protocol, Reason, socket},
    nat::published,
};

use super::family::words;
use crate::maps::{self, Published, SOCKETS, Tables};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// `SK_PASS`: the socket that was assigned, or else whoever listens.
const PASS: u32 = 1;

/// Gives a connection or datagram to a published port to the proxy's socket.
#[inline(always)]
pub(crate) fn steer(ctx: &SkLookupContext) -> u32 {
    // Every field is read before the first branch, see `words`.
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    let family = unsafe { read_volatile(addr_of!((*ctx.lookup).family)) };
    // SAFETY: as above.
    let protocol = unsafe { read_volatile(addr_of!((*ctx.lookup).protocol)) };
    // SAFETY: as above. Network byte order.
    let address = unsafe { read_volatile(addr_of!((*ctx.lookup).local_ip4)) };
    // SAFETY: as above.
    let address6 = unsafe { words(addr_of!((*ctx.lookup).local_ip6)) };
    // SAFETY: as above. Host byte order.
    let port = unsafe { read_volatile(addr_of!((*ctx.lookup).local_port)) };
    if maps::is_probing() {
        return PASS;
    }
    let port = Port(port as u16);
    let address = Address(u32::from_be(address));
    let index = match (family, protocol) {
        (AF_INET, 6) => give(Protocol::Tcp, address, port, socket::TCP4),
        (AF_INET, 17) => give(Protocol::Udp, address, port, socket::UDP4),
        (AF_INET6, 6) => give(Protocol::Tcp, address6, port, socket::TCP6),
        (AF_INET6, 17) => give(Protocol::Udp, address6, port, socket::UDP6),
        _ => None,
    };
    let Some(index) = index else {
        return PASS;
    };
    // Without the proxy's socket (the daemon is away) whoever listens gets it, else the client hears a reset.
    let reason = match SOCKETS.redirect_sk_lookup(ctx, index, 0) {
        Ok(()) => Reason::Proxied,
        Err(_) => Reason::NoProxy,
    };
    maps::count(Hook::Socket, reason, 0);
    PASS
}

/// The index of the socket, if the port is published. The packet is delivered here, so that its destination is an address
/// of this host.
#[inline(always)]
fn give<A: Tables>(protocol: Protocol, address: A, port: Port, index: u32) -> Option<u32> {
    let (_, rule) = published(&Published::RULES, protocol, address, port)?;
    (!rule.yields()).then_some(index)
}
