//! Loads, pins and attaches the programs.
//!
//! What is loaded outlives the process: maps, programs and links are pinned below `--pin-dir`, and dropping a
//! [`Dataplane`] leaves all of it at work. The next one finds the maps again (after a check that they are what it takes
//! them for), and exchanges the programs in the links, so that no packet passes by untreated; those that were loaded from
//! the same object it takes over as well. [`down`] takes everything away.
//!
//! Links are tcx links where the kernel has them (Linux 6.6), else filters on a clsact. Those cannot be pinned: they stay
//! until somebody removes them, and empty folders beside the pins remember which are ours.

mod attachment;
mod bpffs;
mod btf;
mod cgroup;
mod clsact;
mod digest;
mod down;
mod error;
mod feature;
mod hook;
mod layout;
mod links;
mod load;
mod lock;
mod namespace;
mod object;
mod programs;
mod restored;
mod resume;
mod seal;
mod sockets;
mod tails;
mod types;
mod verify;
mod xdp;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use netmap_common::maps::{IfIndex, Role};

use self::{
    cgroup::{CgroupHook, Purpose},
    hook::TcHook,
    lock::Lock,
    programs::Programs,
};
use crate::maps::Pins;

pub use attachment::{Attachment, Mode, Place, attachments};
pub use down::{Removed, down};
pub use error::DataplaneError;
pub use feature::{
    Availability, Feature, all as features, missing as missing_feature, release as kernel_release,
};
pub use hook::{Direction, interface_index, interface_name};
pub use programs::{ProgramStats, program_stats};
pub use seal::{LoadedPrograms, loaded_programs};
pub use sockets::CURRENT_NETNS;

/// Makes sure that there is a BPF file system for `pin_dir`; mounting it takes `CAP_SYS_ADMIN`, and nothing later does.
///
/// # Errors
///
/// [`DataplaneError`] says why there is none.
pub fn provide(pin_dir: &Path) -> Result<(), DataplaneError> {
    bpffs::ensure(pin_dir).map(drop)
}

/// What a data plane is loaded with.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where to pin, on a BPF file system. `/sys/fs/bpf` is mounted if it has to be.
    pub pin_dir: PathBuf,
    /// Room in the flow table, two entries a flow. `None`: as it is pinned, else
    /// [`netmap_common::maps::capacity::FLOWS`].
    pub flow_entries: Option<u32>,
    /// The bits of a packet's mark that tell later hooks that it is done.
    pub mark: u32,
    /// Use clsact even where the kernel has tcx.
    pub force_clsact: bool,
}

/// The loaded programs, and the right to attach them.
pub struct Dataplane {
    pins: Pins,
    programs: Programs,
    /// What the kernel turned out to have; not known before the first attachment.
    mode: Option<Mode>,
    adopted: bool,
    _lock: Lock,
}

impl Dataplane {
    /// Loads every program, with the maps that are pinned or with new ones, or takes over those that were loaded so, and
    /// removes what a former data plane left of interfaces that are gone.
    ///
    /// # Errors
    ///
    /// [`DataplaneError`] says why not; nothing has changed then.
    pub fn load(options: &LoadOptions) -> Result<Self, DataplaneError> {
        Self::load_object(object::object(), options)
    }

    /// [`Dataplane::load`] of another object with the same maps and programs.
    pub(crate) fn load_object(object: &[u8], options: &LoadOptions) -> Result<Self, DataplaneError> {
        let (pins, lock) = load::prepare(options)?;
        let adopted = pins.maps().exists();
        let programs = load::load(object, options, &pins).inspect_err(|_| {
            if !adopted {
                // The maps are new: nobody misses them, and an error about them would hide the first.
                down::discard(&pins);
            }
        })?;
        let mut dataplane = Self {
            pins,
            programs,
            mode: options.force_clsact.then_some(Mode::Clsact),
            adopted,
            _lock: lock,
        };
        dataplane.prune()?;
        Ok(dataplane)
    }

