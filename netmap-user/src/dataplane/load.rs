//! From the object to pinned programs.

use std::path::Path;

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{MapData, MapError},
    pin::PinError,
    programs::{CgroupSockAddr, Program, ProgramError, SchedClassifier, SkLookup, Xdp},
};
use netmap_common::maps::{capacity, name, program, tail};

use super::{
    DataplaneError, LoadOptions, bpffs,
    cgroup::CgroupHook,
    feature,
    hook::TcHook,
    layout,
    lock::Lock,
    namespace,
    programs::{Programs, Unavailable},
    seal::{self, Seal},
    tails,
    types::Types,
    verify,
};
use crate::maps::{Entries, Layout, MapsError, Pins};

/// Finds or makes the place of the pins, and locks it.
pub(super) fn prepare(options: &LoadOptions) -> Result<(Pins, Lock), DataplaneError> {
    // Asked first: the verifier would take its time to say less.
    if let Some(feature) = feature::missing() {
        return Err(feature::lack(feature));
    }
    let pin_dir = bpffs::ensure(&options.pin_dir)?;
    let lock = Lock::make(&pin_dir)?;
    let pins = Pins::new(&pin_dir);
    bpffs::close(pins.base())?;
    layout::check(&pins)?;
    bpffs::make_dir(pins.root())?;
    bpffs::close(pins.root())?;
    namespace::claim(&pins)?;
    Ok((pins, lock))
}

/// Loads every program with the pinned maps or new ones, and pins it in place of its former version. Programs that are pinned
/// already, just as they would be now, are taken over instead.
pub(super) fn load(object: &[u8], options: &LoadOptions, pins: &Pins) -> Result<Programs, DataplaneError> {
    for folder in [pins.maps(), pins.programs(), pins.links(), pins.clsact()] {
        bpffs::make_dir(&folder)?;
    }
    let flows = options
        .flow_entries
        .map_or(Entries::Any, |entries| Entries::Exactly(entries as usize));
    check_pinned_maps(pins, flows)?;
    let seal = Seal::new(object, options);
    if seal.fits(pins) {
        match Programs::open(pins, Unavailable::new(), None) {
            Ok(programs) => {
                tracing::debug!("the programs that are pinned are this version's");
                return Ok(programs);
            }
            Err(error) => tracing::debug!("loading the programs anew: {error}"),
        }
    }
    let types = Types::of(object)?;
    types.check(pins)?;
    let mut ebpf = load_maps(object, options, pins)?;
    types.note(pins)?;
    let mut verdicts = verify::load(&mut ebpf);
    let needed = TcHook::ALL.iter().map(|hook| hook.program);
    for program in needed
        .chain([program::STEER, program::RESUME])
        .chain(tails::tc_programs())
    {
        verdicts.of(program)?;
    }
    let mut unavailable = Unavailable::new();
    for hook in CgroupHook::ALL {
        if let Err(error) = verdicts.of(hook.program) {
            unavailable.insert(hook.purpose, (hook.program, error.to_string()));
        }
    }
    // Multi-buffer frames are older kernels' reason to refuse it (Linux 5.18): they carry all by TC.
    let mut xdp = [program::UPLINK_XDP].into_iter().chain(tail::XDP);
    let no_xdp = xdp
        .find_map(|program| verdicts.of(program).err())
        .map(|error| error.to_string());
    // All are loaded: from here on the new ones take the old ones' places.
    seal::break_all(pins)?;
    for hook in TcHook::ALL {
        let program: &mut SchedClassifier = find(&mut ebpf, hook.program)?;
        pin(pins, hook.program, |path| program.pin(path))?;
    }
    tails::place_tc(&mut ebpf, pins)?;
    let resume: &mut SchedClassifier = find(&mut ebpf, program::RESUME)?;
    pin(pins, program::RESUME, |path| resume.pin(path))?;
    let steer: &mut SkLookup = find(&mut ebpf, program::STEER)?;
    pin(pins, program::STEER, |path| steer.pin(path))?;
    for hook in CgroupHook::ALL {
        if unavailable.contains_key(&hook.purpose) {
            bpffs::remove_file(&pins.program(hook.program))?;
        } else {
            let program: &mut CgroupSockAddr = find(&mut ebpf, hook.program)?;
            pin(pins, hook.program, |path| program.pin(path))?;
        }
    }
    if no_xdp.is_some() {
        bpffs::remove_file(&pins.program(program::UPLINK_XDP))?;
    } else {
        let xdp: &mut Xdp = find(&mut ebpf, program::UPLINK_XDP)?;
        pin(pins, program::UPLINK_XDP, |path| xdp.pin(path))?;
        tails::place_xdp(&mut ebpf, pins)?;
    }
    // The pins keep the programs; aya would keep the object's bytes as well.
    drop(ebpf);
    seal.set(pins)?;
    Programs::open(pins, unavailable, no_xdp)
}

/// Refuses maps that are not what the programs take them for; aya 0.14 would not look.
fn check_pinned_maps(pins: &Pins, flows: Entries) -> Result<(), DataplaneError> {
    for name in name::ALL {
        let path = pins.map(name);
        match MapData::from_pin(&path) {
            Ok(map) => Layout::of(name, flows).check(name, &map)?,
            Err(error) => match MapsError::opening(&path, name, error) {
                MapsError::NotLoaded(_) => {}
                error => return Err(error.into()),
            },
        }
    }
    Ok(())
}

/// Makes or takes over the maps, and prepares the programs.
fn load_maps(object: &[u8], options: &LoadOptions, pins: &Pins) -> Result<Ebpf, DataplaneError> {
    let mut loader = EbpfLoader::new();
    loader.override_global("MARK", &options.mark, true);
    for name in name::ALL {
        loader.map_pin_path(name, pins.map(name));
    }
    if let Some(entries) = options.flow_entries {
        loader.map_max_entries(name::FLOWS, entries);
        loader.map_max_entries(name::FLOWS6, entries);
        loader.map_max_entries(name::OPENINGS, capacity::openings(entries));
        loader.map_max_entries(name::OPENINGS6, capacity::openings(entries));
    }
    loader.load(object).map_err(|error| match error {
        EbpfError::MapError(MapError::CreateError { io_error, .. })
            if io_error.raw_os_error() == Some(libc::EPERM) =>
        {
            DataplaneError::Denied
        }
        EbpfError::MapError(MapError::CreateError { name, io_error }) => DataplaneError::Map {
            name,
            source: io_error,
        },
        error => DataplaneError::Object(error),
    })
}

pub(super) fn find<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, DataplaneError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(DataplaneError::NoProgram(name))?;
    program.try_into().map_err(|_| DataplaneError::NoProgram(name))
}

/// Pins under another name and renames: there is a program under this name at every moment.
fn pin(
    pins: &Pins,
    name: &str,
    pin: impl FnOnce(&Path) -> Result<(), PinError>,
) -> Result<(), DataplaneError> {
    let fresh = pins.program(&format!("new-{name}"));
    bpffs::remove_file(&fresh)?;
    pin(&fresh).map_err(|error| DataplaneError::pin(&fresh, "made")(pin_error(error)))?;
    let path = pins.program(name);
    std::fs::rename(&fresh, &path).map_err(DataplaneError::pin(&path, "made"))
}

/// The system's error inside aya's.
pub(super) fn pin_error(error: PinError) -> std::io::Error {
    match error {
        PinError::SyscallError(error) => error.io_error,
        error => std::io::Error::other(error),
    }
}
