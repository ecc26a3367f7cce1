//! What a proxy leaves when the engine takes its port back and no daemon is there to hear of it: a file beside the
//! daemon's socket, with the request in it. The next daemon does as it says, before it hears anybody.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::frame::{Port, Request, Verb};

/// The folder of the notes for the daemon at `socket`.
pub fn folder(socket: &Path) -> PathBuf {
    socket.with_extension("unpublished")
}

/// Makes the folder for the notes to come, as the daemon does: it may be another user than root, who could not read a folder
/// of root's.
///
/// # Errors
///
/// What the file system refuses with.
pub fn prepare(socket: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder(socket))
}

/// Leaves the note that `port` is not to be carried any more.
///
/// # Errors
///
/// What the file system refuses with.
pub fn leave(socket: &Path, port: Port) -> io::Result<()> {
    prepare(socket)?;
    let request = Request {
        verb: Verb::Unpublish,
        port,
        has_socket: false,
    };
    let Port { transport, host, .. } = port;
    let name = format!("{}-{}-{}", transport.name(), host.ip(), host.port());
    let path = folder(socket).join(name);
    fs::write(&path, request.encode())?;
    // The folder is closed; the daemon's user must be able to read what root has left in it.
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Takes every note for the daemon at `socket` down, and returns the ports that are not to be carried any more.
pub fn take(socket: &Path) -> Vec<Port> {
    let Ok(notes) = fs::read_dir(folder(socket)) else {
        return Vec::new();
    };
    let mut ports = Vec::new();
    for note in notes.flatten() {
        let bytes = fs::read(note.path()).unwrap_or_default();
        // What cannot be removed would be obeyed again by each daemon to come.
        if fs::remove_file(note.path()).is_err() {
            continue;
        }
        let request = bytes.first_chunk().map(Request::decode);
        if let Some(Ok(Request { port, .. })) = request {
            ports.push(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Transport;

    #[test]
    fn a_note_is_read_once() {
        let folder_of_all = std::env::temp_dir().join(format!("netmap-notes-{}", std::process::id()));
        let socket = folder_of_all.join("docker-proxy.sock");
        assert_eq!(take(&socket), []);
        let port = |host: &str| Port {
            transport: Transport::Tcp,
            host: host.parse().unwrap(),
            container: "172.17.0.2:80".parse().unwrap(),
        };
        let ports = [port("0.0.0.0:8080"), port("[::]:8080")];
        for port in [ports[0], ports[1], ports[0]] {
            leave(&socket, port).unwrap();
        }
        fs::write(folder(&socket).join("torn"), b"nmdp").unwrap();
        let mut taken = take(&socket);
        taken.sort_by_key(|port| port.host);
        assert_eq!(taken, ports);
        assert_eq!(take(&socket), []);
        fs::remove_dir_all(folder_of_all).unwrap();
    }
}
