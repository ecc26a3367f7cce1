//! What the daemon gives up at its start, and what the proxy's threads give up beyond that.
//!
//! Capabilities belong to threads, so [`enter`] comes before any other thread is there: those to come inherit. What
//! happens later cannot get back what is gone, nor can a program that is started from here (`no_new_privs`).

mod syscalls;

use std::fmt;

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use tracing::{debug, warn};

/// What loading, attaching and pinning need. `CAP_SYS_ADMIN` stands for the two that Linux 5.8 took out of it.
pub const NEEDED: [(Capability, Option<Capability>); 3] = [
    (Capability::CAP_BPF, Some(Capability::CAP_SYS_ADMIN)),
    (Capability::CAP_NET_ADMIN, None),
    (Capability::CAP_PERFMON, Some(Capability::CAP_SYS_ADMIN)),
];

/// What one thing that netmap does needs beside those: it is left out where this is missing.
pub const WANTED: [Capability; 2] = [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_NET_BROADCAST];

/// What the threads of the proxy keep of those: marks of sockets, and answers of datagrams from ports below 1024.
const PROXY: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_BIND_SERVICE];

/// Why this process has more rights than it wants.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The capabilities stay.
    #[error("capabilities cannot be given up: {0}")]
    Capabilities(#[from] CapsError),
    /// Programs to be started could have more.
    #[error("this process cannot promise to take no new rights: {0}")]
    NoNewPrivileges(#[source] std::io::Error),
}

/// Gives up every capability that netmap has no use for, in all of the calling thread's sets, and for good.
///
/// # Errors
///
/// The kernel keeps one of them.
pub fn enter() -> Result<(), SandboxError> {
    let kept = kept(&caps::read(None, CapSet::Effective)?);
    keep(&kept)?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| SandboxError::NoNewPrivileges(errno.into()))?;
    debug!("runs with {}", Names(&kept));
    Ok(())
}

/// Leaves the calling thread what it takes to carry: sockets of IP, and none of the capabilities that BPF needs. A kernel
/// without seccomp leaves it more, and says so.
pub(crate) fn enter_as_proxy() {
    let entered = caps::read(None, CapSet::Effective).and_then(|held| {
        let kept = PROXY.into_iter().filter(|one| held.contains(one)).collect();
        keep(&kept)
    });
    if let Err(error) = entered {
        warn!("the proxy runs with all of netmap's capabilities: {error}");
    }
    if let Err(error) = syscalls::restrict() {
        warn!("the proxy runs without limits to its system calls: {error}");
    }
}

/// Leaves the calling thread what it takes to read maps: it talks to whoever asks for metrics.
pub(crate) fn enter_as_reader() {
    let [reading, ..] = NEEDED;
    let entered = caps::read(None, CapSet::Effective).and_then(|held| {
        let kept = [Some(reading.0), reading.1].into_iter().flatten();
        keep(&kept.filter(|one| held.contains(one)).collect())
    });
    if let Err(error) = entered {
        warn!("metrics are read with all of netmap's capabilities: {error}");
    }
}

/// Whether this thread may bind ports below `net.ipv4.ip_unprivileged_port_start`.
pub fn may_bind_service() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_BIND_SERVICE).unwrap_or(false)
}

/// What netmap goes on with, of what it has.
fn kept(held: &CapsHashSet) -> CapsHashSet {
    let needed = NEEDED.into_iter().map(|(needed, instead)| match instead {
        Some(instead) if !held.contains(&needed) => instead,
        _ => needed,
    });
    needed
        .chain(WANTED)
        .filter(|capability| held.contains(capability))
        .collect()
}

fn keep(kept: &CapsHashSet) -> Result<(), CapsError> {
    // While CAP_SETPCAP is there. Without it the bounding set stays: `no_new_privs` makes it meaningless.
    for capability in caps::runtime::thread_all_supported().difference(kept) {
        if caps::drop(None, CapSet::Bounding, *capability).is_err() {
            break;
        }
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, kept)?;
    caps::set(None, CapSet::Permitted, kept)
}

/// Writes capabilities as a list in words.
struct Names<'a>(&'a CapsHashSet);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_root_has_five_are_kept() {
        let kept = kept(&caps::all());
        assert_eq!(
            Names(&kept).to_string(),
            "CAP_BPF, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_PERFMON"
        );
    }

    #[test]
    fn sys_admin_is_kept_only_where_it_stands_for_another() {
        let held = CapsHashSet::from([
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_NET_ADMIN,
            Capability::CAP_SYS_PTRACE,
        ]);
        assert_eq!(Names(&kept(&held)).to_string(), "CAP_NET_ADMIN, CAP_SYS_ADMIN");
    }

    #[test]
    fn a_thread_that_has_entered_has_nothing_else_in_any_set() {
        let sets = std::thread::spawn(|| {
            enter().unwrap();
            [
                CapSet::Effective,
                CapSet::Permitted,
                CapSet::Inheritable,
                CapSet::Ambient,
                CapSet::Bounding,
            ]
            .map(|set| (set, caps::read(None, set).unwrap()))
        });
        let allowed = kept(&caps::all());
        let before = caps::read(None, CapSet::Effective).unwrap();
        for (set, found) in sets.join().unwrap() {
            assert!(found.is_subset(&allowed), "{set:?}: {}", Names(&found));
        }
        assert_eq!(
            caps::read(None, CapSet::Effective).unwrap(),
            before,
            "another thread keeps its own"
        );
    }
}
