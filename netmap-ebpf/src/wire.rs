//! The frame under an XDP hook: the only file that touches its bytes there.

use core::{
    ffi::c_void,
    ptr::{addr_of, read_volatile, write_volatile},
};

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
};
use netmap_common::{
    maps::{Address6, IfIndex},
    nat::{Family as _, Header, L4Change, Packet, Truncated},
};

use crate::{events::Snapshot, maps, world::Context};

/// A frame as the driver has it.
pub(crate) struct Frame {
    md: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) const fn new(md: *mut xdp_md) -> Self {
        Self { md }
    }

    /// The context, for the helpers.
    #[inline(always)]
    pub(crate) const fn nic(&self) -> Nic {
        Nic(self.md)
    }

    /// Whether it is in several buffers.
    #[inline(always)]
    pub(crate) fn is_scattered(&self) -> bool {
        // SAFETY: the context is the program's own.
        let whole = unsafe { bpf_xdp_get_buff_len(self.md) };
        whole > u64::from(self.length())
    }

    /// Whether it says that it carries IPv6.
    #[inline(always)]
    pub(crate) fn is_ipv6(&self) -> bool {
        self.header::<[u8; 2]>(12)
            .is_ok_and(|ether_type| *ether_type == Address6::ETHER_TYPE)
    }

    #[inline(always)]
    pub(crate) fn set_link_addresses(&mut self, addresses: [[u8; 6]; 2]) -> Result<(), Truncated> {
        let place = self.at::<[[u8; 6]; 2]>(0)?;
        // SAFETY: `at` has compared it with the frame's end; the type has alignment 1.
        unsafe { *place = addresses };
        Ok(())
    }

    // Volatile for the reasons given in `packet`.
    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        unsafe { read_volatile(addr_of!((*self.md).data)) as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { read_volatile(addr_of!((*self.md).data_end)) as usize }
    }

    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Result<*mut T, Truncated> {
        let start = self.start();
        if start + offset + size_of::<T>() > self.end() {
            return Err(Truncated);
        }
        Ok((start + offset) as *mut T)
    }
}

impl Packet for Frame {
    // Of its first buffer, which is all of it: others are left alone.
    #[inline(always)]
    fn length(&self) -> u32 {
        (self.end() - self.start()) as u32
    }

    // A tag that the driver has taken out cannot be seen here: the daemon attaches nowhere by itself where there may be.
    #[inline(always)]
    fn is_vlan_tagged(&self) -> bool {
        false
    }

    #[inline(always)]
    fn is_early(&self) -> bool {
        true
    }

    #[inline(always)]
    fn forgotten(&self, number: u32) -> u32 {
        maps::forgotten(number)
    }

    #[inline(always)]
    fn require(&mut self, length: usize) -> Result<(), Truncated> {
        if self.start() + length <= self.end() {
            Ok(())
        } else {
            Err(Truncated)
        }
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
        let header = self.at::<T>(offset)?;
        // SAFETY: `at` has compared it with the frame's end; a header has alignment 1 and any bytes make one.
        Ok(unsafe { &*header })
    }

    #[inline(always)]
    fn header_mut<T: Header>(&mut self, offset: usize) -> Result<&mut T, Truncated> {
        let header = self.at::<T>(offset)?;
        // SAFETY: as above, and `&mut self` lets no other reference live.
        Ok(unsafe { &mut *header })
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Result<[u32; N], Truncated> {
        let first = self.at::<[[u8; 4]; N]>(offset)?.cast::<u32>();
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: `at` has compared it with the packet's end. It may have any alignment: the kernel's verifier takes the
            // program only where the machine does not mind.
            *word = u32::from_be(unsafe { read_volatile(first.add(index)) });
        }
        Ok(words)
    }

    #[inline(always)]
    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Result<(), Truncated> {
        let first = self.at::<[[u8; 4]; N]>(offset)?.cast::<u32>();
        for (index, word) in words.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { write_volatile(first.add(index), word.to_be()) };
        }
        Ok(())
    }

    #[inline(always)]
    fn update_l4_checksum(&mut self, offset: usize, change: L4Change) -> Result<(), Truncated> {
        change.apply_to(self.header_mut::<[u8; 2]>(offset)?);
        Ok(())
    }
}

/// An XDP hook's context.
pub(crate) struct Nic(*mut xdp_md);

impl Context for Nic {
    /// XDP takes none: there are no segments before there is a packet.
    const MTU_FLAGS: u64 = 0;

    #[inline(always)]
    fn raw(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn arrival(&self) -> IfIndex {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        IfIndex(unsafe { read_volatile(addr_of!((*self.0).ingress_ifindex)) })
    }
}

impl Snapshot for Nic {
    #[inline(always)]
    fn of(raw: *mut c_void) -> Self {
        Self(raw.cast())
    }

    #[inline(always)]
    fn copy(&self, place: *mut u8, length: u32) -> bool {
        // SAFETY: the caller has room for as much, and the helper checks that the frame has it.
        let failed = unsafe { bpf_xdp_load_bytes(self.0, 0, place.cast(), length) };
        failed == 0
    }
}
