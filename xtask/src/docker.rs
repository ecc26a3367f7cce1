//! A real Docker for tests and benchmarks, and a real Prometheus: Debian's packages unpacked into the target folder, never
//! installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{
    build::target_dir,
    packages::{Apt, DOCKER, PROMETHEUS, Unpacked},
};

/// Where the libraries are, below the folder of the programs.
const LIBRARIES: &str = "lib";

/// The folder with dockerd and all that it calls; it is filled where it is not there yet.
pub(crate) fn unpacked() -> anyhow::Result<PathBuf> {
    unpack("docker-engine", &DOCKER)
}

/// The same with Prometheus and its tool.
pub(crate) fn prometheus() -> anyhow::Result<PathBuf> {
    unpack("prometheus", &PROMETHEUS)
}

fn unpack(name: &str, packages: &[Unpacked]) -> anyhow::Result<PathBuf> {
    let folder = target_dir()?.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    // It has its name when it is whole.
    let growing = folder.with_extension("part");
    if growing.exists() {
        fs::remove_dir_all(&growing)?;
    }
    fs::create_dir_all(growing.join(LIBRARIES))?;
    let mut apt = Apt::default();
    for wanted in packages {
        take(&mut apt, wanted, &growing).with_context(|| format!("cannot unpack {}", wanted.package))?;
    }
    fs::rename(&growing, &folder)?;
    Ok(folder)
}

/// Fetches a package and keeps what is wanted of it in `folder`.
fn take(apt: &mut Apt, wanted: &Unpacked, folder: &Path) -> anyhow::Result<()> {
    let fetched = folder.join("package");
    let tree = folder.join("tree");
    fs::create_dir(&fetched)?;
    apt.download(wanted.package, &fetched)?;
    let package = fs::read_dir(&fetched)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get fetched no package")?;
    let unpacked = Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(&tree)
        .status()
        .context("cannot run dpkg-deb")?;
    ensure!(unpacked.success(), "dpkg-deb ended with {unpacked}");
    for file in wanted.files {
        let path = tree.join(file);
        if path.is_dir() {
            keep_libraries(&path, &folder.join(LIBRARIES))?;
        } else if path.is_file() {
            move_into(&path, folder)?;
        } else {
            // Libraries are in either folder.
            ensure!(file.ends_with("lib"), "it has no {file}");
        }
    }
    fs::remove_dir_all(fetched)?;
    fs::remove_dir_all(tree)?;
    Ok(())
}

fn keep_libraries(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)?.flatten() {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            keep_libraries(&path, to)?;
        } else if entry.file_name().to_string_lossy().contains(".so") {
            move_into(&path, to)?;
        }
    }
    Ok(())
}

fn move_into(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = file.file_name().context("a file without a name")?;
    Ok(fs::rename(file, folder.join(name))?)
}
