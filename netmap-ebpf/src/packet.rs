//! The packet under a TC hook: the only file that touches its bytes there.

use core::{
    ffi::c_void,
    hint::black_box,
    ptr::{addr_of, addr_of_mut, read_volatile, write_volatile},
};

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::generated::{
        bpf_clone_redirect, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer,
        bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_pull_data,
    },
};
use netmap_common::{
    maps::{Address6, HELD_BYTES, IfIndex, Seconds},
    nat::{Delta, Family as _, Header, Hold, L4Change, Packet, Reshape, Truncated},
};

use crate::{events::Snapshot, maps, world::Context};

/// The mark bit that tells our later hooks that a packet is done; set by the loader. The mark is the only field that
/// survives from a port's hook to the uplink's.
#[unsafe(no_mangle)]
static MARK: Global<u32> = Global::new(1 << 27);

/// `BPF_ADJ_ROOM_MAC` of `linux/bpf.h`: room between the headers of layers 2 and 3.
const BPF_ADJ_ROOM_MAC: u32 = 1;

/// Bytes of an Ethernet header: no frame is shorter.
const ETHERNET: u32 = 14;

/// `PACKET_HOST` of `linux/if_packet.h`.
const PACKET_HOST: u32 = 0;

/// A packet under a TC hook.
pub(crate) struct Frame {
    skb: *mut __sk_buff,
}

impl Frame {
    #[inline(always)]
    pub(crate) const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// Its context, for the helpers.
    #[inline(always)]
    pub(crate) const fn context(&self) -> Tc {
        Tc(self.skb)
    }

    /// Whether an earlier hook of ours has finished with it.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.mark() & MARK.load() != 0
    }

    /// Whether it is an IPv6 packet.
    #[inline(always)]
    pub(crate) fn is_ipv6(&self) -> bool {
        // SAFETY: the kernel's verifier knows the context's fields and their size. Network byte order.
        let protocol = unsafe { read_volatile(addr_of!((*self.skb).protocol)) };
        protocol == u32::from(u16::from_ne_bytes(Address6::ETHER_TYPE))
    }

    /// Tells our later hooks so, or takes that back.
    #[inline(always)]
    pub(crate) fn set_done(&mut self, is_done: bool) {
        let others = self.mark() & !MARK.load();
        self.set_mark(if is_done { others | MARK.load() } else { others });
    }

    /// Sends it into the network namespace behind a veth.
    #[inline(always)]
    pub(crate) fn redirect_peer(&mut self, out: IfIndex) -> i32 {
        // The mark would reach the container.
        self.set_mark(0);
        // Before Linux 6.15 the container's stack drops a frame whose link-layer address is not its own, unless it is
        // said to be for this host, as one from the wire is already.
        if self.packet_type() != PACKET_HOST {
            // SAFETY: the context is the program's own; the helper fails for no packet type that is 0.
            unsafe { bpf_skb_change_type(self.skb, PACKET_HOST) };
        }
        // SAFETY: takes numbers only.
        let verdict = unsafe { bpf_redirect_peer(out.0, 0) };
        verdict as i32
    }

    /// Sends it out of an interface, the kernel resolving the next hop.
    #[inline(always)]
    pub(crate) fn redirect_neigh(&mut self, out: IfIndex) -> i32 {
        self.set_done(true);
        // SAFETY: no parameters are given, so the pointer is not read.
        let verdict = unsafe { bpf_redirect_neigh(out.0, core::ptr::null_mut(), 0, 0) };
        verdict as i32
    }

    /// Sends it out of the interface that it came from, to whoever its link-layer addresses say.
    #[inline(always)]
    pub(crate) fn turn_back(&mut self, from: IfIndex) -> i32 {
        self.set_done(true);
        // SAFETY: takes numbers only.
        let verdict = unsafe { bpf_redirect(from.0, 0) };
        verdict as i32
    }

    /// Puts it where it came from before it was held: the mark says by which interface. As if it had just come, but for
    /// the mark, which says that it was held.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> i32 {
        let arrival = self.mark();
        self.set_mark(MARK.load());
        // SAFETY: the helper checks the interface. The frame itself is a test run's, and ends here.
        let failed = unsafe { bpf_clone_redirect(self.skb, arrival, u64::from(BPF_F_INGRESS)) };
        failed as i32
    }

    #[inline(always)]
    fn packet_type(&self) -> u32 {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        unsafe { read_volatile(addr_of!((*self.skb).pkt_type)) }
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        unsafe { read_volatile(addr_of!((*self.skb).mark)) }
    }

    #[inline(always)]
    fn set_mark(&mut self, mark: u32) {
        // SAFETY: as above; the field is writable for TC programs.
        unsafe { write_volatile(addr_of_mut!((*self.skb).mark), mark) }
    }

    // Volatile, because the verifier must see each pointer come from the context: what LLVM reorders or widens it
    // takes for arithmetic on a packet pointer.
    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: as for the mark.
        unsafe { read_volatile(addr_of!((*self.skb).data)) as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as for the mark.
        unsafe { read_volatile(addr_of!((*self.skb).data_end)) as usize }
    }

    /// The address of a header that lies within the packet.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Result<*mut T, Truncated> {
        let start = self.start();
        if start + offset + size_of::<T>() > self.end() {
            return Err(Truncated);
        }
        Ok((start + offset) as *mut T)
    }

    /// Without a header checksum that makes up for the addresses, a sum that the card has computed over the packet changes
    /// with them, which the helper has to be told (`BPF_F_IPV6`, Linux 6.16 and stable ones; older ones refuse the flag, and
    /// get the sum wrong where there is one).
    #[inline(always)]
    fn replace_address_checksum(
        &mut self,
        offset: usize,
        delta: Delta,
        flags: u32,
        is_whole_sum: bool,
    ) -> Result<(), Truncated> {
        const BPF_F_IPV6: u32 = 1 << 7;
        if is_whole_sum && self.replace_checksum(offset, delta, flags | BPF_F_IPV6).is_ok() {
            return Ok(());
        }
        self.replace_checksum(offset, delta, flags)
    }

    #[inline(always)]
    fn replace_checksum(&mut self, offset: usize, delta: Delta, flags: u32) -> Result<(), Truncated> {
        // SAFETY: the helper checks the offset against the packet. A size of 0 means that `to` is a difference.
        let failed = unsafe {
            bpf_l4_csum_replace(
                self.skb,
                offset as u32,
                0,
                u64::from(delta.to_helper()),
                u64::from(flags),
            )
        };
        if failed == 0 { Ok(()) } else { Err(Truncated) }
    }
}

