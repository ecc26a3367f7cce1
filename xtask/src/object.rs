//! The nested cargo that builds an eBPF package, or checks it.
//!
//! The build scripts of netmap-user and bench include this file by path, so it uses nothing but std.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::toolchain::{Origin, Toolchain};

/// What of cargo's own variables a nested cargo may see: where its files are, the network, the looks, and the
/// jobserver. All else describes the outer build or the host target, and misleads a build for another one.
const KEPT: [&str; 6] = [
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_TERM_",
    "CARGO_MAKEFLAGS",
];

/// `cargo SUBCOMMAND` of the eBPF package `package`, for `build` or `clippy`; the caller may add arguments.
///
/// `workspace` is the folder of the root manifest, `target_dir` as [`target_dir`] gives it, and `arch` is the machine
/// whose kernel runs the programs, as `CARGO_CFG_TARGET_ARCH` names it: aya reads registers by it.
pub(crate) fn cargo(
    toolchain: &Toolchain,
    subcommand: &str,
    package: &str,
    workspace: &Path,
    target_dir: &Path,
    arch: &str,
) -> Command {
    let stable = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = match (toolchain.rustc.origin, subcommand) {
        (Origin::Nightly, _) => Command::new("rustup"),
        // rustup's clippy cannot drive Debian's compiler.
        (Origin::Debian, "clippy") => Command::new("/usr/bin/cargo-clippy"),
        (Origin::Debian, _) => Command::new(&stable),
    };
    forget_the_outer_build(&mut command);
    match toolchain.rustc.origin {
        Origin::Nightly => {
            command
                .env_remove("RUSTC_BOOTSTRAP")
                .args(["run", "nightly", "cargo"]);
        }
        Origin::Debian => {
            command
                .env("CARGO", stable)
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1");
            // Cargo points this at the libraries of the outer build's compiler.
            command.env_remove("LD_LIBRARY_PATH");
        }
    }

    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        format!("-Clinker={}", toolchain.linker.path.display()),
        // Without both there is no BTF, and without BTF no map.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ];
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // bpf-linker does the link-time optimisation; rustc's own would run before it and to no end.
    command.env("CARGO_PROFILE_RELEASE_LTO", "false");
    command.args([subcommand, "--release", "--package", package]);
    command
        .args([
            "--target",
            "bpfel-unknown-none",
            "-Zbuild-std=core",
            "--target-dir",
        ])
        .arg(target_dir);
    command.current_dir(workspace);
    command
}

/// The folder in which the eBPF crate is built, given a file or folder inside the outer build's target folder.
///
/// It stands apart from the outer build's, whose lock the outer cargo holds, and is one for all profiles, as the
/// programs are the same in each.
pub(crate) fn target_dir(inside: &Path) -> PathBuf {
    let outer = inside
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    outer.unwrap_or(inside).join("ebpf")
}

fn forget_the_outer_build(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if misleads(&name) {
            command.env_remove(name);
        }
    }
    // Empty, not removed: this also overrides a wrapper from the user's configuration file.
    command.env("RUSTC_WRAPPER", "");
}

fn misleads(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    match name {
        // The last is set by clippy on the outer build.
        "RUSTC" | "RUSTDOC" | "RUSTFLAGS" | "RUSTC_LINKER" | "RUSTC_WORKSPACE_WRAPPER" => true,
        _ => name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::{Linker, Rustc};

    fn toolchain(origin: Origin) -> Toolchain {
        Toolchain {
            rustc: Rustc {
                origin,
                release: "1.97.0".into(),
                llvm: 22,
            },
            linker: Linker {
                path: "/opt/bpf-linker".into(),
                llvm: Some(22),
            },
        }
    }

    fn environment(command: &Command, name: &str) -> Option<String> {
        let (_, value) = command.get_envs().find(|(key, _)| *key == name)?;
        value.map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn variables_of_the_outer_build_are_forgotten_and_those_of_the_user_kept() {
        for name in [
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_PKG_NAME",
        ] {
            assert!(misleads(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_MAKEFLAGS",
            "PATH",
            "RUSTUP_HOME",
        ] {
            assert!(!misleads(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn debians_compiler_is_run_by_the_cargo_at_hand_with_unstable_flags_allowed() {
        let command = cargo(
            &toolchain(Origin::Debian),
            "build",
            "netmap-ebpf",
            Path::new("/w"),
            Path::new("/t/ebpf"),
            "x86_64",
        );
        assert_eq!(environment(&command, "RUSTC").as_deref(), Some("/usr/bin/rustc"));
        assert_eq!(environment(&command, "RUSTC_BOOTSTRAP").as_deref(), Some("1"));
        let flags = environment(&command, "CARGO_ENCODED_RUSTFLAGS").unwrap();
        assert!(
            flags.contains("--cfg=bpf_target_arch=\"x86_64\"\x1f-Clinker=/opt/bpf-linker\x1f"),
            "{flags}"
        );
    }

    #[test]
    fn nightly_is_run_through_rustup_without_the_stable_compilers_switches() {
        let command = cargo(
            &toolchain(Origin::Nightly),
            "clippy",
            "netmap-ebpf",
            Path::new("/w"),
            Path::new("/t/ebpf"),
            "x86_64",
        );
        assert_eq!(command.get_program(), "rustup");
        let arguments: Vec<_> = command.get_args().take(4).collect();
        assert_eq!(arguments, ["run", "nightly", "cargo", "clippy"]);
        assert_eq!(environment(&command, "RUSTC"), None);
        assert_eq!(environment(&command, "RUSTC_BOOTSTRAP"), None);
    }
}
