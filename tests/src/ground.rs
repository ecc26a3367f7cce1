//! What a netmap stands on outside its network namespace: the BPF file system, a control group, and its own binary.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};

use crate::{DEADLINE, namespace};

/// Where the BPF file system is.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The control group below a netmap's own where clients live, apart from the daemon and what else the host runs.
pub(crate) const CLIENTS: &str = "clients";

/// Ends what labs of dead processes have left running, and removes their pins and control groups.
pub fn sweep() {
    let Ok(root) = cgroup_root() else {
        return;
    };
    for directory in [root.as_path(), Path::new(BPFFS)] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let maker = name
                .to_str()
                .and_then(|name| name.strip_prefix("netmap-"))
                .and_then(namespace::maker);
            if maker.is_some_and(namespace::is_dead) {
                end_cgroup(&root.join(&name));
                // A directory of the BPF file system; that of the control group is gone by now.
                let _removed = fs::remove_dir_all(Path::new(BPFFS).join(&name));
            }
        }
    }
}

/// The binary under test: `NETMAP_BIN`, or what cargo has built beside the tests.
pub fn binary() -> Result<PathBuf> {
    built("NETMAP_BIN", "netmap")
}

/// A binary under test: what `variable` names, or what cargo has built beside the tests.
pub(crate) fn built(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "{variable} names {}, which is not there",
            path.display()
        );
        return Ok(path);
    }
    let this = std::env::current_exe()?;
    this.ancestors()
        .flat_map(|directory| ["release", "debug"].map(|profile| directory.join(profile).join(name)))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "there is no {name} binary to test: run `cargo xtask test` or `cargo xtask demo`, which build it, \
                 or set {variable} to one"
            )
        })
}

/// A program that cargo builds beside the tests.
pub(crate) fn sibling(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("there is no program {name} beside the tests: build all of package netmap-tests")
        })
}

/// Where the cgroup2 file system is mounted, beside v1 or alone.
pub(crate) fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find_map(|fields| match fields.as_slice() {
            [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
            _ => None,
        })
        .context("no cgroup2 file system is mounted")
}

/// Mounts the BPF file system where nobody has yet.
pub(crate) fn mount_bpffs() -> Result<()> {
    let mounted = |mounts: &str| mounts.lines().any(|line| line.contains(" /sys/fs/bpf bpf "));
    if mounted(&fs::read_to_string("/proc/mounts")?) {
        return Ok(());
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount the BPF file system at {BPFFS}; the tests must run as root"))
}

/// Ends every process in a control group of the lab's and removes it.
pub(crate) fn end_cgroup(cgroup: &Path) {
    if !cgroup.is_dir() {
        return;
    }
    // Nothing can be done about a failure; a later sweep tries again.
    let _killed = fs::write(cgroup.join("cgroup.kill"), "1");
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if remove_cgroup(cgroup).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Removes a control group and those below it, where no process is left.
pub(crate) fn remove_cgroup(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}
