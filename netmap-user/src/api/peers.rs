//! Who may use the API: asked of the kernel for each connection, because a socket's file may be opened to anybody, and
//! not every way to it goes by the file's mode.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use tokio::net::UnixStream;
use tracing::warn;

use crate::sys;

/// Users and group of a socket.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    socket: PathBuf,
    user: u32,
}

impl Peers {
    /// Those of the socket at `path`.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            socket: path.to_owned(),
            user: geteuid().as_raw(),
        }
    }

    /// Whether a client may come in: root, the daemon's own user, or somebody in the group that the socket's file has now. The
    /// client's user and groups are those of when it connected (`SO_PEERCRED`, `SO_PEERGROUPS`).
    pub(super) fn admit(&self, client: &UnixStream) -> bool {
        let Ok(peer) = client.peer_cred() else {
            return false;
        };
        let is_admitted = [0, self.user].contains(&peer.uid()) || self.is_in_group(client, peer.gid());
        if !is_admitted {
            warn!("user {} may not use netmap's API, and was told so", peer.uid());
        }
        is_admitted
    }

    fn is_in_group(&self, client: &UnixStream, first: u32) -> bool {
        let Ok(group) = fs::metadata(&self.socket).map(|file| file.gid()) else {
            return false;
        };
        first == group || sys::peer_groups(client).is_ok_and(|groups| groups.contains(&group))
    }
}
