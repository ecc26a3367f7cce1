//! Whether this process may do what it is asked to.

use caps::{CapSet, Capability, CapsHashSet};

use crate::sandbox::NEEDED;

/// Why this process may not.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities are missing.
    #[error("netmap {command} needs root, or the capabilities that are missing: {}", names(.missing))]
    Missing {
        /// The command.
        command: &'static str,
        /// The capabilities.
        missing: Vec<Capability>,
    },
    /// The kernel does not say.
    #[error("the capabilities of this process cannot be read: {0}")]
    Unknown(#[from] caps::errors::CapsError),
}

/// Refuses `netmap command` when it cannot work.
///
/// # Errors
///
/// A capability is missing from the effective set.
pub fn check(command: &'static str) -> Result<(), PrivilegeError> {
    let missing = missing(&caps::read(None, CapSet::Effective)?);
    if missing.is_empty() {
        return Ok(());
    }
    Err(PrivilegeError::Missing { command, missing })
}

fn missing(held: &CapsHashSet) -> Vec<Capability> {
    NEEDED
        .into_iter()
        .filter(|(needed, instead)| {
            !held.contains(needed) && !instead.is_some_and(|instead| held.contains(&instead))
        })
        .map(|(needed, _)| needed)
        .collect()
}

fn names(capabilities: &[Capability]) -> String {
    let names: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let held = CapsHashSet::from([Capability::CAP_NET_ADMIN, Capability::CAP_CHOWN]);
        let missing = missing(&held);
        let error = PrivilegeError::Missing {
            command: "run",
            missing,
        };
        assert_eq!(
            error.to_string(),
            "netmap run needs root, or the capabilities that are missing: CAP_BPF, CAP_PERFMON"
        );
    }

    #[test]
    fn sys_admin_stands_for_what_came_out_of_it() {
        let old = CapsHashSet::from([Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN]);
        assert_eq!(missing(&old), []);
        let new = CapsHashSet::from([
            Capability::CAP_NET_ADMIN,
            Capability::CAP_BPF,
            Capability::CAP_PERFMON,
        ]);
        assert_eq!(missing(&new), []);
        let no_net = CapsHashSet::from([Capability::CAP_SYS_ADMIN]);
        assert_eq!(missing(&no_net), [Capability::CAP_NET_ADMIN]);
    }
}
