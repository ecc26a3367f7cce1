//! How a hook shows the addresses of a call: IPv4 as it is, IPv6, or IPv4 inside IPv6.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::{
    EbpfContext as _, bindings::bpf_sock, helpers::generated::bpf_bind, programs::SockAddrContext,
};
use netmap_common::{
    maps::{Address, Address6, Ip as _, Place, Port},
    nat::Family as _,
};

use crate::maps::Tables;

/// The fields of a context that hold an address.
pub(crate) trait Family {
    /// The family of the addresses, whose tables count.
    type Ip: Tables;

    /// The address and port that the call names, `None` when that is no address of this family.
    fn place(ctx: &SockAddrContext) -> Option<Place<Self::Ip>>;

    /// Lets the call name another.
    fn set_place(ctx: &SockAddrContext, place: &Place<Self::Ip>);

    /// What the socket is bound to.
    ///
    /// # Safety
    ///
    /// It is the socket of a context, and not null.
    unsafe fn source(sk: *const bpf_sock) -> Self::Ip;

    /// Whom the socket is connected to.
    ///
    /// # Safety
    ///
    /// As above.
    unsafe fn peer(sk: *const bpf_sock) -> Self::Ip;

    /// Fixes the socket's source address and leaves its port to the kernel. Fails for a socket that has a port; then
    /// the kernel picks the address.
    fn bind(ctx: &SockAddrContext, address: Self::Ip);
}

/// Calls that send a datagram.
pub(crate) trait Datagrams: Family {
    /// The datagram's source: what the socket is bound to, unless it brings one of its own (`IP_PKTINFO`,
    /// `IPV6_PKTINFO`).
    fn message_source(ctx: &SockAddrContext) -> Self::Ip;

    /// Lets it have another.
    fn set_message_source(ctx: &SockAddrContext, address: Self::Ip);
}

/// Calls on IPv4 sockets.
pub(crate) struct V4;

/// Calls on IPv6 sockets that name IPv6 addresses.
pub(crate) struct V6;

/// Calls on IPv6 sockets that name IPv4 addresses, as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
pub(crate) struct Mapped;

impl Family for V4 {
    type Ip = Address;

    #[inline(always)]
    fn place(ctx: &SockAddrContext) -> Option<Place> {
        // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order.
        let address = unsafe { read_volatile(addr_of!((*ctx.sock_addr).user_ip4)) };
        Some(Place::new(Address(u32::from_be(address)), port(ctx)))
    }

    #[inline(always)]
    fn set_place(ctx: &SockAddrContext, place: &Place) {
        let address = place.address.0.to_be();
        // SAFETY: as above; the field is writable where this is called.
        unsafe { write_volatile(addr_of_mut!((*ctx.sock_addr).user_ip4), address) };
        set_port(ctx, place.port);
    }

    #[inline(always)]
    unsafe fn source(sk: *const bpf_sock) -> Address {
        // SAFETY: not null, and the kernel's verifier knows its fields. Network byte order.
        Address(u32::from_be(unsafe { read_volatile(addr_of!((*sk).src_ip4)) }))
    }

