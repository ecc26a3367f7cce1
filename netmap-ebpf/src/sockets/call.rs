//! A call that names a destination, and the socket that makes it.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_get_netns_cookie, programs::SockAddrContext};
use netmap_common::{
    maps::{Address, Detour, IfIndex, Place, Protocol},
    nat::local::{self, Caller},
};

use super::family::Family;
use crate::maps::{self, Tables};

/// A socket that connects or sends.
pub(super) struct Call<'ctx> {
    ctx: &'ctx SockAddrContext,
    protocol: Protocol,
    to: Place,
    source: Address,
    device: IfIndex,
    mark: u32,
}

impl<'ctx> Call<'ctx> {
    /// The call under a hook; its source, if it is fixed, is the one that the socket is bound to.
    #[inline(always)]
    pub(super) fn read<F: Family>(ctx: &'ctx SockAddrContext) -> Option<Self> {
        let protocol = protocol(ctx);
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        let sk = unsafe { read_volatile(addr_of!((*ctx.sock_addr).__bindgen_anon_1.sk)) };
        if sk.is_null() {
            return None;
        }
        // SAFETY: not null, and the kernel's verifier knows its fields. Network byte order.
        let source = unsafe { read_volatile(addr_of!((*sk).src_ip4)) };
        // SAFETY: as above.
        let device = unsafe { read_volatile(addr_of!((*sk).bound_dev_if)) };
        // SAFETY: as above.
        let mark = unsafe { read_volatile(addr_of!((*sk).mark)) };
        Some(Self {
            ctx,
            protocol: protocol?,
            to: F::place(ctx)?,
            source: Address(u32::from_be(source)),
            device: IfIndex(device),
            mark,
        })
    }

    /// The same with the source of one datagram.
    #[inline(always)]
    pub(super) fn with_source(self, source: Address) -> Self {
        Self { source, ..self }
    }

    /// Where the call goes instead, which the socket remembers from now on; `None` leaves it alone.
    #[inline(always)]
    pub(super) fn detour(&self) -> Option<Detour> {
        let Some(detour) = local::detour(&Tables, self, self.protocol, self.to) else {
            // Answers of this peer must not be shown as another's.
            if let Some(detours) = maps::detours(self.ctx) {
                detours.forget(self.to);
            }
            return None;
        };
        let is_taken = maps::detours_or_new(self.ctx)?.take(&detour);
        is_taken.then_some(detour)
    }
}

impl Caller for Call<'_> {
    #[inline(always)]
    fn source(&self) -> Address {
        self.source
    }

    #[inline(always)]
    fn device(&self) -> IfIndex {
        self.device
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        self.mark
    }

    #[inline(always)]
    fn netns(&self) -> u64 {
        // SAFETY: the context is the program's own.
        unsafe { bpf_get_netns_cookie(self.ctx.as_ptr()) }
    }
}

/// The socket's protocol, if its ports can be published.
#[inline(always)]
pub(super) fn protocol(ctx: &SockAddrContext) -> Option<Protocol> {
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    match unsafe { read_volatile(addr_of!((*ctx.sock_addr).protocol)) } {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => None,
    }
}
