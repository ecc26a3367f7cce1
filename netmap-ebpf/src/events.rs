//! Tells whoever watches (`netmap monitor`) what becomes of packets and flows.
//!
//! Nothing is here for packets of a flow: only what is dropped, left to the host or opens a flow comes by, and while nobody
//! watches, one look at [`WATCH`] is all that it costs.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{
    bindings::BPF_F_RDONLY_PROG,
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::generated::bpf_ktime_get_ns,
    macros::btf_map,
};
use netmap_common::{
    maps::{EVENT_BYTES, Event, FlowKey, IfIndex, Seconds, Told, Watch, capacity},
    nat::Wish,
};

use crate::{maps::Tables, world::Context};

#[btf_map]
static EVENTS: RingBuf<Event, { capacity::EVENTS }> = RingBuf::new();
#[btf_map]
static WATCH: Array<Watch, 1, { BPF_F_RDONLY_PROG as usize }> = Array::new();
#[btf_map]
static TOLD: PerCpuArray<Told, 1> = PerCpuArray::new();

/// Bytes of an Ethernet header.
const LEAST: u32 = 14;

/// A context whose packet can be copied.
pub(crate) trait Snapshot: Context {
    /// The same context.
    fn of(raw: *mut c_void) -> Self;

    /// Copies so many of the packet's first bytes, of which the packet must have as many; says whether it did.
    fn copy(&self, place: *mut u8, length: u32) -> bool;
}

/// Whether somebody watches: asked first, without a call, for a flood of packets comes here.
#[inline(always)]
pub(crate) fn is_watched() -> bool {
    WATCH.get(0).is_some_and(|watch| watch.until != Seconds(0))
}

/// A packet of this length, layer 2 included, was dropped or left to the host. Hook and reason by number.
// Not inlined, like the other: for a stack of its own, which few packets need.
#[inline(never)]
pub(crate) fn tell_packet<C: Snapshot>(context: *mut c_void, hook: u8, reason: u8, length: u32) {
    let Some(time) = admit(|watch| watch.wants(reason)) else {
        return;
    };
    let context = C::of(context);
    tell(time, |event| {
        // SAFETY: the place is reserved, and of this type's size.
        unsafe { (&raw mut (*event).arrival).write(context.arrival()) };
        // SAFETY: as above.
        unsafe { (&raw mut (*event).out).write(IfIndex(0)) };
        // SAFETY: as above.
        unsafe { (&raw mut (*event).length).write(length) };
        // SAFETY: as above. Of the last four, the kind says nothing.
        unsafe {
            (&raw mut (*event).what)
                .cast::<[u8; 4]>()
                .write([Event::PACKET, hook, reason, 0]);
        };
        // Older verifiers (Linux 6.1) want to see right at the call that it is not nothing, and not too much. They learn so from
        // "less than", not from "is zero"; no frame is without an Ethernet header.
        let captured = black_box(length).clamp(LEAST, EVENT_BYTES as u32);
        // SAFETY: as above.
        let data = unsafe { &raw mut (*event).data };
        let copied = context.copy(data.cast(), captured);
        // SAFETY: as above.
        unsafe { (&raw mut (*event).captured).write(if copied { captured } else { 0 }) };
    });
}

/// A flow was opened by a packet that came by this interface.
#[inline(never)]
pub(crate) fn tell_opened<A: Tables>(arrival: IfIndex, flow: &Wish<A>) {
    let Some(time) = admit(|watch| watch.openings != 0) else {
        return;
    };
    let what = if A::BITS == 32 {
        Event::OPENED
    } else {
        Event::OPENED6
    };
    tell(time, |event| {
        // SAFETY: the place is reserved, and of this type's size.
        unsafe { (&raw mut (*event).arrival).write(arrival) };
        // SAFETY: as above.
        unsafe { (&raw mut (*event).out).write(flow.out()) };
        // SAFETY: as above.
        unsafe { (&raw mut (*event).length).write(0) };
        // SAFETY: as above.
        unsafe { (&raw mut (*event).captured).write(2 * size_of::<FlowKey<A>>() as u32) };
        let kind = flow.kind_number() as u8;
        // SAFETY: as above. Hook and reason say nothing.
        unsafe {
            (&raw mut (*event).what)
                .cast::<[u8; 4]>()
                .write([what, 0, 0, kind]);
        };
        // SAFETY: as above. There is room for two keys, and they may lie there: the field begins at a multiple of 8.
        let keys = unsafe { (&raw mut (*event).data).cast::<FlowKey<A>>() };
        // SAFETY: as above.
        unsafe { keys.write(*flow.from()) };
        // SAFETY: as above.
        unsafe { keys.add(1).write(*flow.to()) };
    });
}

/// The time, if somebody watches for it and has not been told too much in this second.
#[inline(always)]
fn admit(is_wanted: impl FnOnce(&Watch) -> bool) -> Option<u64> {
    let watch = WATCH.get(0)?;
    if !is_wanted(watch) {
        return None;
    }
    // SAFETY: takes nothing.
    let time = unsafe { bpf_ktime_get_ns() };
    let second = Seconds((time / 1_000_000_000) as u32);
    if second >= watch.until {
        return None;
    }
    let told = TOLD.get_ptr_mut(0)?;
    // SAFETY: a per-CPU value that only this CPU's programs write.
    let told = unsafe { &mut *told };
    if told.rate.admits(second, watch.most) {
        return Some(time);
    }
    told.missed += 1;
    None
}

/// Hands an event over, of which `fill` writes all but the time.
#[inline(always)]
fn tell(time: u64, fill: impl FnOnce(*mut Event)) {
    let Some(mut entry) = EVENTS.reserve(0) else {
        if let Some(told) = TOLD.get_ptr_mut(0) {
            // SAFETY: a per-CPU value that only this CPU's programs write.
            unsafe { (*told).missed += 1 };
        }
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the place is reserved, and of this type's size.
    unsafe { (&raw mut (*event).time).write(time) };
    fill(event);
    entry.submit(0);
}
