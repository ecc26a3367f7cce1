//! The hooks of sockets in a cgroup: which programs go together, and where.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    CgroupAttachMode, CgroupSockAddr, CgroupSockAddrAttachType as At, ProgramError, links::FdLink,
};
use netmap_common::maps::program;

use super::{
    Attachment, DataplaneError, Place,
    error::{link_error, program_error},
    links, sockets,
};
use crate::{maps::Pins, sys::LinkTarget};

/// What programs in a cgroup are for. Those of one purpose are attached together or not at all, and what a kernel does
/// not take is done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Keeps published ports from other programs. `bpf_set_retval`, by which it says "address in use", came with Linux
    /// 5.18.
    Hold,
    /// Leads the host's own sockets straight to containers.
    Detour,
}

/// A program in a cgroup.
#[derive(Debug)]
pub(super) struct CgroupHook {
    pub(super) program: &'static str,
    pub(super) purpose: Purpose,
    /// Its name in the CLI and in JSON.
    pub(super) name: &'static str,
    at: At,
}

impl CgroupHook {
    /// Every hook, in the order in which they are attached: who is led astray can be told so from the first moment on.
    pub(super) const ALL: &'static [Self] = &[
        Self::new(program::HOLD, Purpose::Hold, "bind4", At::Bind4),
        Self::new(program::HOLD6, Purpose::Hold, "bind6", At::Bind6),
        Self::new(
            program::GETPEERNAME4,
            Purpose::Detour,
            "getpeername4",
            At::GetPeerName4,
        ),
        Self::new(
            program::GETPEERNAME6,
            Purpose::Detour,
            "getpeername6",
            At::GetPeerName6,
        ),
        Self::new(program::RECVMSG4, Purpose::Detour, "recvmsg4", At::UDPRecvMsg4),
        Self::new(program::RECVMSG6, Purpose::Detour, "recvmsg6", At::UDPRecvMsg6),
        Self::new(program::SENDMSG4, Purpose::Detour, "sendmsg4", At::UDPSendMsg4),
        Self::new(program::SENDMSG6, Purpose::Detour, "sendmsg6", At::UDPSendMsg6),
        Self::new(program::CONNECT4, Purpose::Detour, "connect4", At::Connect4),
        Self::new(program::CONNECT6, Purpose::Detour, "connect6", At::Connect6),
    ];

    const fn new(program: &'static str, purpose: Purpose, name: &'static str, at: At) -> Self {
        Self {
            program,
            purpose,
            name,
            at,
        }
    }

    /// The hooks of one purpose.
    pub(super) fn of(purpose: Purpose) -> impl DoubleEndedIterator<Item = &'static Self> {
        Self::ALL.iter().filter(move |hook| hook.purpose == purpose)
    }

    /// The pinned program.
    pub(super) fn open(&self, pins: &Pins) -> Result<CgroupSockAddr, ProgramError> {
        CgroupSockAddr::from_pin(pins.program(self.program), self.at)
    }

    /// Where its link is pinned.
    pub(super) fn link_pin(&self, pins: &Pins) -> PathBuf {
        pins.links().join(self.program)
    }

    /// Attaches the program, or lets the link that is pinned run it.
    pub(super) fn attach(
        &self,
        pins: &Pins,
        program: &mut CgroupSockAddr,
        cgroup: &Path,
    ) -> Result<Attachment, DataplaneError> {
        let mut attach = || {
            let file = File::open(cgroup)?;
            let target = LinkTarget::Cgroup(file.metadata()?.ino());
            let descriptor = links::clone(program.fd())?;
            links::ensure(&self.link_pin(pins), target, &descriptor, || {
                // A link of a cgroup lets others be beside it by itself; the kernel takes no other mode (Linux 5.7).
                let id = program
                    .attach(&file, CgroupAttachMode::Single)
                    .map_err(program_error)?;
                let link = program.take_link(id).map_err(program_error)?;
                FdLink::try_from(link).map_err(link_error)
            })
        };
        sockets::attachment(attach(), self.place(), self.program, cgroup)
    }

    pub(super) const fn place(&self) -> Place {
        Place::Cgroup { hook: self.name }
    }
}
