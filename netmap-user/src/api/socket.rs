//! The socket file: made with its final mode, one daemon a file.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another netmap is already running: it answers at {}", .0.display())]
    Running(PathBuf),
    /// Something that is no socket stands there.
    #[error("{} exists and is not a socket; remove it or choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// The kernel has 108 bytes for it.
    #[error("the socket's path {} is longer than the kernel allows (107 bytes)", .0.display())]
    TooLong(PathBuf),
    /// Anything else.
    #[error("cannot listen at {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Listens at `path`, whose folder is made if needed, for `backlog` clients at a time. The file gets `mode`; one that a dead
/// daemon left is replaced.
///
/// # Errors
///
/// Another daemon lives there, or the file system refuses.
pub fn listen(path: &Path, mode: u32, backlog: i32) -> Result<std::os::unix::net::UnixListener, BindError> {
    let failed = |error| BindError::Io(path.to_owned(), error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(failed)?;
    }
    let address = SockAddr::unix(path).map_err(|_| BindError::TooLong(path.to_owned()))?;
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    // The file takes the socket's mode less the umask, so that nobody else can connect for even a moment.
    fchmod(&socket, Mode::from_bits_truncate(mode)).map_err(|errno| failed(errno.into()))?;
    socket.bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Running(path.to_owned()),
        _ => failed(error),
    })?;
    // And again, because the umask has usually taken the group's right to write.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(backlog).map_err(failed)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

/// Removes the file of a daemon that is gone; says whether there was one.
///
/// # Errors
///
/// A daemon answers there, the file is no socket, or the file system refuses.
pub fn remove_stale(path: &Path) -> Result<bool, BindError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(BindError::Io(path.to_owned(), error)),
    };
    if !kind.is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::Running(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(BindError::Io(path.to_owned(), error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BindError::Io(path.to_owned(), error)),
    }
}
