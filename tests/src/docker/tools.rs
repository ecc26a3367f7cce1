//! Where the engine's programs are: unpacked, never installed, for an installed Docker would change the machine's network.

use std::{env, ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

/// The folder that `cargo xtask` unpacks Debian's packages into.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// The folder that `NETMAP_DOCKER_TOOLS` names, or what `cargo xtask test` has unpacked beside the tests.
    pub fn find() -> Result<Self> {
        let this = env::current_exe()?;
        let folder = env::var_os("NETMAP_DOCKER_TOOLS")
            .map(PathBuf::from)
            .into_iter()
            .chain(this.ancestors().map(|folder| folder.join("docker-engine")))
            .find(|folder| folder.is_dir())
            .context("there is no Docker to test with: `cargo xtask setup` unpacks one")?;
        let tools = Self { folder };
        for program in [
            "dockerd",
            "containerd",
            "runc",
            "docker",
            "docker-proxy",
            "busybox",
        ] {
            tools.program(program)?;
        }
        Ok(tools)
    }

    /// A program's path.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        ensure!(
            path.is_file(),
            "{} lacks {name}: `cargo xtask setup` unpacks it",
            self.folder.display()
        );
        Ok(path)
    }

    /// Lets `command` find the programs and their libraries.
    pub fn equip(&self, command: &mut Command) -> Result<()> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.folder.clone()]
            .into_iter()
            .chain(env::split_paths(&path))
            .chain(["/usr/sbin".into(), "/sbin".into()]);
        let libraries: OsString = self.folder.join("lib").into();
        command
            .env("PATH", env::join_paths(folders)?)
            .env("LD_LIBRARY_PATH", libraries);
        Ok(())
    }
}
