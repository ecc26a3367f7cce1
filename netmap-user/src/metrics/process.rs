//! The daemon's process, by the names that Prometheus's own libraries give: what of it /proc shows.

use std::fs;

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike as _,
};

use super::{
    catalogue::{CPU, MAX_FDS, OPEN_FDS, RESIDENT_MEMORY, START_TIME, THREADS, VIRTUAL_MEMORY},
    page::Page,
};

/// Ticks a second in /proc (`USER_HZ`), on every machine that netmap is built for.
const TICKS: f64 = 100.0;

/// Adds what there is to know of it.
pub(super) fn describe(page: &mut Page) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        #[expect(clippy::cast_precision_loss, reason = "centuries fit")]
        page.set(&CPU, microseconds as f64 / 1e6);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let bytes = |key| number(&status, key).map(|kilobytes| kilobytes * 1024);
        for (metric, value) in [
            (&RESIDENT_MEMORY, bytes("VmRSS:")),
            (&VIRTUAL_MEMORY, bytes("VmSize:")),
            (&THREADS, number(&status, "Threads:")),
        ] {
            if let Some(value) = value {
                page.set(metric, value);
            }
        }
    }
    if let Some(start) = start_time() {
        page.set(&START_TIME, start);
    }
    if let Some(files) = open_files() {
        page.set(&OPEN_FDS, files);
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        page.set(&MAX_FDS, most);
    }
}

/// The number behind `key` in a text such as that of `/proc/self/status`.
fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Seconds since the epoch.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, which may hold anything, ends with the last parenthesis; the 22nd field is the 20th behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    let boot = number(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    #[expect(clippy::cast_precision_loss, reason = "millennia fit")]
    let start = boot as f64 + ticks as f64 / TICKS;
    Some(start)
}

fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the folder's size is their number.
    match fs::metadata(FOLDER).ok()?.len() {
        // The folder itself is open while it is read.
        0 => Some(fs::read_dir(FOLDER).ok()?.count().saturating_sub(1) as u64),
        files => Some(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "these are small")]
    fn this_process_is_described() {
        let mut page = Page::new();
        describe(&mut page);
        let text = page.text().unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e5);
        assert!(value("process_threads ") >= 1.0);
        let open = value("process_open_fds ");
        let listed = fs::read_dir("/proc/self/fd").unwrap().count();
        assert!((open - listed as f64).abs() < 64.0, "{open} {listed}");
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let boot = number(&fs::read_to_string("/proc/stat").unwrap(), "btime ").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let age = boot as f64 + uptime - value("process_start_time_seconds ");
        assert!((-1.0..7200.0).contains(&age), "{age}");
    }
}
