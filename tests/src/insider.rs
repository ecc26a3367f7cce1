//! Sockets of a control group, without the test living there.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use socket2::{Domain, Socket, Type};

use crate::ground;

/// A process (`src/bin/insider.rs`) that makes sockets where it lives. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Insider {
    process: Child,
    channel: Mutex<OwnedFd>,
}

impl Insider {
    /// Starts it by `command`, which has to run the program that is its last argument.
    pub(crate) fn start(command: impl FnOnce(&std::path::Path) -> Command) -> Result<Self> {
        let program = ground::sibling("insider")?;
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let process = command(&program)
            .stdin(theirs)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self {
            process,
            channel: Mutex::new(ours),
        })
    }

    /// A socket that it made.
    pub(crate) fn socket(&self, domain: Domain, kind: Type) -> io::Result<Socket> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |number: i32| u8::try_from(number).map_err(io::Error::other);
        let request = [number(domain.into())?, number(kind.into())?];
        send(&*channel, &request, SendFlags::NOSIGNAL)?;
        let mut code = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &*channel,
            &mut [IoSliceMut::new(&mut code)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Err(io::Error::other("the insider is gone"));
        }
        let sockets = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        match (i32::from_ne_bytes(code), sockets) {
            (0, Some(socket)) => Ok(Socket::from(socket)),
            (code, _) => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

impl Drop for Insider {
    fn drop(&mut self) {
        // It may have ended with its control group.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}
