//! Classifiers on a clsact, for kernels without tcx.
//!
//! A filter stays when the process goes, and cannot be pinned. So a folder `clsact/INDEX/PROGRAM` beside the pins says
//! that the filter is ours, and `clsact/INDEX/qdisc` that the clsact is: another program's is never removed.

use std::{io, path::PathBuf};

use aya::programs::{
    Link as _, SchedClassifier, TcError, TcHandle,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_add_clsact},
};
use netmap_common::maps::IfIndex;

use super::{
    Attachment, DataplaneError, Mode, Place, bpffs,
    error::program_error,
    feature::{CLSACT, FILTERS, lack},
    hook::{TcHook, interface_name},
};
use crate::{maps::Pins, sys::qdisc};

/// Before almost all others: 0 lets the kernel choose, and 1 is everybody's first choice.
const PREFERENCE: u16 = 2;
/// `n` and `m`, so that nobody else has it by chance.
const HANDLE: TcHandle = TcHandle::new(0, 0x6e6d);
/// The folder that says that the clsact itself is ours.
const QDISC: &str = "qdisc";

/// Attaches a classifier, or exchanges it in the filter that is ours.
pub(super) fn attach(
    pins: &Pins,
    program: &mut SchedClassifier,
    interface: IfIndex,
    hook: &TcHook,
) -> Result<Attachment, DataplaneError> {
    let name = interface_name(interface)?;
    let refused = |error| DataplaneError::attach(hook.program, &name, error);
    let attachment = Attachment {
        place: Place::Interface {
            index: interface,
            name: Some(name.clone()),
            role: hook.role,
            direction: hook.direction,
        },
        program: hook.program,
        mode: Mode::Clsact,
        link: None,
        in_front: Vec::new(),
    };
    let folder = folder(pins, interface);
    let mark = folder.join(hook.program);
    if mark.exists() && exchange(program, &name, hook).map_err(refused)? {
        return Ok(attachment);
    }
    let added = add_qdisc(&name).map_err(|error| match error.raw_os_error() {
        // The kernel knows no such queueing discipline, and has no module with it.
        Some(libc::ENOENT) => lack(CLSACT),
        _ => refused(error),
    })?;
    bpffs::make_dir(&folder)?;
    if added {
        bpffs::make_dir(&folder.join(QDISC))?;
    }
    // Before the filter itself: a note too many is found out, one too few is not.
    bpffs::make_dir(&mark)?;
    match add(program, &name, hook) {
        Ok(()) => Ok(attachment),
        Err(error) => {
            bpffs::remove_dir(&mark)?;
            tidy(pins, interface, hook)?;
            Err(match error.raw_os_error() {
                Some(libc::EEXIST) => DataplaneError::Occupied {
                    interface: name,
                    preference: PREFERENCE,
                },
                // No such kind of filter.
                Some(libc::ENOENT) => lack(FILTERS),
                _ => refused(error),
            })
        }
    }
}

/// Removes our filter, and with the last one the clsact, if it is ours and carries nobody else's.
pub(super) fn detach(pins: &Pins, interface: IfIndex, hook: &TcHook) -> Result<(), DataplaneError> {
    let mark = folder(pins, interface).join(hook.program);
    if !mark.exists() {
        return Ok(());
    }
    match interface_name(interface) {
        Ok(name) => remove_filter(&name, hook)?,
        Err(DataplaneError::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    bpffs::remove_dir(&mark)?;
    tidy(pins, interface, hook)
}

/// After a filter of ours has gone, or never came: without another of ours, the clsact goes as well.
fn tidy(pins: &Pins, interface: IfIndex, hook: &TcHook) -> Result<(), DataplaneError> {
    let folder = folder(pins, interface);
    let others = bpffs::names(&folder)?;
    if others.iter().any(|name| name != QDISC) {
        return Ok(());
    }
    if !others.is_empty() {
        remove_qdisc(interface).map_err(|source| DataplaneError::Detach {
            program: hook.program,
            place: format!("the interface with index {}", interface.0),
            source,
        })?;
        bpffs::remove_dir(&folder.join(QDISC))?;
    }
    bpffs::remove_dir(&folder)?;
    Ok(())
}

/// The interfaces with filters of ours, and what runs there.
pub(super) fn marked(pins: &Pins) -> Result<Vec<(IfIndex, &'static TcHook)>, DataplaneError> {
    let mut marked = Vec::new();
    for name in bpffs::names(&pins.clsact())? {
        let Ok(index) = name.parse() else { continue };
        let programs = bpffs::names(&pins.clsact().join(&name))?;
        marked.extend(
            programs
                .iter()
                .filter_map(|program| Some((IfIndex(index), TcHook::named(program)?))),
        );
    }
    Ok(marked)
}

fn folder(pins: &Pins, interface: IfIndex) -> PathBuf {
    pins.clsact().join(interface.0.to_string())
}

/// Exchanges the program in our filter; false when there is no filter.
fn exchange(program: &mut SchedClassifier, name: &str, hook: &TcHook) -> io::Result<bool> {
    let link = SchedClassifierLink::attached(name, hook.direction.into(), PREFERENCE, HANDLE, None)?;
    match program.attach_to_link(link).map_err(program_error) {
        Ok(id) => {
            keep(program.take_link(id).map_err(program_error)?);
            Ok(true)
        }
        // No such filter, or (EINVAL) no clsact.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn add(program: &mut SchedClassifier, name: &str, hook: &TcHook) -> io::Result<()> {
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PREFERENCE,
        handle: HANDLE,
        classid: None,
    });
    let id = program
        .attach_with_options(name, hook.direction.into(), options)
        .map_err(program_error)?;
    keep(program.take_link(id).map_err(program_error)?);
    Ok(())
}

/// aya removes a filter when its handle is dropped.
fn keep(link: SchedClassifierLink) {
    std::mem::forget(link);
}

/// Puts a clsact on the interface; false when there is one.
fn add_qdisc(name: &str) -> io::Result<bool> {
    match qdisc_add_clsact(name).map_err(tc_error) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_filter(name: &str, hook: &TcHook) -> Result<(), DataplaneError> {
    let refused = |source: io::Error| match source.raw_os_error() {
        // Somebody else has removed the filter, the clsact or the interface.
        Some(libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(()),
        _ => Err(DataplaneError::Detach {
            program: hook.program,
            place: name.to_owned(),
            source,
        }),
    };
    match SchedClassifierLink::attached(name, hook.direction.into(), PREFERENCE, HANDLE, None) {
        Ok(link) => link.detach().map_err(program_error).or_else(refused),
        Err(error) => refused(error),
    }
}

fn remove_qdisc(interface: IfIndex) -> io::Result<()> {
    match qdisc::has_filters(interface) {
        Ok(true) => Ok(()),
        Ok(false) => qdisc::remove(interface),
        // No such interface any more.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn tc_error(error: TcError) -> io::Error {
    program_error(error.into())
}
