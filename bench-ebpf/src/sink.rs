//! Counts packets of the generator's that arrive, right or wrong.

use aya_ebpf::{Global, btf_maps::PerCpuArray, macros::btf_map, programs::TcContext};

use crate::frame;

/// `TC_ACT_SHOT`.
const DROP: i32 = 2;
/// Leaves the packet to others.
const NEXT: i32 = -1;

/// Counters: packets that are right, with a wrong address, port or length, and with a wrong payload or checksum.
const RIGHT: u32 = 0;
const MISLED: u32 = 1;
const CORRUPT: u32 = 2;

/// The payload's first 8 bytes, by which the generator's packets are known; then 10 more.
#[unsafe(no_mangle)]
static PAYLOAD: Global<[u8; 18]> = Global::new([0; 18]);
/// The receiver's address, host byte order.
#[unsafe(no_mangle)]
static TO_ADDRESS: Global<u32> = Global::new(0);
/// The receiver's port.
#[unsafe(no_mangle)]
static TO_PORT: Global<u32> = Global::new(0);
/// The address that the sender must have, host byte order; 0 for any.
#[unsafe(no_mangle)]
static FROM_ADDRESS: Global<u32> = Global::new(0);
/// Packets whose number has none of these bits are checked to the last byte.
#[unsafe(no_mangle)]
static SPARED: Global<u64> = Global::new(0);
/// Whether the UDP checksum is in the packet; a local sender leaves it to a card that is not there.
#[unsafe(no_mangle)]
static CHECKSUMMED: Global<u32> = Global::new(1);

#[btf_map]
static COUNTS: PerCpuArray<u64, 3> = PerCpuArray::new();

#[inline(always)]
pub(crate) fn take(ctx: &TcContext) -> i32 {
    let Ok(frame) = ctx.load::<[u8; 60]>(0) else {
        return NEXT;
    };
    if frame::SYNS.load() != 0 {
        return take_syn(&frame);
    }
    if word(&frame, 12) != 0x0800 || frame[23] != 17 || !is_ours(&frame) {
        return NEXT;
    }
    let addressed = double(&frame, 30) == TO_ADDRESS.load() && word(&frame, 36) == TO_PORT.load();
    let from = FROM_ADDRESS.load();
    let known = from == 0 || double(&frame, 26) == from;
    let datagrams = datagrams(ctx);
    let is_checked = || {
        COUNTS
            .get(RIGHT)
            .is_some_and(|right| right & SPARED.load() < datagrams)
    };
    if !addressed || !known || u64::from(ctx.len()) != 42 + 18 * datagrams {
        count(MISLED, 1);
    } else if is_checked() && !(is_intact(&frame) && ends_right(ctx)) {
        count(CORRUPT, 1);
    } else {
        count(RIGHT, datagrams);
    }
    DROP
}

/// Counts and drops what begins a TCP connection of the generator's: their first bytes in the place of a payload tell.
#[inline(always)]
fn take_syn(frame: &[u8; 60]) -> i32 {
    let payload = PAYLOAD.load();
    let is_ours =
        word(frame, 12) == 0x0800 && frame[23] == 6 && frame[54] == payload[0] && frame[55] == payload[1];
    if !is_ours || frame[47] != 2 {
        return NEXT;
    }
    let addressed = double(frame, 30) == TO_ADDRESS.load() && word(frame, 36) == TO_PORT.load();
    count(if addressed { RIGHT } else { MISLED }, 1);
    DROP
}

/// How many datagrams the packet is: a sender may leave it to the receiver to take segments apart (`UDP_SEGMENT`).
#[inline(always)]
fn datagrams(ctx: &TcContext) -> u64 {
    // SAFETY: the kernel's verifier knows the context's fields and their size.
    let segments = unsafe { (*ctx.skb.skb).gso_segs };
    u64::from(segments.max(1))
}

/// Whether the last segment is as every other.
#[inline(always)]
fn ends_right(ctx: &TcContext) -> bool {
    let Ok(last) = ctx.load::<[u8; 18]>(ctx.len().saturating_sub(18) as usize) else {
        return false;
    };
    let payload = PAYLOAD.load();
    let mut same = true;
    for index in 0..18 {
        same &= last[index] == payload[index];
    }
    same
}

#[inline(always)]
fn is_ours(frame: &[u8; 60]) -> bool {
    let payload = PAYLOAD.load();
    let mut same = true;
    for index in 0..8 {
        same &= frame[42 + index] == payload[index];
    }
    same
}

/// Whether checksums and payload are as they should be.
#[inline(always)]
fn is_intact(frame: &[u8; 60]) -> bool {
    let payload = PAYLOAD.load();
    let mut same = true;
    for index in 8..18 {
        same &= frame[42 + index] == payload[index];
    }
    let mut header = 0;
    for index in 0..10 {
        header += word(frame, 14 + 2 * index);
    }
    // The pseudo header: addresses, protocol and length.
    let mut datagram = 17 + word(frame, 38);
    for index in 0..17 {
        datagram += word(frame, 26 + 2 * index);
    }
    let summed = CHECKSUMMED.load() == 0 || frame::checksum(datagram) == 0;
    same && frame::checksum(header) == 0 && summed
}

#[inline(always)]
fn count(which: u32, packets: u64) {
    if let Some(count) = COUNTS.get_ptr_mut(which) {
        // SAFETY: a value of this CPU's own.
        unsafe { *count += packets };
    }
}

/// A big-endian 16-bit word.
#[inline(always)]
fn word(frame: &[u8; 60], offset: usize) -> u32 {
    u32::from(frame[offset]) << 8 | u32::from(frame[offset + 1])
}

/// A big-endian 32-bit word.
#[inline(always)]
fn double(frame: &[u8; 60], offset: usize) -> u32 {
    word(frame, offset) << 16 | word(frame, offset + 2)
}
