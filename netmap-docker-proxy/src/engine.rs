//! What the engine says to a running proxy: by signals, which are read like a file.

use std::{io, os::fd::AsFd};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

/// The engine's signals.
pub(crate) struct Engine(SignalFd);

/// What a proxy waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// SIGINT: the engine takes the port back.
    Unpublish,
    /// SIGTERM: the engine has died, or somebody wants this process gone.
    Leave,
    /// There is something to read from the daemon, or it is gone.
    Daemon,
    /// Time is over.
    Timeout,
}

impl Engine {
    /// From now on signals wait until they are read.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = signals();
        signals.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&signals, flags)?))
    }

    /// Signals do again what they do to any process.
    pub(crate) fn forget() -> io::Result<()> {
        Ok(signals().thread_unblock()?)
    }

    /// Sleeps until something happens, or `milliseconds` have passed. Signals come first.
    pub(crate) fn wait(&mut self, daemon: Option<&impl AsFd>, milliseconds: Option<u16>) -> Event {
        let signals = self.0.as_fd();
        let daemon = daemon.map_or(signals, AsFd::as_fd);
        let mut files = [signals, daemon].map(|file| PollFd::new(file, PollFlags::POLLIN));
        let timeout = milliseconds.map_or(PollTimeout::NONE, PollTimeout::from);
        let heard = poll(&mut files, timeout);
        while let Ok(Some(signal)) = self.0.read_signal() {
            match i32::try_from(signal.ssi_signo) {
                Ok(libc::SIGINT) => return Event::Unpublish,
                Ok(libc::SIGTERM) => return Event::Leave,
                _ => {}
            }
        }
        match heard {
            Ok(0) => Event::Timeout,
            _ => Event::Daemon,
        }
    }
}

fn signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals
}