impl Reshape for Frame {
    #[inline(always)]
    fn reshape(&mut self, length: u32, room: u32) -> Result<(), Truncated> {
        // SAFETY: the helper checks the length; pointers into the packet are read anew after it.
        let cut = unsafe { bpf_skb_change_tail(self.skb, length, 0) };
        if cut != 0 {
            return Err(Truncated);
        }
        // SAFETY: as above.
        let failed = unsafe { bpf_skb_adjust_room(self.skb, room as i32, BPF_ADJ_ROOM_MAC, 0) };
        if failed == 0 { Ok(()) } else { Err(Truncated) }
    }
}

/// A TC hook's context.
pub(crate) struct Tc(*mut __sk_buff);

impl Context for Tc {
    /// `BPF_MTU_CHK_SEGS`: each segment of a super-frame counts, not the whole.
    const MTU_FLAGS: u64 = 1;

    #[inline(always)]
    fn raw(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn arrival(&self) -> IfIndex {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        IfIndex(unsafe { read_volatile(addr_of!((*self.0).ifindex)) })
    }

    #[inline(always)]
    fn hold(&self, now: Seconds) -> Hold {
        let frame = Frame::new(self.0);
        if frame.is_done() {
            return Hold::Back;
        }
        let length = frame.length();
        if length > HELD_BYTES as u32 || !maps::may_hold(self.arrival(), now) {
            return Hold::Full;
        }
        // Older verifiers (Linux 6.1) want to see right at the call that it is not nothing.
        let length = black_box(length).max(ETHERNET);
        let is_held = maps::hand_over(self.arrival(), length, |place| {
            // SAFETY: there is room for as much, and the helper checks that the frame has it.
            let copied = unsafe { bpf_skb_load_bytes(self.0.cast(), 0, place.cast(), length) };
            copied == 0
        });
        if is_held { Hold::Held } else { Hold::Full }
    }
}

impl Snapshot for Tc {
    #[inline(always)]
    fn of(raw: *mut c_void) -> Self {
        Self(raw.cast())
    }

    #[inline(always)]
    fn copy(&self, place: *mut u8, length: u32) -> bool {
        // SAFETY: the caller has room for as much, and the helper checks that the frame has it.
        let failed = unsafe { bpf_skb_load_bytes(self.0.cast(), 0, place.cast(), length) };
        failed == 0
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: as for the mark.
        unsafe { read_volatile(addr_of!((*self.skb).len)) }
    }

    #[inline(always)]
    fn is_vlan_tagged(&self) -> bool {
        // SAFETY: as for the mark.
        unsafe { read_volatile(addr_of!((*self.skb).vlan_present)) != 0 }
    }

    #[inline(always)]
    fn forgotten(&self, number: u32) -> u32 {
        maps::forgotten(number)
    }

    #[inline(always)]
    fn require(&mut self, length: usize) -> Result<(), Truncated> {
        if self.start() + length <= self.end() {
            return Ok(());
        }
        // SAFETY: the helper checks the length; pointers into the packet are read anew after it.
        let failed = unsafe { bpf_skb_pull_data(self.skb, length as u32) };
        if failed == 0 { Ok(()) } else { Err(Truncated) }
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Result<&T, Truncated> {
        let header = self.at::<T>(offset)?;
        // SAFETY: `at` has compared it with the packet's end; a header has alignment 1 and any bytes make one.
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
        let zero = if change.zero_means_none {
            BPF_F_MARK_MANGLED_0
        } else {
            0
        };
        if let Some(delta) = change.addresses {
            self.replace_address_checksum(offset, delta, zero | BPF_F_PSEUDO_HDR, change.is_whole_sum)?;
        }
        if let Some(delta) = change.ports {
            self.replace_checksum(offset, delta, zero)?;
        }
        Ok(())
    }
}
