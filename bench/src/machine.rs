//! Cores, threads and the time that they ran.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Pid,
};

/// The core that generates packets, and on which clients run.
pub(crate) const CLIENT_CORE: usize = 0;
/// The core under test: it forwards, and servers run on it.
pub(crate) const SERVER_CORE: usize = 1;

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Fails where there are too few cores to keep the generator off the forwarding core.
pub(crate) fn ensure_fit() -> Result<()> {
    ensure!(
        cores() >= 2,
        "the benchmarks need two cores: one generates packets, one forwards them"
    );
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the benchmarks make network namespaces: run them as root"
    );
    Ok(())
}

/// Lets every process that is started from here open as many files as may be; how many that is.
pub(crate) fn allow_many_files() -> Result<u64> {
    const WANTED: u64 = 1 << 17;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Above the hard limit only CAP_SYS_RESOURCE leads, which a container's root lacks.
    if hard < WANTED && setrlimit(Resource::RLIMIT_NOFILE, WANTED, WANTED).is_ok() {
        return Ok(WANTED);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Keeps a thread, or this one with 0, on one core.
pub(crate) fn pin(thread: u32, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(thread.try_into()?), &cores)
        .with_context(|| format!("cannot keep thread {thread} on core {core}"))
}

/// Lets this process go before those of others, which may have the machine busy.
pub(crate) fn stand_out() -> Result<()> {
    // The scheduler weighs sessions against each other, and niceness only within one.
    nix::unistd::setsid()?;
    // Not every kernel has that.
    let _weighed = fs::write("/proc/self/autogroup", "-10");
    prefer(std::process::id())
}

/// Lets a thread go before others of its session, a kernel thread before all.
pub(crate) fn prefer(thread: u32) -> Result<()> {
    netmap_tests::command::run(Command::new("renice").args(["-n", "-10", "-p", &thread.to_string()]))?;
    Ok(())
}

/// Threads whose names begin with `prefix`, as kernel threads have them.
pub(crate) fn threads_named(prefix: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(prefix) {
            found.push(thread);
        }
    }
    Ok(found)
}

/// Sums up the time that threads ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    threads: Vec<u32>,
    processes: Vec<u32>,
}

impl Meter {
    /// Of single threads, and the kernel's for network work that was put off, on every core.
    pub(crate) fn of_threads(threads: &[u32]) -> Result<Self> {
        let mut all = threads.to_vec();
        all.extend(threads_named("ksoftirqd/")?);
        Ok(Self {
            threads: all,
            processes: Vec::new(),
        })
    }

    /// Adds processes with all their threads.
    pub(crate) fn with_processes(mut self, processes: &[u32]) -> Self {
        self.processes.extend(processes);
        self
    }

    /// Nanoseconds until now. Interrupts count for whom they interrupt.
    pub(crate) fn nanoseconds(&self) -> u64 {
        let threads = self
            .threads
            .iter()
            .map(|thread| format!("/proc/{thread}/schedstat"));
        let of_processes = self.processes.iter().flat_map(|process| {
            let tasks = fs::read_dir(format!("/proc/{process}/task"));
            tasks
                .into_iter()
                .flatten()
                .flatten()
                .map(|task| format!("{}/schedstat", task.path().display()))
        });
        threads.chain(of_processes).map(|path| run_time(&path)).sum()
    }
}

/// Time that a thread ran, nanoseconds: the first number of its schedstat. 0 for one that has ended.
fn run_time(schedstat: &str) -> u64 {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// Time that all cores together were not idle since the machine started, nanoseconds, in steps of 10 ms.
pub(crate) fn busy() -> u64 {
    const TICK: u64 = 10_000_000;
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let used = [0, 1, 2, 5, 6];
    used.iter().filter_map(|index| numbers.get(*index)).sum::<u64>() * TICK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_run() {
        let meter = Meter::default().with_processes(&[std::process::id()]);
        let before = meter.nanoseconds();
        let mut sum = 0_u64;
        while meter.nanoseconds() < before + 1_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }
}
