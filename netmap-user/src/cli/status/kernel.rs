//! What the kernel has of what netmap stands on.

use serde::Serialize;

use crate::dataplane::{self, Availability};

/// The kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Its release, as `uname -r` has it.
    pub release: String,
    /// What netmap needs, or does better with.
    pub features: Vec<Availability>,
}

/// Asks the kernel.
pub(super) fn probe() -> Kernel {
    Kernel {
        release: dataplane::kernel_release(),
        features: dataplane::features(),
    }
}

/// For people: how much is there, and what is not.
pub(super) fn line(kernel: &Kernel) -> Option<String> {
    if kernel.features.is_empty() {
        return None;
    }
    let Kernel { release, features } = kernel;
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| feature.found == Some(false))
        .map(|feature| format!("{}, which Linux {} has", feature.name, feature.since))
        .collect();
    let found = features.iter().filter(|feature| feature.found == Some(true));
    let found = found.count();
    let all = features.len();
    Some(if !missing.is_empty() {
        format!("{release} lacks {}", missing.join("; "))
    } else if found == all {
        format!("{release} has all {all} features that netmap uses")
    } else {
        format!("{release}; only root may ask what it has")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_what_nobody_could_ask_is_not() {
        let feature = |found| Availability {
            name: "tcx",
            since: "6.6",
            is_needed: false,
            found,
        };
        let told = |found: &[Option<bool>]| {
            line(&Kernel {
                release: "6.1".to_owned(),
                features: found.iter().map(|found| feature(*found)).collect(),
            })
        };
        assert_eq!(told(&[]), None);
        assert_eq!(
            told(&[Some(true), Some(false)]).as_deref(),
            Some("6.1 lacks tcx, which Linux 6.6 has")
        );
        let all = told(&[Some(true), Some(true)]);
        assert_eq!(all.as_deref(), Some("6.1 has all 2 features that netmap uses"));
        assert!(told(&[None, Some(true)]).is_some_and(|line| line.contains("only root")));
    }
}
