//! Why this kernel does not take a program, in words that help.

use std::io;

use aya::{
    programs::{ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};

use super::DataplaneError;

/// Turns a failed load into the sentence that explains it best: no rights, a missing feature, or the verifier's words.
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
    if let Some(feature) = missing() {
        return DataplaneError::Kernel {
            release: release(),
            feature,
        };
    }
    DataplaneError::Refused {
        release: release(),
        program,
        reason: last_words(&source, &log),
    }
}

/// The kernel's version.
pub(super) fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned())
}

/// The first thing that netmap needs and this kernel does not have.
pub fn missing() -> Option<&'static str> {
    let helpers = [
        ("bpf_redirect_neigh", BpfHelper::BPF_FUNC_redirect_neigh),
        ("bpf_redirect_peer", BpfHelper::BPF_FUNC_redirect_peer),
        ("bpf_check_mtu", BpfHelper::BPF_FUNC_check_mtu),
        ("bpf_fib_lookup", BpfHelper::BPF_FUNC_fib_lookup),
        ("bpf_skc_lookup_tcp", BpfHelper::BPF_FUNC_skc_lookup_tcp),
        ("bpf_loop", BpfHelper::BPF_FUNC_loop),
    ];
    // A probe that fails says nothing.
    for (name, helper) in helpers {
        if matches!(
            is_helper_supported(ProgramType::SchedClassifier, helper),
            Ok(false)
        ) {
            return Some(name);
        }
    }
    let sk_lookup = is_program_supported(ProgramType::SkLookup);
    matches!(sk_lookup, Ok(false)).then_some("programs for socket lookup (sk_lookup)")
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
    }
}
