//! The clock that the data plane stamps flows with.

use std::mem::MaybeUninit;

use netmap_common::maps::Seconds;

/// Seconds since boot on `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`. Stands still while the host sleeps.
pub fn monotonic_seconds() -> Seconds {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is writable and large enough. The call fails only for a clock that does not exist.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    // SAFETY: the call has filled it in, and zeroes were a value before that.
    let time = unsafe { time.assume_init() };
    // 136 years of uptime fit.
    Seconds(u32::try_from(time.tv_sec).unwrap_or(u32::MAX))
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
}
