//! The drop-in by which systemd starts netmap before Docker.

use std::path::{Path, PathBuf};

/// Its text. Not `Requires=`: a restart of netmap is none of Docker's.
pub const TEXT: &str = "\
# Written by `netmap docker install`; `netmap docker remove` takes it away.
[Unit]
Wants=netmap.service
After=netmap.service
";

/// Where systemd's units are.
pub const FOLDER: &str = "/etc/systemd/system";

/// Where it stands below the folder of the units.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("docker.service.d/netmap.conf")
}
