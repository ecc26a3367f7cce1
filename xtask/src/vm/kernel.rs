//! Debian's kernel of a version: fetched, unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{build::succeed, packages::Apt};

/// Kernels of releases before this machine's, and these.
const OLDER: [(&str, &str); 1] = [("5.10", "bullseye")];

/// A kernel and its modules.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// `boot` and `lib/modules` are in here.
    root: PathBuf,
    release: String,
}

impl Kernel {
    /// A kernel of this version (`6.1`): the one that is in `folder`, or the newest that Debian has, which is there then.
    pub(crate) fn unpacked(version: &str, folder: &Path) -> anyhow::Result<Self> {
        ensure!(
            version.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{version:?} is no version of a kernel; give one like 6.1"
        );
        fs::create_dir_all(folder)?;
        let package = match newest(version, &fetched(folder)?) {
            Some(package) => package,
            None => fetch(version, folder)?,
        };
        let root = folder.join(&package);
        let release = fs::read_dir(root.join("lib/modules"))?
            .flatten()
            .next()
            .with_context(|| format!("{package} has no modules"))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        Ok(Self { root, release })
    }

    /// As `uname -r` will say.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The folder with `lib/modules` in it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is booted.
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The files to be loaded for these modules, in their order.
    pub(crate) fn modules(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for name in names {
            let output = Command::new("modprobe")
                .args(["--show-depends", "--set-version", &self.release, "--dirname"])
                .arg(&self.root)
                .arg(name)
                .output()
                .context("cannot run modprobe")?;
            ensure!(output.status.success(), "{} has no module {name}", self.release);
            let listed = String::from_utf8_lossy(&output.stdout);
            for line in listed.lines() {
                let Some(file) = line.strip_prefix("insmod ") else {
                    continue;
                };
                let file = PathBuf::from(file.trim());
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }
}

/// The kernels in this folder, by the names of their packages.
fn fetched(folder: &Path) -> anyhow::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.flatten();
    Ok(names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

/// Of `linux-image-6.1.0-9-amd64` and its like the last; none of those for special purposes.
fn newest(version: &str, packages: &[String]) -> Option<String> {
    let number = |package: &&String| {
        let rest = package.strip_prefix("linux-image-")?.strip_prefix(version)?;
        let (patch, build) = rest.strip_prefix('.')?.strip_suffix("-amd64")?.split_once('-')?;
        Some((patch.parse::<u32>().ok()?, build.parse::<u32>().ok()?))
    };
    let newest = packages
        .iter()
        .filter(|package| number(package).is_some())
        .max_by_key(number);
    newest.cloned()
}

/// Fetches and unpacks the newest; the name of its package, which is its folder's in `folder`.
fn fetch(version: &str, folder: &Path) -> anyhow::Result<String> {
    let older = OLDER.iter().find(|(kernel, _)| *kernel == version);
    let (mut apt, place) = match older {
        Some((_, release)) => (
            Apt::of_release(release, &folder.join(release))?,
            format!("Debian's release {release}"),
        ),
        None => (Apt::default(), "this machine's apt sources".to_owned()),
    };
    let package = newest(version, &apt.names(&format!("linux-image-{version}"))?)
        .with_context(|| format!("{place} has no kernel {version}, or cannot be reached"))?;
    unpack(&mut apt, &package, &folder.join(&package))?;
    Ok(package)
}

fn unpack(apt: &mut Apt, package: &str, root: &Path) -> anyhow::Result<()> {
    // It has its name when it is whole.
    let growing = root.with_file_name(format!("{package}.part"));
    if growing.exists() {
        fs::remove_dir_all(&growing)?;
    }
    fs::create_dir_all(&growing)?;
    apt.download(package, &growing)?;
    let file = fs::read_dir(&growing)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get fetched no package")?;
    succeed(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&growing))?;
    fs::remove_file(file)?;
    for release in fs::read_dir(growing.join("lib/modules"))?.flatten() {
        succeed(
            Command::new("depmod")
                .arg("--basedir")
                .arg(&growing)
                .arg(release.file_name()),
        )?;
    }
    Ok(fs::rename(growing, root)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_plain_kernel_of_the_version_is_taken() {
        let packages = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-48-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-rt-amd64",
            "linux-image-6.1.0-50-amd64-unsigned",
            "linux-image-6.1.0-51-amd64.part",
            "linux-image-6.1-amd64",
            "linux-image-6.12.0-60-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(
            newest("6.1", &packages).as_deref(),
            Some("linux-image-6.1.0-48-amd64")
        );
        assert_eq!(newest("6.1", &packages[2..]), None);
    }
}
