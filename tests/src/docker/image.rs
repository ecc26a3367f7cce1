//! What the lab's containers hold: the server `respond` with its libraries, and busybox.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::tools::Tools;
use crate::{command, ground};

/// The image's name.
pub const NAME: &str = "lab";
/// The server in it: its arguments are ports.
pub const SERVER: &str = "/respond";

/// Lays the image's files out in `folder`.
pub(super) fn lay_out(tools: &Tools, folder: &Path) -> Result<()> {
    let server = ground::sibling("respond")?;
    for library in libraries(&server)? {
        let inside = folder.join(library.strip_prefix("/")?);
        fs::create_dir_all(inside.parent().unwrap_or(folder))?;
        fs::copy(&library, inside)?;
    }
    let binaries = folder.join("bin");
    fs::create_dir_all(&binaries)?;
    fs::copy(server, folder.join(SERVER.trim_start_matches('/')))?;
    fs::copy(tools.program("busybox")?, binaries.join("busybox"))?;
    for name in ["sh", "sleep", "ip", "nslookup"] {
        symlink("busybox", binaries.join(name))?;
    }
    Ok(())
}

/// The loader and the libraries that a program needs.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = command::run(std::process::Command::new("ldd").arg(program))
        .with_context(|| format!("what {} needs is unknown", program.display()))?;
    Ok(listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}
