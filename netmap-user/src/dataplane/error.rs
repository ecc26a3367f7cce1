//! Why a data plane cannot be loaded or attached, a sentence each.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::{
    EbpfError,
    programs::{ProgramError, TcError, links::LinkError},
};
use netmap_common::maps::IfIndex;

use super::Feature;
use crate::maps::MapsError;

/// Why something could not be loaded, attached or removed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// Somebody else holds the pins.
    #[error("netmap already runs with its pins in {}; stop it first, or choose another --pin-dir", .0.display())]
    Running(PathBuf),
    /// The pins were made in another network namespace.
    #[error(
        "the pins in {} belong to another network namespace; remove them with `netmap down`, or choose another --pin-dir",
        .0.display()
    )]
    OtherNamespace(PathBuf),
    /// The pins are another version's.
    #[error(
        "the tables in {} are another version's (layout {found}, and this netmap has {ours}), which cannot be taken over: \
         `netmap down --keep-published` removes them with all flows, and the next start publishes again what is recorded",
        pin_dir.display(), ours = crate::maps::Pins::LAYOUT
    )]
    OtherLayout {
        /// Below which folder.
        pin_dir: PathBuf,
        /// Their layout.
        found: String,
    },
    /// A table is another version's, by its types alone.
    #[error(
        "the entries of the pinned table {name} in {} mean something else to this version: `netmap down --keep-published` \
         removes it with all flows, and the next start publishes again what is recorded",
        pin_dir.display()
    )]
    OtherTypes {
        /// Below which folder.
        pin_dir: PathBuf,
        /// The table.
        name: &'static str,
    },
    /// Filters that only their own namespace can reach.
    #[error(
        "filters of another network namespace are left on {interfaces} interfaces; run `netmap down` there as well"
    )]
    OutOfReach {
        /// How many interfaces carry them.
        interfaces: usize,
    },
    /// Pins cannot live there.
    #[error("{} is not on a BPF file system; choose a --pin-dir below /sys/fs/bpf", .0.display())]
    NotBpffs(PathBuf),
    /// The kernel keeps dots for itself.
    #[error("{} cannot be made: names on a BPF file system have no dots", .0.display())]
    Dotted(PathBuf),
    /// No BPF file system.
    #[error("/sys/fs/bpf cannot be mounted: {0}; have root do it once: `mount -t bpf bpf /sys/fs/bpf`")]
    Mount(io::Error),
    /// A folder or pin cannot be read, made or removed.
    #[error("{} cannot be {operation}: {source}", path.display())]
    Pin {
        /// The folder or pin.
        path: PathBuf,
        /// `read`, `made`, `removed`.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another user's folders.
    #[error(
        "{} is out of reach for user {user}; have root make it once: `install -d -m 0700 -o {user} {}`, where {user} can \
         pass the folders above it",
        path.display(),
        path.display()
    )]
    OutOfReachOf {
        /// The folder.
        path: PathBuf,
        /// Who netmap runs as.
        user: u32,
    },
    /// Another user's pins.
    #[error(
        "the pins in {} belong to user {owner}, and this is user {own}; run netmap as that user, or give them to this one: \
         `chown -R {own} {}`",
        path.display(),
        path.display()
    )]
    Owned {
        /// The folder.
        path: PathBuf,
        /// Who has it.
        owner: u32,
        /// Who netmap runs as.
        own: u32,
    },
    /// No right to do it.
    #[error("loading and attaching BPF programs needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    Denied,
    /// The kernel is too old, or was built without something.
    #[error("this kernel ({release}) lacks {feature}; netmap is tested from Linux 6.1 on")]
    Kernel {
        /// Its version.
        release: String,
        /// What is missing.
        feature: Feature,
    },
    /// The verifier refuses a program.
    #[error("this kernel ({release}) refuses the program {program}: {reason}")]
    Refused {
        /// Its version.
        release: String,
        /// The program.
        program: &'static str,
        /// The error, and the verifier's last words.
        reason: String,
    },
    /// The object has no such program, or none of this kind.
    #[error("the BPF object has no program {0} of the right kind")]
    NoProgram(&'static str),
    /// The object as a whole.
    #[error("the BPF object cannot be loaded: {0}")]
    Object(EbpfError),
    /// The kernel makes no such map.
    #[error("the table {name} cannot be made: {source}")]
    Map {
        /// The map.
        name: String,
        /// Why: too large (`E2BIG`, `EINVAL`), or no memory.
        source: io::Error,
    },
    /// A program that the kernel would not have, and that is not indispensable.
    #[error("{program} is not available: {reason}")]
    Unavailable {
        /// The program.
        program: &'static str,
        /// Why it was not loaded.
        reason: String,
    },
    /// An uplink that does not run native XDP.
    #[error("{interface} cannot run native XDP: {reason}")]
    Xdp {
        /// The uplink.
        interface: String,
        /// Why.
        reason: String,
    },
    /// A map.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// No such interface, or no longer.
    #[error("there is no interface with index {}", interface.0)]
    Missing {
        /// The interface.
        interface: IfIndex,
    },
    /// Interfaces cannot be looked up.
    #[error("interfaces cannot be looked up: {0}")]
    Interfaces(io::Error),
    /// Another program's filter is where ours should be.
    #[error(
        "on {interface}, a filter of another program has preference {preference} and our handle: remove it"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The preference (`pref` in tc(8)).
        preference: u16,
    },
    /// An attachment.
    #[error("{program} cannot be attached to {place}: {source}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The interface, namespace or cgroup.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Its opposite.
    #[error("{program} cannot be detached from {place}: {source}")]
    Detach {
        /// The program.
        program: &'static str,
        /// The interface.
        place: String,
        /// Why.
        source: io::Error,
    },
}

impl DataplaneError {
    pub(super) fn attach(program: &'static str, place: &str, source: io::Error) -> Self {
        if source.raw_os_error() == Some(libc::EPERM) {
            return Self::Denied;
        }
        Self::Attach {
            program,
            place: place.to_owned(),
            source,
        }
    }

    pub(super) fn out_of_reach(path: &Path) -> Self {
        Self::OutOfReachOf {
            path: path.to_owned(),
            user: nix::unistd::geteuid().as_raw(),
        }
    }

    pub(super) fn pin(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Pin {
            path: path.to_owned(),
            operation,
            source,
        }
    }

    /// Whether the kernel does not know this kind of link.
    pub(super) fn is_unsupported(&self) -> bool {
        let Self::Attach { source, .. } = self else {
            return false;
        };
        matches!(source.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
    }
}

/// The system's error inside aya's.
pub(super) fn program_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        ProgramError::IOError(error) | ProgramError::TcError(TcError::IoError(error)) => error,
        ProgramError::NetlinkError(error) | ProgramError::TcError(TcError::NetlinkError(error)) => {
            match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::other(error),
            }
        }
        error => io::Error::other(error),
    }
}

/// The system's error inside aya's.
pub(super) fn link_error(error: LinkError) -> io::Error {
    match error {
        LinkError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}
