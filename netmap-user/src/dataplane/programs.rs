//! The loaded programs, by their pins.

use std::{collections::BTreeMap, path::Path};

use aya::programs::{CgroupSockAddr, ProgramError, ProgramInfo, SchedClassifier, SkLookup, Xdp};
use aya_obj::programs::XdpAttachType;
use netmap_common::maps::program;

use super::{
    DataplaneError, bpffs,
    cgroup::{CgroupHook, Purpose},
    error::program_error,
    hook::TcHook,
};
use crate::maps::Pins;

/// Handles of the pinned programs: descriptors, without the object's bytes that aya keeps for what it loads itself.
pub(super) struct Programs {
    classifiers: Vec<(&'static str, SchedClassifier)>,
    pub(super) steer: SkLookup,
    pub(super) resume: SchedClassifier,
    /// Or why the kernel did not take it.
    xdp: Result<Xdp, String>,
    in_cgroup: Vec<(&'static CgroupHook, CgroupSockAddr)>,
    unavailable: Unavailable,
}

/// What the kernel did not take of the programs in a cgroup: which of them, and why.
pub(super) type Unavailable = BTreeMap<Purpose, (&'static str, String)>;

/// What the kernel says about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStats {
    /// Its name, see [`netmap_common::maps::program`].
    pub name: &'static str,
    /// Its number.
    pub id: u32,
    /// How many instructions the verifier walked through, of a million; Linux 5.16.
    pub verified_instructions: Option<u32>,
    /// Bytes of machine code.
    pub jited_bytes: u32,
}

/// The programs that are pinned below `pin_dir`; none when there are none.
///
/// # Errors
///
/// When the pins cannot be read.
pub fn program_stats(pin_dir: &Path) -> Result<Vec<ProgramStats>, DataplaneError> {
    stats(&Pins::new(pin_dir))
}

impl Programs {
    /// Opens them all but what is unavailable.
    pub(super) fn open(
        pins: &Pins,
        unavailable: Unavailable,
        no_xdp: Option<String>,
    ) -> Result<Self, DataplaneError> {
        let mut classifiers = Vec::new();
        for hook in TcHook::ALL {
            let path = pins.program(hook.program);
            let program = SchedClassifier::from_pin(&path).map_err(reading(&path))?;
            classifiers.push((hook.program, program));
        }
        let steer = pins.program(program::STEER);
        let resume = pins.program(program::RESUME);
        let xdp = if let Some(reason) = no_xdp {
            Err(reason)
        } else {
            let path = pins.program(program::UPLINK_XDP);
            Ok(Xdp::from_pin(&path, XdpAttachType::Interface).map_err(reading(&path))?)
        };
        let mut in_cgroup = Vec::new();
        for hook in CgroupHook::ALL {
            if !unavailable.contains_key(&hook.purpose) {
                let program = hook.open(pins).map_err(reading(&pins.program(hook.program)))?;
                in_cgroup.push((hook, program));
            }
        }
        Ok(Self {
            classifiers,
            steer: SkLookup::from_pin(&steer).map_err(reading(&steer))?,
            resume: SchedClassifier::from_pin(&resume).map_err(reading(&resume))?,
            xdp,
            in_cgroup,
            unavailable,
        })
    }

    /// One of the classifiers.
    pub(super) fn tc(&mut self, name: &'static str) -> Result<&mut SchedClassifier, DataplaneError> {
        self.classifiers
            .iter_mut()
            .find_map(|(known, program)| (*known == name).then_some(program))
            .ok_or(DataplaneError::NoProgram(name))
    }

    /// The program for native XDP; [`DataplaneError::Unavailable`] if the kernel did not take it.
    pub(super) fn xdp(&self) -> Result<&Xdp, DataplaneError> {
        self.xdp.as_ref().map_err(|reason| DataplaneError::Unavailable {
            program: program::UPLINK_XDP,
            reason: reason.clone(),
        })
    }

    /// The programs in a cgroup that serve one purpose; [`DataplaneError::Unavailable`] if the kernel did not take them.
    pub(super) fn in_cgroup(
        &mut self,
        purpose: Purpose,
    ) -> Result<impl Iterator<Item = &mut (&'static CgroupHook, CgroupSockAddr)>, DataplaneError> {
        if let Some((program, reason)) = self.unavailable.get(&purpose) {
            return Err(DataplaneError::Unavailable {
                program,
                reason: reason.clone(),
            });
        }
        Ok(self
            .in_cgroup
            .iter_mut()
            .filter(move |(hook, _)| hook.purpose == purpose))
    }
}

/// Every program that gets a pin, in the order of the hooks.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let at_interfaces = TcHook::ALL.iter().map(|hook| hook.program);
    let in_cgroup = CgroupHook::ALL.iter().map(|hook| hook.program);
    at_interfaces
        .chain([program::UPLINK_XDP, program::STEER, program::RESUME])
        .chain(in_cgroup)
}

/// The pinned programs, in the order of the hooks.
pub(super) fn stats(pins: &Pins) -> Result<Vec<ProgramStats>, DataplaneError> {
    let pinned = bpffs::names(&pins.programs())?;
    let mut stats = Vec::new();
    for name in names() {
        if !pinned.iter().any(|pin| pin == name) {
            continue;
        }
        let path = pins.program(name);
        let info = ProgramInfo::from_pin(&path).map_err(reading(&path))?;
        stats.push(ProgramStats {
            name,
            id: info.id(),
            verified_instructions: info.verified_instruction_count(),
            jited_bytes: info.size_jitted(),
        });
    }
    Ok(stats)
}

fn reading(path: &Path) -> impl FnOnce(ProgramError) -> DataplaneError {
    |error| DataplaneError::pin(path, "read")(program_error(error))
}
