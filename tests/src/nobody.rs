//! A daemon that is nobody, with a few capabilities, as `dist/netmap.service` runs it.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::ground;

/// Debian's user without rights, and its group.
pub const NOBODY: u32 = 65_534;

/// Has a mount namespace where /sys/fs/bpf holds nothing but the daemon's own pins, whoever may look into it outside: as the
/// unit's `BindPaths=` lets it pass by what is root's.
const ENTER: &str = r#"
    set -e
    pins=$1 aside=$2
    shift 2
    mount --bind "$pins" "$aside"
    mount -t tmpfs -o mode=0755 tmpfs "${pins%/*}"
    mkdir "$pins"
    mount --move "$aside" "$pins"
    exec setpriv "$@"
"#;

/// What a daemon needs that nobody runs. Gone when dropped.
#[derive(Debug)]
pub struct Nobody {
    folder: PathBuf,
    pins: PathBuf,
    capabilities: &'static str,
}

impl Nobody {
    /// Makes the folder of its pins, as root does once, and puts the binary where everybody may run it.
    pub(crate) fn prepare(
        name: &str,
        binary: &Path,
        pins: &Path,
        capabilities: &'static str,
    ) -> Result<Self> {
        let nobody = Self {
            folder: std::env::temp_dir().join(format!("netmap-{name}-nobody")),
            pins: pins.to_owned(),
            capabilities,
        };
        fs::create_dir_all(nobody.aside())?;
        fs::copy(binary, nobody.binary())?;
        for path in [nobody.folder.clone(), nobody.binary()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(pins)
            .with_context(|| format!("cannot make {} in {}", pins.display(), ground::BPFFS))?;
        chown(pins, Some(NOBODY), Some(NOBODY))?;
        Ok(nobody)
    }

    /// `netmap run`, not yet started. `host` makes a command of the host.
    pub(crate) fn start(&self, host: impl FnOnce(&str) -> Command) -> Command {
        let mut command = host("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh"]);
        command.arg(&self.pins).arg(self.aside());
        command.args([
            format!("--reuid={NOBODY}"),
            format!("--regid={NOBODY}"),
            "--clear-groups".to_owned(),
            format!("--inh-caps=-all,{}", self.capabilities),
            format!("--ambient-caps=-all,{}", self.capabilities),
            format!("--bounding-set=-all,{}", self.capabilities),
        ]);
        command.arg(self.binary()).arg("run");
        command
    }

    fn binary(&self) -> PathBuf {
        self.folder.join("netmap")
    }

    fn aside(&self) -> PathBuf {
        self.folder.join("pins")
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and nothing of it is in anybody's way.
        let _removed = fs::remove_dir_all(&self.folder);
    }
}
