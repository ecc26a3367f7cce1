//! What is attached where.

use std::path::Path;

use aya::programs::SchedClassifier;
use netmap_common::maps::{IfIndex, Role, program};

use super::{
    DataplaneError, Direction,
    cgroup::CgroupHook,
    clsact,
    hook::{TcHook, interface_name},
    links, sockets, xdp,
};
use crate::{
    maps::Pins,
    sys::{LinkState, LinkTarget, Xdp},
};

/// One program at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where.
    pub place: Place,
    /// Which, see [`netmap_common::maps::program`].
    pub program: &'static str,
    /// How.
    pub mode: Mode,
    /// The link and the program that it runs; none for clsact.
    pub link: Option<LinkState>,
    /// Other programs that see packets before this one, and may keep them from it; unknown for clsact.
    pub in_front: Vec<String>,
}

/// Where a program is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An interface.
    Interface {
        /// Its index.
        index: IfIndex,
        /// Its name, none when it is gone.
        name: Option<String>,
        /// What it is to netmap.
        role: Role,
        /// Which of its packets.
        direction: Direction,
    },
    /// An uplink, before its driver makes packets of frames.
    Wire {
        /// The interface's index.
        index: IfIndex,
        /// Its name, none when it is gone.
        name: Option<String>,
    },
    /// The network namespace.
    Netns,
    /// A cgroup and all below it.
    Cgroup {
        /// Which calls of its sockets, as in `connect4`.
        hook: &'static str,
    },
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A tcx link (Linux 6.6).
    Tcx,
    /// A filter on a clsact.
    Clsact,
    /// A link that XDP runs by, and how the kernel says that it does.
    Xdp(Xdp),
    /// A link of another kind.
    Link,
}

impl Mode {
    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp(xdp) => xdp.name(),
            Self::Link => "link",
        }
    }
}

impl Place {
    /// The interface's name (its index in words when it is gone), `netns` or `cgroup`.
    pub fn interface(&self) -> String {
        match self {
            Self::Interface { name: Some(name), .. } | Self::Wire { name: Some(name), .. } => name.clone(),
            Self::Interface { index, .. } | Self::Wire { index, .. } => format!("index {}", index.0),
            Self::Netns => "netns".to_owned(),
            Self::Cgroup { .. } => "cgroup".to_owned(),
        }
    }

    /// `uplink`, `port`, `bridge`, `netns` or `cgroup`.
    pub const fn role(&self) -> &'static str {
        match self {
            Self::Interface { role, .. } => match role {
                Role::Uplink => "uplink",
                Role::Port => "port",
                Role::Bridge => "bridge",
            },
            Self::Wire { .. } => "uplink",
            Self::Netns => "netns",
            Self::Cgroup { .. } => "cgroup",
        }
    }

    /// `ingress`, `egress`, `xdp`, `sk_lookup`, `bind4`, `connect4` and so on.
    pub const fn hook(&self) -> &'static str {
        match self {
            Self::Interface { direction, .. } => direction.name(),
            Self::Wire { .. } => "xdp",
            Self::Netns => "sk_lookup",
            Self::Cgroup { hook } => hook,
        }
    }
}

/// Everything that is attached by the pins below `pin_dir`; works with the daemon dead.
///
/// # Errors
///
/// When the pins cannot be read.
pub fn attachments(pin_dir: &Path) -> Result<Vec<Attachment>, DataplaneError> {
    list(&Pins::new(pin_dir))
}

/// Everything that is attached by these pins, interface by interface.
pub(super) fn list(pins: &Pins) -> Result<Vec<Attachment>, DataplaneError> {
    let mut found = Vec::new();
    for (index, hook) in links::pinned(pins)? {
        let path = links::tcx_pin(pins, index, hook);
        let Some(state) = state(&path)? else { continue };
        let name = interface_name(index).ok();
        let in_front = name.as_deref().map(|name| in_front(name, hook, state.program_id));
        found.push(Attachment {
            place: place(index, name, hook),
            program: hook.program,
            mode: Mode::Tcx,
            link: Some(state),
            in_front: in_front.unwrap_or_default(),
        });
    }
    for (index, hook) in clsact::marked(pins)? {
        let Ok(name) = interface_name(index) else { continue };
        found.push(Attachment {
            place: place(index, Some(name), hook),
            program: hook.program,
            mode: Mode::Clsact,
            link: None,
            in_front: Vec::new(),
        });
    }
    found.extend(xdp::list(pins)?);
    let steer = (sockets::steer_pin(pins), Place::Netns, program::STEER);
    let in_cgroup = CgroupHook::ALL
        .iter()
        .map(|hook| (hook.link_pin(pins), hook.place(), hook.program));
    found.sort_by_key(|attachment| match attachment.place {
        Place::Interface { index, .. } | Place::Wire { index, .. } => index,
        Place::Netns | Place::Cgroup { .. } => IfIndex(u32::MAX),
    });
    for (path, place, program) in std::iter::once(steer).chain(in_cgroup) {
        if let Some(state) = state(&path)? {
            found.push(Attachment {
                place,
                program,
                mode: Mode::Link,
                link: Some(state),
                in_front: Vec::new(),
            });
        }
    }
    Ok(found)
}

/// The names of programs that run before `program_id`. Asking needs `CAP_SYS_ADMIN`: without it, none are told.
pub(super) fn in_front(interface: &str, hook: &TcHook, program_id: u32) -> Vec<String> {
    let Ok((_, programs)) = SchedClassifier::query_tcx(interface, hook.direction.into()) else {
        return Vec::new();
    };
    programs
        .iter()
        .take_while(|program| program.id() != program_id)
        .map(|program| {
            format!(
                "{} (program {})",
                program.name_as_str().unwrap_or("?"),
                program.id()
            )
        })
        .collect()
}

fn place(index: IfIndex, name: Option<String>, hook: &TcHook) -> Place {
    Place::Interface {
        index,
        name,
        role: hook.role,
        direction: hook.direction,
    }
}

/// What a pinned link joins; none when there is no pin, or nothing at its other end.
pub(super) fn state(path: &Path) -> Result<Option<LinkState>, DataplaneError> {
    let state = links::open(path)
        .and_then(|link| link.map(|link| link.state()).transpose())
        .map_err(DataplaneError::pin(path, "read"))?;
    Ok(state.filter(|state| state.target != LinkTarget::Severed))
}
