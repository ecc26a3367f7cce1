//! systemd's drop-ins: one by which it starts netmap before Docker, one by which netmap follows Docker.

use std::path::{Path, PathBuf};

use nix::unistd::Group;
use serde_json::Value;

use super::document::Document;
use crate::options::DEFAULT_ENGINE;

/// Where systemd's units are.
pub const FOLDER: &str = "/etc/systemd/system";

/// By which a file is known as ours.
const MARK: &str = "# Written by `netmap docker install`; `netmap docker remove` takes it away.\n";

/// The group that dockerd gives its socket unless it is told otherwise.
const USUAL_GROUP: &str = "docker";

/// A drop-in: where it stands, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// The file.
    pub path: PathBuf,
    /// All of its text.
    pub text: String,
}

/// What Docker is to know of netmap, and netmap of Docker with these settings.
pub fn drop_ins(folder: &Path, document: &Document) -> [DropIn; 2] {
    // A group that does not exist would keep the unit from starting.
    let may_read = group(document).map_or_else(String::new, |group| {
        format!("# Docker's socket is this group's, which is as good as root.\nSupplementaryGroups={group}\n")
    });
    let engine = engine(document);
    let netmap = format!("{MARK}[Service]\nEnvironment=NETMAP_DOCKER={engine}\n{may_read}");
    // Not `Requires=`: a restart of netmap is none of Docker's.
    let docker = format!("{MARK}[Unit]\nWants=netmap.service\nAfter=netmap.service\n");
    [
        DropIn {
            path: before_docker(folder),
            text: docker,
        },
        DropIn {
            path: follows_docker(folder),
            text: netmap,
        },
    ]
}

/// Where the one stands by which netmap starts first, below the folder of the units.
pub fn before_docker(folder: &Path) -> PathBuf {
    folder.join("docker.service.d/netmap.conf")
}

/// Where the one stands by which netmap follows Docker.
pub fn follows_docker(folder: &Path) -> PathBuf {
    folder.join("netmap.service.d/docker.conf")
}

/// Whether a drop-in with this text is ours to write and to take away.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

/// The group that may read Docker's socket, if there is one.
pub fn group(document: &Document) -> Option<String> {
    let said = document.get("group");
    let name = said.as_ref().and_then(Value::as_str).unwrap_or(USUAL_GROUP);
    // By number it may stand there, too: systemd takes those.
    let is_there = name.parse::<u32>().is_ok() || Group::from_name(name).is_ok_and(|group| group.is_some());
    is_there.then(|| name.to_owned())
}

/// The unix socket on which Docker listens.
fn engine(document: &Document) -> String {
    let hosts = document.get("hosts");
    let hosts = hosts.as_ref().and_then(Value::as_array);
    hosts
        .into_iter()
        .flatten()
        .filter_map(|host| host.as_str()?.strip_prefix("unix://"))
        .find(|path| path.starts_with('/') && !path.contains(char::is_whitespace))
        .unwrap_or(DEFAULT_ENGINE)
        .to_owned()
}
