//! The clock that the data plane stamps flows with, and the time that a thread has worked.

use std::{mem::MaybeUninit, time::Duration};

use netmap_common::maps::Seconds;

/// Seconds since boot on `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`. Stands still while the host sleeps.
pub fn monotonic_seconds() -> Seconds {
    // 136 years of uptime fit.
    Seconds(u32::try_from(time(libc::CLOCK_MONOTONIC).as_secs()).unwrap_or(u32::MAX))
}

/// Time since boot on the same clock.
pub fn monotonic_time() -> Duration {
    time(libc::CLOCK_MONOTONIC)
}

/// How long the calling thread has run, in the kernel and out of it; while it waits for a core, this stands still.
pub fn thread_time() -> Duration {
    time(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn time(clock: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is writable and large enough. The call fails only for a clock that does not exist.
    unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    // SAFETY: the call has filled it in, and zeroes were a value before that.
    let time = unsafe { time.assume_init() };
    // Neither clock goes below zero.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_uptime_and_does_not_go_back() {
        let before = monotonic_seconds();
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = monotonic_seconds();
        let uptime: f64 = text.split(' ').next().unwrap().parse().unwrap();
        assert!(before <= after);
        // /proc/uptime counts sleep as well, so it is never behind.
        assert!(f64::from(before.0) <= uptime + 1.0, "{before:?} {uptime}");
        assert!(before.0 > 0);
    }

    #[test]
    fn a_thread_that_sleeps_does_not_work() {
        let before = thread_time();
        let nap = Duration::from_millis(50);
        std::thread::sleep(nap);
        assert!(thread_time() < before + nap);
        while thread_time() < before + nap {
            std::hint::spin_loop();
        }
    }
}
