//! Native XDP at uplinks. Never generic XDP, which is slower than TC, and never in the place of another's program.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use aya::programs::Xdp as Program;
use netmap_common::maps::{IfIndex, program};

use super::{Attachment, DataplaneError, Mode, Place, attachment, bpffs, hook::interface_name, links};
use crate::{
    maps::Pins,
    sys::{Link, LinkState, LinkTarget, Xdp, xdp_of},
};

const SUFFIX: &str = "-uplink_xdp";

/// Attaches the program by the interface's driver, or exchanges the program of the link that is pinned.
pub(super) fn attach(
    pins: &Pins,
    program: &Program,
    interface: IfIndex,
) -> Result<Attachment, DataplaneError> {
    let name = interface_name(interface)?;
    let path = pin(pins, interface);
    let attach = || {
        let descriptor = links::clone(program.fd())?;
        links::ensure_pinned(&path, LinkTarget::Interface(interface), &descriptor, || {
            Link::attach_xdp(descriptor.as_fd(), interface)?.pin(&path)
        })
    };
    let state = attach().map_err(|error| refused(&name, &error))?;
    Ok(attachment_of(interface, Some(name), state))
}

/// Detaches it, and says whether it was attached.
pub(super) fn detach(pins: &Pins, interface: IfIndex) -> Result<bool, DataplaneError> {
    links::remove(&pin(pins, interface))
}

/// The interfaces that have a pinned link.
pub(super) fn pinned(pins: &Pins) -> Result<Vec<IfIndex>, DataplaneError> {
    let names = bpffs::names(&pins.links())?;
    let indexes = names
        .iter()
        .filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok());
    Ok(indexes.map(IfIndex).collect())
}

/// Everything that is attached.
pub(super) fn list(pins: &Pins) -> Result<Vec<Attachment>, DataplaneError> {
    let mut found = Vec::new();
    for index in pinned(pins)? {
        if let Some(state) = attachment::state(&pin(pins, index))? {
            found.push(attachment_of(index, interface_name(index).ok(), state));
        }
    }
    Ok(found)
}

/// With the mode that the kernel tells.
fn attachment_of(index: IfIndex, name: Option<String>, state: LinkState) -> Attachment {
    let mode = match xdp_of(index) {
        Ok((mode, id)) if id == state.program_id => mode,
        _ => Xdp::Off,
    };
    Attachment {
        place: Place::Wire { index, name },
        program: program::UPLINK_XDP,
        mode: Mode::Xdp(mode),
        link: Some(state),
        in_front: Vec::new(),
    }
}

fn pin(pins: &Pins, interface: IfIndex) -> PathBuf {
    pins.links().join(format!("{}{SUFFIX}", interface.0))
}

fn refused(interface: &str, error: &io::Error) -> DataplaneError {
    let reason = match error.raw_os_error() {
        Some(libc::EPERM) => return DataplaneError::Denied,
        Some(libc::EBUSY | libc::EEXIST) => {
            "another XDP program is attached there, which netmap never replaces".to_owned()
        }
        Some(libc::EOPNOTSUPP) => "its driver has no native XDP".to_owned(),
        _ => format!("its driver refuses ({error})"),
    };
    DataplaneError::Xdp {
        interface: interface.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_name_carries_the_programs() {
        let path = pin(&Pins::new("/pins".as_ref()), IfIndex(7));
        assert!(
            path.ends_with(format!("7-{}", program::UPLINK_XDP)),
            "{}",
            path.display()
        );
    }

    #[test]
    fn a_refusal_is_one_sentence() {
        let sentence = |code| refused("eth0", &io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(
            sentence(libc::EBUSY),
            "eth0 cannot run native XDP: another XDP program is attached there, which netmap never replaces"
        );
        assert_eq!(
            sentence(libc::EOPNOTSUPP),
            "eth0 cannot run native XDP: its driver has no native XDP"
        );
        assert_eq!(
            sentence(libc::ERANGE),
            "eth0 cannot run native XDP: its driver refuses (Numerical result out of range (os error 34))"
        );
    }
}
