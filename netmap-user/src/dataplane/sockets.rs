//! The hook of sockets in the network namespace: lookup.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::programs::links::FdLink;
use netmap_common::maps::program;

use super::{Attachment, DataplaneError, Mode, Place, error::program_error, links, programs::Programs};
use crate::{
    maps::Pins,
    sys::{LinkState, LinkTarget},
};

/// The calling thread's network namespace. (`/proc/self` would be the main thread's.)
pub const CURRENT_NETNS: &str = "/proc/thread-self/ns/net";

/// Where the link of the socket lookup is pinned.
pub(super) fn steer_pin(pins: &Pins) -> PathBuf {
    pins.links().join(program::STEER)
}

/// Attaches the socket lookup, or exchanges its program.
pub(super) fn attach_steer(
    pins: &Pins,
    programs: &mut Programs,
    netns: &Path,
) -> Result<Attachment, DataplaneError> {
    let program = &mut programs.steer;
    let mut attach = || {
        let file = File::open(netns)?;
        let target = LinkTarget::Netns(file.metadata()?.ino());
        let descriptor = links::clone(program.fd())?;
        links::ensure(&steer_pin(pins), target, &descriptor, || {
            let id = program.attach(&file).map_err(program_error)?;
            program.take_link(id).map(FdLink::from).map_err(program_error)
        })
    };
    attachment(attach(), Place::Netns, program::STEER, netns)
}

/// What was attached, or why not.
pub(super) fn attachment(
    state: io::Result<LinkState>,
    place: Place,
    program: &'static str,
    path: &Path,
) -> Result<Attachment, DataplaneError> {
    let state = state.map_err(|error| DataplaneError::attach(program, &path.display().to_string(), error))?;
    Ok(Attachment {
        place,
        program,
        mode: Mode::Link,
        link: Some(state),
        in_front: Vec::new(),
    })
}
