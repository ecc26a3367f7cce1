//! The file descriptors that the engine hands down: 3, the pipe on which it waits for `0\n` or `1\n` and a reason, and 4, a
//! socket on the port.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::{
        fd::RawFd,
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    process::ExitCode,
};

use nix::{libc::O_NONBLOCK, unistd::close};

/// The pipe.
const PIPE: RawFd = 3;
/// The socket.
pub(crate) const LISTENER: RawFd = 4;

/// The engine's status pipe, if there is one: a user's shell has none.
pub(crate) struct Status(Option<File>);

impl Status {
    /// The pipe that this process was started with. To be looked for before any other file is opened.
    pub(crate) fn inherited() -> Self {
        let path = path(PIPE);
        let is_pipe = fs::metadata(&path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        // Opened anew: nobody else's descriptor is written to. It would wait for a reader that is gone.
        let pipe = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path);
        Self(pipe.ok().filter(|_| is_pipe))
    }

    /// Tells the engine that the port is carried, and lets go of the pipe.
    pub(crate) fn ready(&mut self) {
        self.write("0\n");
        if self.0.take().is_some() {
            let _closed = close(PIPE);
        }
    }

    /// Tells the engine why not, and whoever reads the standard error.
    pub(crate) fn refuse(&self, why: &str, code: u8) -> ExitCode {
        self.write(&format!("1\n{why}"));
        let _unheard = writeln!(std::io::stderr(), "netmap-docker-proxy: {why}");
        ExitCode::from(code)
    }

    fn write(&self, text: &str) {
        if let Some(mut pipe) = self.0.as_ref() {
            // An engine that has stopped waiting has its own word for that.
            let _unheard = pipe.write_all(text.as_bytes());
        }
    }
}

/// Whether a file descriptor that this process was started with is a socket.
pub(crate) fn is_socket(descriptor: RawFd) -> bool {
    fs::read_link(path(descriptor))
        .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
}

fn path(descriptor: RawFd) -> String {
    format!("/proc/self/fd/{descriptor}")
}
