//! When the generator sends: always, or a burst at every interval.

use aya_ebpf::{Global, btf_maps::Array, helpers::generated::bpf_ktime_get_ns, macros::btf_map};

/// Frames that the kernel runs in one go, of which all or none are sent.
const BURST: u64 = 64;
/// A generator that was held up by more does not catch up, nanoseconds.
const LATE: u64 = 2_000_000;

/// Nanoseconds between bursts; 0 for no pause.
#[unsafe(no_mangle)]
static INTERVAL: Global<u64> = Global::new(0);

/// Frames seen, when the next burst is due, and whether this burst is sent.
#[btf_map]
static STATE: Array<[u64; 3], 1> = Array::new();

/// Whether this frame is sent.
#[inline(always)]
pub(crate) fn is_open() -> bool {
    if INTERVAL.load() == 0 {
        return true;
    }
    let Some(state) = STATE.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: one CPU generates.
    let [seen, due, open] = unsafe { &mut *state };
    if seen.is_multiple_of(BURST) {
        // SAFETY: takes nothing.
        let now = unsafe { bpf_ktime_get_ns() };
        *open = u64::from(now >= *due);
        if now >= *due {
            let next = *due + INTERVAL.load();
            *due = if next + LATE < now { now } else { next };
        }
    }
    *seen += 1;
    *open != 0
}
