//! A network namespace with a thread in it, and a place for pins.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use netmap_common::maps::IfIndex;
use netmap_user::daemon::down;
use netmap_user::dataplane::{Dataplane, LoadOptions};
use nix::{net::if_::if_nametoindex, sched::CloneFlags};

/// What a test has to itself. Dropping it removes what is pinned; the namespace goes with its thread.
pub(crate) struct Lab {
    pub(crate) pin_dir: PathBuf,
}

impl Lab {
    /// Runs `test` on a thread in a new network namespace.
    pub(crate) fn run(test: impl FnOnce(&Self) + Send + 'static) {
        in_namespace(|| {
            let lab = Self { pin_dir: pin_dir() };
            test(&lab);
        });
    }

    pub(crate) fn options(&self) -> LoadOptions {
        LoadOptions {
            pin_dir: self.pin_dir.clone(),
            flow_entries: Some(8_192),
            mark: 0x100,
            force_clsact: false,
        }
    }

    pub(crate) fn load(&self) -> Dataplane {
        Dataplane::load(&self.options()).unwrap()
    }

    /// With programs that differ from those of [`Lab::load`], by the mark that is written into them.
    pub(crate) fn load_another(&self) -> Dataplane {
        let options = LoadOptions {
            mark: 0x200,
            ..self.options()
        };
        Dataplane::load(&options).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(errors) = down(&self.pin_dir)
            && !std::thread::panicking()
        {
            panic!("{} is left behind: {errors:?}", self.pin_dir.display());
        }
    }
}

/// Runs `work` on a thread of its own, in a network namespace of its own.
pub(crate) fn in_namespace<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static MOUNTED: Once = Once::new();
    // Two tests that both find it missing would mount one over the other.
    MOUNTED.call_once(|| {
        sh("mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf");
    });
    let thread = std::thread::spawn(|| {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        work()
    });
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Makes a veth pair `name` and `name-peer`, and returns the first one's index.
pub(crate) fn veth(name: &str) -> IfIndex {
    sh(&format!("ip link add {name} type veth peer name {name}-peer"));
    index(name)
}

pub(crate) fn index(name: &str) -> IfIndex {
    IfIndex(if_nametoindex(name).unwrap())
}

/// Runs a shell command in this thread's namespace and returns what it prints.
pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Everything below a folder, as paths within it.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let listing = sh(&format!("cd {} && find . -mindepth 1 | sort", folder.display()));
    listing.lines().map(str::to_owned).collect()
}

fn pin_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/sys/fs/bpf/netmap-test-{}-{number}", std::process::id()))
}