    /// Whether the maps of a former data plane were found and taken over.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Whether the rules in the maps are all that is to be published: what was recorded of a former kernel's is among them
    /// ([`Dataplane::set_restored`]).
    pub fn is_restored(&self) -> bool {
        restored::is_noted(&self.pins)
    }

    /// Writes down beside the pins that it is so.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn set_restored(&self) -> Result<(), DataplaneError> {
        restored::note(&self.pins)
    }

    /// Attaches what `role` wants to an interface, or exchanges the programs of what is attached. Programs of another
    /// role are detached. Can be repeated.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::Missing`] when there is no such interface (any more), which is not worth a word.
    pub fn attach(&mut self, interface: IfIndex, role: Role) -> Result<Vec<Attachment>, DataplaneError> {
        interface_name(interface)?;
        if role != Role::Uplink {
            self.detach_xdp(interface)?;
        }
        let wanted = TcHook::of(role);
        for stale in TcHook::ALL.iter().filter(|hook| !wanted.contains(hook)) {
            self.detach_hook(interface, stale)?;
        }
        wanted
            .iter()
            .map(|hook| self.attach_hook(interface, hook))
            .collect::<Result<_, _>>()
            .map_err(|error| match interface_name(interface) {
                // Whatever went wrong, this is why.
                Err(missing @ DataplaneError::Missing { .. }) => missing,
                _ => error,
            })
    }

    /// Detaches everything from an interface. Nothing there, or no interface, is no error.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn detach(&mut self, interface: IfIndex) -> Result<(), DataplaneError> {
        self.detach_xdp(interface)?;
        for hook in TcHook::ALL {
            self.detach_hook(interface, hook)?;
        }
        Ok(())
    }

    /// Attaches native XDP to an uplink, or exchanges its program. Its TC programs have to be there already: what XDP
    /// leaves is theirs.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::Xdp`] when the driver refuses, or another's program is there; [`DataplaneError::Unavailable`]
    /// when the program could not be loaded.
    pub fn attach_xdp(&mut self, interface: IfIndex) -> Result<Attachment, DataplaneError> {
        xdp::attach(&self.pins, self.programs.xdp()?, interface)
    }

    /// Puts a frame back where it came from, by `arrival`, as if it had just come: the programs there know all the same that it
    /// was held.
    ///
    /// # Errors
    ///
    /// When there is no such interface any more, or the kernel takes no frame of this length.
    pub fn resume(&self, arrival: IfIndex, frame: &[u8]) -> Result<(), DataplaneError> {
        resume::resume(&self.programs.resume, arrival, frame)
    }

    /// Detaches native XDP from an interface, if it is attached.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn detach_xdp(&mut self, interface: IfIndex) -> Result<(), DataplaneError> {
        xdp::detach(&self.pins, interface).map(drop)
    }

    /// Every interface that carries a program, also those that a former data plane attached.
    ///
    /// # Errors
    ///
    /// When the pins cannot be read.
    pub fn interfaces(&self) -> Result<BTreeSet<IfIndex>, DataplaneError> {
        let mut interfaces: BTreeSet<IfIndex> = links::pinned(&self.pins)?
            .into_iter()
            .map(|(index, _)| index)
            .collect();
        interfaces.extend(xdp::pinned(&self.pins)?);
        interfaces.extend(clsact::marked(&self.pins)?.into_iter().map(|(index, _)| index));
        Ok(interfaces)
    }

    /// Everything that is attached.
    ///
    /// # Errors
    ///
    /// When the pins cannot be read.
    pub fn attachments(&self) -> Result<Vec<Attachment>, DataplaneError> {
        attachment::list(&self.pins)
    }

    /// The programs, and what the verifier found about them.
    ///
    /// # Errors
    ///
    /// When the pins cannot be read.
    pub fn programs(&self) -> Result<Vec<ProgramStats>, DataplaneError> {
        programs::stats(&self.pins)
    }

    /// Attaches the socket lookup to a network namespace ([`CURRENT_NETNS`]), or exchanges its program.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn attach_steer(&mut self, netns: &Path) -> Result<Attachment, DataplaneError> {
        sockets::attach_steer(&self.pins, &mut self.programs, netns)
    }

    /// Attaches the guards of published ports to a cgroup (of version 2) and all below it, or exchanges their programs.
    ///
    /// # Errors
    ///
    /// What the kernel refuses; [`DataplaneError::Unavailable`] when it could not be loaded.
    pub fn attach_hold(&mut self, cgroup: &Path) -> Result<Vec<Attachment>, DataplaneError> {
        self.attach_in_cgroup(Purpose::Hold, cgroup)
    }

    /// Detaches the guards of published ports, if they are attached.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn detach_hold(&mut self) -> Result<(), DataplaneError> {
        self.detach_in_cgroup(Purpose::Hold)
    }

    /// Leads the sockets of a cgroup (of version 2), and of all below it, straight to containers where they ask for a
    /// published port of their own host, or exchanges the programs that do so.
    ///
    /// # Errors
    ///
    /// What the kernel refuses; [`DataplaneError::Unavailable`] when they could not be loaded. None of them is
    /// attached then.
    pub fn attach_detours(&mut self, cgroup: &Path) -> Result<Vec<Attachment>, DataplaneError> {
        let attached = self.attach_in_cgroup(Purpose::Detour, cgroup);
        if attached.is_err() {
            self.detach_detours()?;
        }
        attached
    }

    /// Ends that, if it was so. Sockets that have been led to a container stay connected to it, and see it as their peer.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub fn detach_detours(&mut self) -> Result<(), DataplaneError> {
        self.detach_in_cgroup(Purpose::Detour)
    }

    fn attach_in_cgroup(
        &mut self,
        purpose: Purpose,
        cgroup: &Path,
    ) -> Result<Vec<Attachment>, DataplaneError> {
        let programs = self.programs.in_cgroup(purpose)?;
        programs
            .map(|(hook, program)| hook.attach(&self.pins, program, cgroup))
            .collect()
    }

    /// The last first: nobody is led astray who could not be told so.
    fn detach_in_cgroup(&mut self, purpose: Purpose) -> Result<(), DataplaneError> {
        for hook in CgroupHook::of(purpose).rev() {
            links::remove(&hook.link_pin(&self.pins))?;
        }
        Ok(())
    }

    /// Forgets interfaces that are gone.
    fn prune(&mut self) -> Result<(), DataplaneError> {
        for interface in self.interfaces()? {
            if interface_name(interface).is_err() {
                self.detach(interface)?;
            }
        }
        Ok(())
    }

    fn attach_hook(&mut self, interface: IfIndex, hook: &TcHook) -> Result<Attachment, DataplaneError> {
        if self.mode != Some(Mode::Clsact) {
            let program = self.programs.tc(hook.program)?;
            match links::attach_tcx(&self.pins, program, interface, hook) {
                Ok(attachment) => {
                    self.mode = Some(Mode::Tcx);
                    clsact::detach(&self.pins, interface, hook)?;
                    return Ok(attachment);
                }
                Err(error) if self.mode.is_none() && error.is_unsupported() => {}
                Err(error) => return Err(error),
            }
        }
        let program = self.programs.tc(hook.program)?;
        let attachment = clsact::attach(&self.pins, program, interface, hook)?;
        self.mode = Some(Mode::Clsact);
        links::remove(&links::tcx_pin(&self.pins, interface, hook))?;
        Ok(attachment)
    }

    fn detach_hook(&mut self, interface: IfIndex, hook: &TcHook) -> Result<(), DataplaneError> {
        links::remove(&links::tcx_pin(&self.pins, interface, hook))?;
        clsact::detach(&self.pins, interface, hook)
    }
}
