//! A call that names a destination, and the socket that makes it.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_get_netns_cookie, programs::SockAddrContext};
use netmap_common::{
    maps::{Detour, IfIndex, Place, Port, Protocol},
    nat::local::{self, Caller},
};

use super::family::Family;
use crate::maps::{self, Published};

/// A socket that connects or sends.
pub(super) struct Call<'ctx, F: Family> {
    ctx: &'ctx SockAddrContext,
    protocol: Protocol,
    to: Place<F::Ip>,
    /// Whom the socket is connected to already.
    peer: Place<F::Ip>,
    source: F::Ip,
    device: IfIndex,
    mark: u32,
}

impl<'ctx, F: Family> Call<'ctx, F> {
    /// The call under a hook; its source, if it is fixed, is the one that the socket is bound to.
    #[inline(always)]
    pub(super) fn read(ctx: &'ctx SockAddrContext) -> Option<Self> {
        let protocol = protocol(ctx);
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        let sk = unsafe { read_volatile(addr_of!((*ctx.sock_addr).__bindgen_anon_1.sk)) };
        if sk.is_null() {
            return None;
        }
        // SAFETY: the context's, and not null.
        let source = unsafe { F::source(sk) };
        // SAFETY: as above.
        let peer = unsafe { F::peer(sk) };
        // SAFETY: as above, and the kernel's verifier knows its fields. Network byte order.
        let peer_port = unsafe { read_volatile(addr_of!((*sk).dst_port)) };
        // SAFETY: as above.
        let device = unsafe { read_volatile(addr_of!((*sk).bound_dev_if)) };
        // SAFETY: as above.
        let mark = unsafe { read_volatile(addr_of!((*sk).mark)) };
        Some(Self {
            ctx,
            protocol: protocol?,
            to: F::place(ctx)?,
            peer: Place::new(peer, Port(u16::from_be(peer_port))),
            source,
            device: IfIndex(device),
            mark,
        })
    }

    /// The same with the source of one datagram.
    #[inline(always)]
    pub(super) fn with_source(self, source: F::Ip) -> Self {
        Self { source, ..self }
    }

    /// Whether it names whom the socket is connected to: so do the datagrams of connected IPv6 sockets to IPv4 peers.
    #[inline(always)]
    pub(super) fn is_to_its_peer(&self) -> bool {
        self.to == self.peer
    }

    /// Where the call goes instead, which the socket remembers from now on; `None` leaves it alone.
    #[inline(always)]
    pub(super) fn detour(&self) -> Option<Detour<F::Ip>> {
        let Some(detour) = local::detour(&Published::<F::Ip>::RULES, self, self.protocol, self.to) else {
            // Answers of this peer must not be shown as another's.
            if maps::with_detours::<F::Ip, _>(self.ctx, |detours| detours.forget(self.to)).is_some() {
                maps::forget_client::<F::Ip>(self.ctx);
            }
            return None;
        };
        let is_taken = maps::with_detours_or_new(self.ctx, |detours| detours.take(&detour))?;
        is_taken.then_some(detour)
    }

    /// Lets the daemon know of a connected UDP socket. For TCP it asks the kernel, which does not say so much of UDP.
    #[inline(always)]
    pub(super) fn remember_client(&self, detour: &Detour<F::Ip>) {
        if self.protocol == Protocol::Udp {
            maps::remember_client(self.ctx, detour);
        }
    }
}

impl<F: Family> Caller<F::Ip> for Call<'_, F> {
    #[inline(always)]
    fn source(&self) -> F::Ip {
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
