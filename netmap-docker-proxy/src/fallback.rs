//! The engine's own proxy, run in this one's place when no netmap is there and the administrator wants that
//! (`NETMAP_FALLBACK` in the engine's environment: `1`, or the program's path).

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::engine::Engine;

const FALLBACK: &str = "NETMAP_FALLBACK";

/// Where engines look for it, before `$PATH`.
const FOLDERS: [&str; 4] = [
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
];

/// The wish for it.
pub(crate) struct Fallback {
    /// Where it is; to be looked for if that is not said.
    path: Option<PathBuf>,
}

impl Fallback {
    /// The wish that the command line, or else the environment, has.
    pub(crate) fn wanted(flag: Option<OsString>) -> Option<Self> {
        let wish = flag.or_else(|| env::var_os(FALLBACK))?;
        match wish.to_str() {
            Some("" | "0" | "false" | "no") => None,
            Some("1" | "true" | "yes") => Some(Self { path: None }),
            _ => Some(Self {
                path: Some(wish.into()),
            }),
        }
    }

    /// Becomes that program, with the descriptors that this one was given. Returns why not, beside why it should have.
    pub(crate) fn run(self, arguments: &[OsString], why: &str) -> String {
        let Some(path) = self.path.or_else(find) else {
            return format!("{why}; nor is there a docker-proxy to fall back to");
        };
        // The signals that this process reads like a file are the other's to die of.
        if let Err(error) = Engine::forget() {
            return format!("{why}; nor can signals be left to {}: {error}", path.display());
        }
        let error = Command::new(&path).args(arguments).exec();
        format!("{why}; nor can {} be run: {error}", path.display())
    }
}

fn find() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = FOLDERS.iter().map(PathBuf::from).chain(env::split_paths(&path));
    folders
        .map(|folder| folder.join("docker-proxy"))
        .find(|program| program.is_file() && !is_same(program, &own))
}

/// Whether both are one program, which would run itself for ever.
fn is_same(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(fs::canonicalize);
    one.ok() == other.ok()
}
