//! Shows the programs to the kernel's verifier, as many at once as there are processors: it takes seconds for them all.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};

use super::{DataplaneError, feature};

/// What the kernel said about each program.
pub(super) struct Verdicts(BTreeMap<String, Result<(), ProgramError>>);

/// Loads every program of the object. For whoever may load programs the verifier takes no lock of its own
/// (`bpf_check`, Linux 5.2).
pub(super) fn load(ebpf: &mut Ebpf) -> Verdicts {
    let waiting = Mutex::new(ebpf.programs_mut());
    let verdicts = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((name, program)) = next else { return };
            let verdict = show(program);
            let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            verdicts.insert(name.to_owned(), verdict);
        }
    };
    let others = thread::available_parallelism()
        .map_or(0, NonZero::get)
        .saturating_sub(1);
    thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    Verdicts(verdicts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl Verdicts {
    /// Whether a program is loaded.
    ///
    /// # Errors
    ///
    /// Why not, in words that help.
    pub(super) fn of(&mut self, program: &'static str) -> Result<(), DataplaneError> {
        let verdict = self.0.remove(program).ok_or(DataplaneError::NoProgram(program))?;
        verdict.map_err(|error| feature::explain(program, error))
    }
}

fn show(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        Program::SkLookup(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
