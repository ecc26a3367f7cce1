//! Pipes that long transfers are spliced through, kept for the next one.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    unistd::pipe2,
};

/// What may wait between both sockets, a direction. Its pages are the sender's own, so a peer that does not read pins
/// this much. Half of it costs a third more time a byte, twice as much spares little.
const BYTES: i32 = 512 << 10;
/// Pipes kept while nobody needs them.
const KEPT: usize = 16;

/// A pipe between two sockets.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    holds: usize,
    size: usize,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // Refused to an ordinary user with many pipes, whose pipes stay as small as they are.
        let size = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(BYTES))
            .or_else(|_| fcntl(&writer, FcntlArg::F_GETPIPE_SZ))?;
        Ok(Self {
            reader,
            writer,
            holds: 0,
            size: usize::try_from(size).unwrap_or(usize::from(u16::MAX)),
        })
    }

    /// Bytes in it.
    pub(super) const fn holds(&self) -> usize {
        self.holds
    }

    /// Moves what `from` has into it, while it is empty; 0 at the end.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let length = retry(|| splice(&from, None, &self.writer, None, self.size, flags()))?;
        self.holds += length;
        Ok(length)
    }

    /// Moves what fits from it into `to`.
    pub(super) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let length = retry(|| splice(&self.reader, None, &to, None, self.holds, flags()))?;
        self.holds -= length.min(self.holds);
        Ok(length)
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

fn retry(call: impl Fn() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Pipes that nobody uses, and how many were made.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    free: Mutex<Vec<Pipe>>,
    made: AtomicU64,
}

impl Pipes {
    /// An empty pipe.
    pub(super) fn take(&self) -> io::Result<Pipe> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(pipe) = free {
            return Ok(pipe);
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        Pipe::new()
    }

    /// Keeps an empty pipe for the next one. One with bytes in it is not to be given back.
    pub(super) fn give(&self, pipe: Pipe) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if pipe.holds() == 0 && free.len() < KEPT {
            free.push(pipe);
        }
    }

    /// How many were made so far.
    #[cfg(test)]
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}
