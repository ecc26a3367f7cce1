//! The dockerds that run on this machine, and what they were told on their command line.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::wanted::Obstacle;

/// Where dockerd looks, unless it is told otherwise.
pub const DEFAULT_DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// What may not stand on the command line as well as in daemon.json.
const FLAGS: [&str; 4] = [
    "--iptables",
    "--ip6tables",
    "--userland-proxy",
    "--userland-proxy-path",
];

/// A dockerd that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its process.
    pub pid: u32,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Since when it runs.
    pub since: Option<SystemTime>,
}

impl Daemon {
    /// Its daemon.json.
    pub fn settings(&self) -> PathBuf {
        let named = self.arguments.iter().enumerate().find_map(|(index, argument)| {
            match argument.strip_prefix("--config-file")? {
                "" => self.arguments.get(index + 1).map(String::as_str),
                rest => rest.strip_prefix('='),
            }
        });
        PathBuf::from(named.unwrap_or(DEFAULT_DAEMON_JSON))
    }

    /// An argument that says what netmap writes to daemon.json.
    pub fn conflict(&self) -> Option<&str> {
        let is_one = |argument: &&String| {
            let name = argument.split('=').next().unwrap_or_default();
            FLAGS.contains(&name)
        };
        self.arguments.iter().find(is_one).map(String::as_str)
    }
}

/// Those that read this daemon.json.
pub fn reading(daemon_json: &Path) -> Vec<Daemon> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter_map(daemon)
        .filter(|daemon| daemon.settings() == daemon_json)
        .collect()
}

/// Refuses what they would not start with.
pub(super) fn check(daemon_json: &Path) -> Result<(), Obstacle> {
    for daemon in reading(daemon_json) {
        if let Some(flag) = daemon.conflict() {
            return Err(Obstacle::Flag {
                pid: daemon.pid,
                flag: flag.to_owned(),
            });
        }
    }
    Ok(())
}

fn daemon(pid: u32) -> Option<Daemon> {
    let folder = Path::new("/proc").join(pid.to_string());
    let arguments = fs::read(folder.join("cmdline")).ok()?;
    let mut arguments = arguments
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned());
    let program = arguments.next()?;
    if Path::new(OsStr::from_bytes(program.as_bytes())).file_name() != Some(OsStr::new("dockerd")) {
        return None;
    }
    Some(Daemon {
        pid,
        arguments: arguments.filter(|argument| !argument.is_empty()).collect(),
        since: fs::metadata(&folder).and_then(|folder| folder.modified()).ok(),
    })
}