    #[inline(always)]
    unsafe fn peer(sk: *const bpf_sock) -> Address {
        // SAFETY: as above.
        Address(u32::from_be(unsafe { read_volatile(addr_of!((*sk).dst_ip4)) }))
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

impl Datagrams for V4 {
    #[inline(always)]
    fn message_source(ctx: &SockAddrContext) -> Address {
        // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order.
        Address(u32::from_be(unsafe {
            read_volatile(addr_of!((*ctx.sock_addr).msg_src_ip4))
        }))
    }

    #[inline(always)]
    fn set_message_source(ctx: &SockAddrContext, address: Address) {
        // SAFETY: as above; the field is writable.
        unsafe { write_volatile(addr_of_mut!((*ctx.sock_addr).msg_src_ip4), address.0.to_be()) };
    }
}

impl Family for V6 {
    type Ip = Address6;

    #[inline(always)]
    fn place(ctx: &SockAddrContext) -> Option<Place<Address6>> {
        let address = named(ctx);
        let port = port(ctx);
        if address.is_mapped() {
            return None;
        }
        // Whatever a socket is bound to, the kernel takes :: for ::1.
        let address = if address == Address6::ANY {
            Address6::LOCALHOST
        } else {
            address
        };
        Some(Place::new(address, port))
    }

    #[inline(always)]
    fn set_place(ctx: &SockAddrContext, place: &Place<Address6>) {
        // SAFETY: the kernel's verifier knows the context's fields; this one is writable where this is called.
        unsafe { set_words(addr_of_mut!((*ctx.sock_addr).user_ip6), place.address) };
        set_port(ctx, place.port);
    }

    #[inline(always)]
    unsafe fn source(sk: *const bpf_sock) -> Address6 {
        // SAFETY: not null, and the kernel's verifier knows its fields.
        unsafe { words(addr_of!((*sk).src_ip6)) }
    }

    #[inline(always)]
    unsafe fn peer(sk: *const bpf_sock) -> Address6 {
        // SAFETY: as above.
        unsafe { words(addr_of!((*sk).dst_ip6)) }
    }

    #[inline(always)]
    fn bind(ctx: &SockAddrContext, address: Address6) {
        bind6(ctx, address);
    }
}

impl Datagrams for V6 {
    #[inline(always)]
    fn message_source(ctx: &SockAddrContext) -> Address6 {
        // SAFETY: the kernel's verifier knows the context's fields.
        unsafe { words(addr_of!((*ctx.sock_addr).msg_src_ip6)) }
    }

    #[inline(always)]
    fn set_message_source(ctx: &SockAddrContext, address: Address6) {
        // SAFETY: as above; the field is writable.
        unsafe { set_words(addr_of_mut!((*ctx.sock_addr).msg_src_ip6), address) };
    }
}

impl Family for Mapped {
    type Ip = Address;

    #[inline(always)]
    fn place(ctx: &SockAddrContext) -> Option<Place> {
        let address = named(ctx);
        let port = port(ctx);
        Some(Place::new(address.to_mapped()?, port))
    }

    #[inline(always)]
    fn set_place(ctx: &SockAddrContext, place: &Place) {
        V6::set_place(ctx, &Place::new(Address6::mapped(place.address), place.port));
    }

    #[inline(always)]
    unsafe fn source(sk: *const bpf_sock) -> Address {
        // SAFETY: as is promised to this.
        unsafe { V4::source(sk) }
    }

    #[inline(always)]
    unsafe fn peer(sk: *const bpf_sock) -> Address {
        // SAFETY: as above.
        unsafe { V4::peer(sk) }
    }

    #[inline(always)]
    fn bind(ctx: &SockAddrContext, address: Address) {
        bind6(ctx, Address6::mapped(address));
    }
}

/// The address that a call on an IPv6 socket names.
#[inline(always)]
pub(super) fn named(ctx: &SockAddrContext) -> Address6 {
    // SAFETY: the kernel's verifier knows the context's fields.
    unsafe { words(addr_of!((*ctx.sock_addr).user_ip6)) }
}

#[inline(always)]
fn bind6(ctx: &SockAddrContext, address: Address6) {
    /// `struct sockaddr_in6`.
    #[repr(C)]
    struct SocketAddress {
        family: u16,
        port: u16,
        flow: u32,
        address: Address6,
        scope: u32,
    }
    let mut source = SocketAddress {
        family: 10,
        port: 0,
        flow: 0,
        address: address.to_be(),
        scope: 0,
    };
    let size = size_of::<SocketAddress>() as i32;
    // SAFETY: the address is initialised and of the size given.
    unsafe { bpf_bind(ctx.as_ptr().cast(), (&raw mut source).cast(), size) };
}

/// Reads an address of a context, a word at a time as the kernel wants it, and all words before the first branch: LLVM
/// would else merge the reads into one pointer with an offset that varies, which the verifier refuses.
///
/// # Safety
///
/// `field` is in a context, or in the socket of one, and in network byte order.
#[inline(always)]
pub(super) unsafe fn words(field: *const [u32; 4]) -> Address6 {
    let word: *const u32 = field.cast();
    // SAFETY: as is promised to this.
    let first = unsafe { read_volatile(word) };
    // SAFETY: as above.
    let second = unsafe { read_volatile(word.add(1)) };
    // SAFETY: as above.
    let third = unsafe { read_volatile(word.add(2)) };
    // SAFETY: as above.
    let last = unsafe { read_volatile(word.add(3)) };
    Address6([first, second, third, last]).to_be()
}

/// Writes one in the same way.
///
/// # Safety
///
/// `field` is in a context, and the kernel lets it be written.
#[inline(always)]
unsafe fn set_words(field: *mut [u32; 4], address: Address6) {
    let word: *mut u32 = field.cast();
    let Address6([first, second, third, last]) = address.to_be();
    // SAFETY: as is promised to this.
    unsafe { write_volatile(word, first) };
    // SAFETY: as above.
    unsafe { write_volatile(word.add(1), second) };
    // SAFETY: as above.
    unsafe { write_volatile(word.add(2), third) };
    // SAFETY: as above.
    unsafe { write_volatile(word.add(3), last) };
}

/// The port that a call names.
#[inline(always)]
pub(super) fn port(ctx: &SockAddrContext) -> Port {
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
