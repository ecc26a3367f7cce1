//! Published ports to the proxy.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::programs::SkLookupContext;
use netmap_common::{
    maps::{Address, Hook, IfIndex, Interface, Local, Port, Protocol, Reason, Role, socket},
    nat::published,
};

use super::family::words;
use crate::{
    maps::{self, Published, SOCKETS, Tables},
    world,
};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// `SK_PASS`: the socket that was assigned, or else whoever listens.
const PASS: u32 = 1;
/// `SK_DROP`: as if nobody listened.
const DROP: u32 = 0;
/// The loopback interface (`LOOPBACK_IFINDEX`), by which the host's own packets come.
const LOOPBACK: IfIndex = IfIndex(1);

/// What becomes of a connection or datagram.
enum Target {
    /// Not published.
    None,
    /// Published, and not for those who come from there.
    Closed,
    /// The proxy's socket of this index.
    Proxy(u32),
}

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
    // SAFETY: as above. Network byte order.
    let client = unsafe { read_volatile(addr_of!((*ctx.lookup).remote_ip4)) };
    // SAFETY: as above.
    let client6 = unsafe { words(addr_of!((*ctx.lookup).remote_ip6)) };
    // SAFETY: as above.
    let from = unsafe { read_volatile(addr_of!((*ctx.lookup).ingress_ifindex)) };
    if maps::is_probing() {
        return PASS;
    }
    let (from, port) = (IfIndex(from), Port(port as u16));
    let [address, client] = [address, client].map(|address| Address(u32::from_be(address)));
    let target = match (family, protocol) {
        (AF_INET, 6) => give(Protocol::Tcp, (from, client), address, port, socket::TCP4),
        (AF_INET, 17) => give(Protocol::Udp, (from, client), address, port, socket::UDP4),
        (AF_INET6, 6) => give(Protocol::Tcp, (from, client6), address6, port, socket::TCP6),
        (AF_INET6, 17) => give(Protocol::Udp, (from, client6), address6, port, socket::UDP6),
        _ => Target::None,
    };
    let index = match target {
        Target::None => return PASS,
        Target::Closed => {
            maps::count(Hook::Socket, Reason::NotPublishedHere, 0);
            return DROP;
        }
        Target::Proxy(index) => index,
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
fn give<A: Tables>(protocol: Protocol, from: (IfIndex, A), address: A, port: Port, index: u32) -> Target {
    match published(&Published::RULES, protocol, address, port) {
        Some((_, rule)) if rule.yields() => Target::None,
        Some(_) if is_closed(from, address) => Target::Closed,
        Some(_) => Target::Proxy(index),
        None => Target::None,
    }
}

/// Whether nothing is published for this client, who comes by this interface, at this address: the uplinks' own hooks drop
/// what asks for it, but not what comes by an interface that netmap does not manage, or in a VLAN.
///
/// The host's own packets of IPv6 to itself come by the interface that has the address (`ip6_rcv_core`): they are told by
/// their source.
#[inline(always)]
fn is_closed<A: Tables>((from, client): (IfIndex, A), address: A) -> bool {
    if from == LOOPBACK || maps::local(client).is_some() {
        return false;
    }
    let local = maps::local(address);
    match world::interface::<A>(from) {
        Some(uplink) if uplink.role == Role::Uplink as u8 => {
            // An address so new that nobody has written it down yet is not open.
            uplink.flags & Interface::<A>::CLOSED != 0 && local.is_none_or(Local::is_closed)
        }
        Some(_) => false,
        None => local.is_some_and(Local::is_closed),
    }
}
