//! How a hook shows the address of a call: IPv4 as it is, or inside an IPv6 address.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_bind, programs::SockAddrContext};
use netmap_common::maps::{Address, Place, Port};

/// The fields of a context that hold an address.
pub(crate) trait Family {
    /// The address and port that the call names, `None` when that is no IPv4 address.
    fn place(ctx: &SockAddrContext) -> Option<Place>;

    /// Lets the call name another.
    fn set_place(ctx: &SockAddrContext, place: Place);

    /// Fixes the socket's source address and leaves its port to the kernel. Fails for a socket that has a port; then
    /// the kernel picks the address.
    fn bind(ctx: &SockAddrContext, address: Address);
}

/// Calls on IPv4 sockets.
pub(crate) struct V4;

impl Family for V4 {
    #[inline(always)]
    fn place(ctx: &SockAddrContext) -> Option<Place> {
        // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order.
        let address = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip4)) };
        Some(Place::new(Address(u32::from_be(address)), port(ctx)))
    }

    #[inline(always)]
    fn set_place(ctx: &SockAddrContext, place: Place) {
        let address = place.address.0.to_be();
        // SAFETY: as above; the field is writable where this is called.
        unsafe { write_volatile(addr_of_mut!((*ctx.sock_addr).user_ip4), address) };
        set_port(ctx, place.port);
    }

    #[inline(always)]
    fn bind(ctx: &SockAddrContext, address: Address) {
        /// `struct sockaddr_in`.
        #[repr(C)]
        struct SocketAddress {
            family: u16,
            port: u16,
            address: u32,
            zero: [u32; 2],
        }
        let mut source = SocketAddress {
            family: 2,
            port: 0,
            address: address.0.to_be(),
            zero: [0; 2],
        };
        let size = size_of::<SocketAddress>() as i32;
        // SAFETY: the address is initialised and of the size given.
        unsafe { bpf_bind(ctx.as_ptr().cast(), (&raw mut source).cast(), size) };
    }
}

/// Calls on IPv6 sockets, which name IPv4 addresses as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
pub(crate) struct V6;

const MAPPED: u32 = 0xffff_u32.to_be();

impl Family for V6 {
    #[inline(always)]
    fn place(ctx: &SockAddrContext) -> Option<Place> {
        // Every field is read before the first branch, see `steer`.
        // SAFETY: as for IPv4. Network byte order.
        let first = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip6[0])) };
        // SAFETY: as above.
        let second = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip6[1])) };
        // SAFETY: as above.
        let third = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip6[2])) };
        // SAFETY: as above.
        let last = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip6[3])) };
        let port = port(ctx);
        let is_mapped = first == 0 && second == 0 && third == MAPPED;
        is_mapped.then_some(Place::new(Address(u32::from_be(last)), port))
    }

    #[inline(always)]
    fn set_place(ctx: &SockAddrContext, place: Place) {
        let address = place.address.0.to_be();
        // SAFETY: as for IPv4. The words before it stay those of a mapped address.
        unsafe { write_volatile(addr_of_mut!((*ctx.sock_addr).user_ip6[3]), address) };
        set_port(ctx, place.port);
    }

    #[inline(always)]
    fn bind(ctx: &SockAddrContext, address: Address) {
        /// `struct sockaddr_in6`.
        #[repr(C)]
        struct SocketAddress {
            family: u16,
            port: u16,
            flow: u32,
            address: [u32; 4],
            scope: u32,
        }
        let mut source = SocketAddress {
            family: 10,
            port: 0,
            flow: 0,
            address: [0, 0, MAPPED, address.0.to_be()],
            scope: 0,
        };
        let size = size_of::<SocketAddress>() as i32;
        // SAFETY: the address is initialised and of the size given.
        unsafe { bpf_bind(ctx.as_ptr().cast(), (&raw mut source).cast(), size) };
    }
}

#[inline(always)]
fn port(ctx: &SockAddrContext) -> Port {
    // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order.
    let port = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_port)) };
    Port(u16::from_be(port as u16))
}

#[inline(always)]
fn set_port(ctx: &SockAddrContext, port: Port) {
    // SAFETY: as above; the field is writable where this is called.
    unsafe {
        write_volatile(
            addr_of_mut!((*ctx.sock_addr).user_port),
            u32::from(port.0.to_be()),
        );
    };
}
