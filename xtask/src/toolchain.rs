//! Finds what can build the eBPF programs: a compiler that knows `bpfel-unknown-none` and has the source of `core`,
//! and a `bpf-linker` whose LLVM reads what that compiler writes.
//!
//! netmap-user's build script includes this file by path, so it uses nothing but std.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The least compiler that the workspace accepts, as `rust-version` in the root manifest says.
const LEAST_RELEASE: (u32, u32) = (1, 88);

/// Where a compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// rustup's `nightly` with the component rust-src.
    Nightly,
    /// Debian's rustc-web with rust-web-src.
    Debian,
}

/// A compiler that can build `core` for the eBPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    pub(crate) origin: Origin,
    /// As `rustc -vV` names it, such as `1.96.0`.
    pub(crate) release: String,
    /// Major version of the compiler's LLVM.
    pub(crate) llvm: u32,
}

/// A `bpf-linker` that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    /// Major version of the LLVM that it loads; `None` where that is linked in and so cannot be seen.
    pub(crate) llvm: Option<u32>,
}

/// A compiler and a linker that fit each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) rustc: Rustc,
    pub(crate) linker: Linker,
}

/// Why the eBPF programs cannot be built here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Compiler,
    Linker,
    /// There are linkers, but each has an older LLVM than the compiler.
    LinkerOf(u32),
}

/// Looks around this machine.
pub(crate) fn find() -> Result<Toolchain, Missing> {
    choose(&compilers(), &linkers())
}

/// Usable compilers, the preferred one first.
pub(crate) fn compilers() -> Vec<Rustc> {
    [
        (Origin::Nightly, &["rustup", "run", "nightly", "rustc"][..]),
        (Origin::Debian, &["/usr/bin/rustc"]),
    ]
    .into_iter()
    .filter_map(|(origin, command)| {
        let sysroot = PathBuf::from(output_of(command, &["--print", "sysroot"])?.trim_end());
        let rustc = usable(origin, &output_of(command, &["-vV"])?)?;
        has_core(&sysroot, &rustc.release).then_some(rustc)
    })
    .collect()
}

impl Missing {
    /// What is missing, without the remedy.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Compiler => {
                "no compiler for the eBPF programs was found, neither a rustup nightly with rust-src nor \
                 Debian's rustc-web with rust-web-src of the same version"
                    .into()
            }
            Self::Linker => "bpf-linker is neither in PATH nor in cargo's bin folder".into(),
            Self::LinkerOf(llvm) => {
                format!("no bpf-linker here reads what the compiler's LLVM {llvm} writes")
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: run `cargo xtask setup`", self.sentence())
    }
}

impl std::error::Error for Missing {}

impl fmt::Display for Toolchain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.rustc.origin {
            Origin::Nightly => "rustup's nightly",
            Origin::Debian => "Debian's rustc-web",
        };
        let Rustc { release, llvm, .. } = &self.rustc;
        write!(
            out,
            "{whose} {release} with LLVM {llvm} and {}",
            self.linker.path.display()
        )
    }
}

/// The first compiler for which a linker is there.
fn choose(compilers: &[Rustc], linkers: &[Linker]) -> Result<Toolchain, Missing> {
    for rustc in compilers {
        // LLVM reads bitcode of its own and of older versions.
        if let Some(linker) = linkers
            .iter()
            .find(|linker| linker.llvm.is_none_or(|llvm| llvm >= rustc.llvm))
        {
            return Ok(Toolchain {
                rustc: rustc.clone(),
                linker: linker.clone(),
            });
        }
    }
    match compilers.last() {
        None => Err(Missing::Compiler),
        Some(_) if linkers.is_empty() => Err(Missing::Linker),
        Some(rustc) => Err(Missing::LinkerOf(rustc.llvm)),
    }
}

/// Reads `rustc -vV`; nothing if it tells of a compiler that will not do.
fn usable(origin: Origin, verbose: &str) -> Option<Rustc> {
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name));
    let release = field("release: ")?.trim();
    let llvm = field("LLVM version: ")?.split('.').next()?.trim().parse().ok()?;
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    if (numbers.next()?, numbers.next()?) < LEAST_RELEASE {
        return None;
    }
    if origin == Origin::Nightly && !release.ends_with("-nightly") {
        return None;
    }
    Some(Rustc {
        origin,
        release: release.into(),
        llvm,
    })
}

/// Whether the source of `core` is there, and of the compiler's release where it names one: Debian's does, as its
/// package may be older than the compiler's; rustup keeps both alike and names none.
fn has_core(sysroot: &Path, release: &str) -> bool {
    let source = sysroot.join("lib/rustlib/src/rust");
    source.join("library/core/src/lib.rs").is_file()
        && fs::read_to_string(source.join("src/version")).map_or(true, |version| version.trim() == release)
}

/// Every `bpf-linker` that starts, in the order in which a shell would look, cargo's own folder last.
fn linkers() -> Vec<Linker> {
    let mut folders: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    folders.extend(
        env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or(home)
            .map(|home| home.join("bin")),
    );

    let mut found: Vec<Linker> = Vec::new();
    for path in folders.into_iter().map(|folder| folder.join("bpf-linker")) {
        if !path.is_file() || found.iter().any(|linker| linker.path == path) {
            continue;
        }
        let libraries = output_of(&["ldd"], &[&path.to_string_lossy()]).unwrap_or_default();
        if !libraries.contains("not found") {
            found.push(Linker {
                llvm: llvm_library(&libraries),
                path,
            });
        }
    }
    found
}

/// The major version of libLLVM in what `ldd` prints.
fn llvm_library(libraries: &str) -> Option<u32> {
    libraries.lines().find_map(|line| {
        let name = line.trim().strip_prefix("libLLVM")?;
        let version = name.strip_prefix(".so.").or_else(|| name.strip_prefix('-'))?;
        version
            .split(|char: char| !char.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    })
}

fn output_of(command: &[&str], arguments: &[&str]) -> Option<String> {
    let (program, first) = command.split_first()?;
    let mut command = Command::new(program);
    // A look around must not make rustup fetch a toolchain.
    command
        .env("RUSTUP_AUTO_INSTALL", "0")
        .args(first)
        .args(arguments);
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
// Named, as a file that is included by path looks for its modules beside itself.
#[path = "toolchain/tests.rs"]
mod tests;
