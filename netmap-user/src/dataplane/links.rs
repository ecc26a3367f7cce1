//! Links that are pinned: tcx, XDP, socket lookup and cgroup.

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramFd, SchedClassifier,
    links::FdLink,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use netmap_common::maps::IfIndex;

use super::{
    Attachment, DataplaneError, Mode, Place, attachment, bpffs,
    error::{link_error, program_error},
    hook::{TcHook, interface_name},
    load::pin_error,
};
use crate::{
    maps::Pins,
    sys::{Link, LinkState, LinkTarget},
};

/// Attaches a classifier by tcx, before all that are there, or exchanges the program of the link that is pinned.
pub(super) fn attach_tcx(
    pins: &Pins,
    program: &mut SchedClassifier,
    interface: IfIndex,
    hook: &TcHook,
) -> Result<Attachment, DataplaneError> {
    let name = interface_name(interface)?;
    let refused = |error| DataplaneError::attach(hook.program, &name, error);
    let descriptor = clone(program.fd()).map_err(refused)?;
    let state = ensure(
        &tcx_pin(pins, interface, hook),
        LinkTarget::Interface(interface),
        &descriptor,
        || {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program
                .attach_with_options(&name, hook.direction.into(), first)
                .map_err(program_error)?;
            let link: SchedClassifierLink = program.take_link(id).map_err(program_error)?;
            FdLink::try_from(link).map_err(link_error)
        },
    )
    .map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => DataplaneError::Missing { interface },
        _ => refused(error),
    })?;
    Ok(Attachment {
        in_front: attachment::in_front(&name, hook, state.program_id),
        place: Place::Interface {
            index: interface,
            name: Some(name),
            role: hook.role,
            direction: hook.direction,
        },
        program: hook.program,
        mode: Mode::Tcx,
        link: Some(state),
    })
}

/// Lets the link that is pinned at `path` run `program`; where there is none, or one to something else, makes and pins
/// one. `ENODEV` when what was made is not attached to `target`: its name belonged to another by then.
pub(super) fn ensure(
    path: &Path,
    target: LinkTarget,
    program: &ProgramFd,
    make: impl FnOnce() -> io::Result<FdLink>,
) -> io::Result<LinkState> {
    ensure_pinned(path, target, program, || {
        let pinned = make()?.pin(path).map_err(pin_error)?;
        // The pin holds it; this handle is of no more use.
        drop(pinned);
        Ok(())
    })
}

/// The same with a link that `make` pins at `path` itself.
pub(super) fn ensure_pinned(
    path: &Path,
    target: LinkTarget,
    program: &ProgramFd,
    make: impl FnOnce() -> io::Result<()>,
) -> io::Result<LinkState> {
    if let Some(link) = open(path)? {
        if link.state()?.target == target {
            match link.update(program.as_fd()) {
                Ok(()) => return link.state(),
                // Gone in this moment.
                Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
                Err(error) => return Err(error),
            }
        }
        detach(&link)?;
        std::fs::remove_file(path)?;
    }
    make()?;
    let link = Link::from_pin(path)?;
    let state = link.state()?;
    if state.target == target {
        return Ok(state);
    }
    detach(&link)?;
    std::fs::remove_file(path)?;
    Err(io::Error::from_raw_os_error(libc::ENODEV))
}

/// Detaches and unpins, and says whether there was anything.
pub(super) fn remove(path: &Path) -> Result<bool, DataplaneError> {
    let Some(link) = open(path).map_err(DataplaneError::pin(path, "read"))? else {
        return Ok(false);
    };
    detach(&link).map_err(DataplaneError::pin(path, "detached"))?;
    bpffs::remove_file(path)
}

/// The interfaces that have a pinned link, and what runs there.
pub(super) fn pinned(pins: &Pins) -> Result<Vec<(IfIndex, &'static TcHook)>, DataplaneError> {
    let names = bpffs::names(&pins.links())?;
    Ok(names
        .iter()
        .filter_map(|name| {
            let (index, program) = name.split_once('-')?;
            Some((IfIndex(index.parse().ok()?), TcHook::named(program)?))
        })
        .collect())
}

/// Where the link of a hook is pinned.
pub(super) fn tcx_pin(pins: &Pins, interface: IfIndex, hook: &TcHook) -> PathBuf {
    pins.links().join(format!("{}-{}", interface.0, hook.program))
}

/// The link that is pinned there, if any.
pub(super) fn open(path: &Path) -> io::Result<Option<Link>> {
    match Link::from_pin(path) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A descriptor of its own, so that the program can be borrowed while it is used.
pub(super) fn clone(descriptor: Result<&ProgramFd, aya::programs::ProgramError>) -> io::Result<ProgramFd> {
    descriptor.map_err(program_error)?.try_clone()
}

fn detach(link: &Link) -> io::Result<()> {
    match link.detach() {
        // What it was attached to is gone.
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
        result => result,
    }
}
