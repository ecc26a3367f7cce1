//! On what it was measured.

use std::{fs, process::Command};

use serde::Serialize;

/// A machine, a time and a revision.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The processor's name.
    pub(crate) processor: String,
    /// How many cores.
    pub(crate) cores: usize,
    /// The day, as in 2026-01-31.
    pub(crate) date: String,
    /// The commit, with `+` where files differ from it.
    pub(crate) revision: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn of_this() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        let changed = !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        Self {
            kernel: release.trim().to_owned(),
            processor: processor.to_owned(),
            cores: crate::machine::cores(),
            date: output("date", &["--utc", "+%Y-%m-%d"]),
            revision: output("git", &["rev-parse", "--short=12", "HEAD"]) + if changed { "+" } else { "" },
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
