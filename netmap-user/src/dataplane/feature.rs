//! Why this kernel does not take a program, in words that help.

use std::{fmt, io};

use aya::{
    programs::{ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};

use super::DataplaneError;

/// Something of the kernel that netmap cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    name: &'static str,
    /// The first Linux that has it.
    since: &'static str,
}

/// As in "this kernel lacks ...".
impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, since } = self;
        write!(formatter, "{name}, which Linux {since} has")
    }
}

/// What filters stand on where there is no tcx.
pub(super) const CLSACT: Feature = Feature {
    name: "the queueing discipline clsact (CONFIG_NET_SCH_INGRESS) and, in its place, tcx",
    since: "6.6",
};

/// The filters themselves.
pub(super) const FILTERS: Feature = Feature {
    name: "filters by BPF programs (CONFIG_NET_CLS_BPF) and, in their place, tcx",
    since: "6.6",
};

/// The latest first: whoever has that has them all.
const HELPERS: [(Feature, BpfHelper); 6] = [
    (
        Feature {
            name: "the BPF helper bpf_loop",
            since: "5.17",
        },
        BpfHelper::BPF_FUNC_loop,
    ),
    (
        Feature {
            name: "the BPF helper bpf_check_mtu",
            since: "5.12",
        },
        BpfHelper::BPF_FUNC_check_mtu,
    ),
    (
        Feature {
            name: "the BPF helper bpf_redirect_peer",
            since: "5.10",
        },
        BpfHelper::BPF_FUNC_redirect_peer,
    ),
    (
        Feature {
            name: "the BPF helper bpf_redirect_neigh",
            since: "5.10",
        },
        BpfHelper::BPF_FUNC_redirect_neigh,
    ),
    (
        Feature {
            name: "the BPF helper bpf_skc_lookup_tcp",
            since: "5.2",
        },
        BpfHelper::BPF_FUNC_skc_lookup_tcp,
    ),
    (
        Feature {
            name: "the BPF helper bpf_fib_lookup",
            since: "4.18",
        },
        BpfHelper::BPF_FUNC_fib_lookup,
    ),
];

const SK_LOOKUP: Feature = Feature {
    name: "BPF programs for socket lookup (sk_lookup)",
    since: "5.9",
};

/// Turns a failed load into the sentence that explains it best: no rights, or the verifier's words.
pub(super) fn explain(program: &'static str, error: ProgramError) -> DataplaneError {
    let (source, log) = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => (io_error, verifier_log.to_string()),
        error => (super::error::program_error(error), String::new()),
    };
    if source.raw_os_error() == Some(libc::EPERM) {
        return DataplaneError::Denied;
    }
    DataplaneError::Refused {
        release: release(),
        program,
        reason: last_words(&source, &log),
    }
}

/// That this kernel does not have it.
pub(super) fn lack(feature: Feature) -> DataplaneError {
    DataplaneError::Kernel {
        release: release(),
        feature,
    }
}

/// The kernel's version.
pub fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned())
}

/// What is better with a feature, or nothing works without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Availability {
    /// What it is.
    pub name: &'static str,
    /// The first Linux that has it.
    pub since: &'static str,
    /// Whether netmap does not run without.
    pub is_needed: bool,
    /// Whether this kernel has it; none where it could not be asked.
    pub found: Option<bool>,
}

/// Everything of the kernel that netmap uses and that some kernels lack, the latest of what it needs first.
pub fn all() -> Vec<Availability> {
    let helpers = HELPERS.into_iter().map(|(feature, helper)| {
        let found = is_helper_supported(ProgramType::SchedClassifier, helper);
        (feature, found.ok())
    });
    let sk_lookup = (SK_LOOKUP, is_program_supported(ProgramType::SkLookup).ok());
    helpers
        .chain([sk_lookup])
        .map(|(Feature { name, since }, found)| Availability {
            name,
            since,
            is_needed: true,
            found,
        })
        .collect()
}

/// What netmap needs and this kernel does not have; of several things the one that came last.
pub fn missing() -> Option<Feature> {
    // A probe that fails says nothing.
    let lacks = |helper| {
        matches!(
            is_helper_supported(ProgramType::SchedClassifier, helper),
            Ok(false)
        )
    };
    if let Some((feature, _)) = HELPERS.into_iter().find(|(_, helper)| lacks(*helper)) {
        return Some(feature);
    }
    let sk_lookup = is_program_supported(ProgramType::SkLookup);
    matches!(sk_lookup, Ok(false)).then_some(SK_LOOKUP)
}

/// The error, and the line of the verifier's log that says why: the last but its statistics.
fn last_words(error: &io::Error, log: &str) -> String {
    let line = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !is_statistics(line));
    match line {
        Some(line) => format!("{line} ({error})"),
        None => error.to_string(),
    }
}

fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time", "stack depth"]
        .iter()
        .any(|beginning| line.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_reason_is_told_without_its_statistics() {
        let log = "0: (b7) r0 = 1\nR1 invalid mem access 'scalar'\nverification time 5 usec\nstack depth 8\n\
                   processed 7 insns (limit 1000000) max_states_per_insn 0\n\n";
        let words = last_words(&io::Error::from_raw_os_error(libc::EACCES), log);
        assert_eq!(
            words,
            "R1 invalid mem access 'scalar' (Permission denied (os error 13))"
        );
    }

    #[test]
    fn this_kernel_lacks_nothing() {
        assert_eq!(missing(), None);
        let all = all();
        assert_eq!(all.len(), HELPERS.len() + 1);
        assert!(all.iter().all(|feature| feature.found == Some(true)), "{all:?}");
    }
}
