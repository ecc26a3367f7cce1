//! Builds the eBPF programs and lays the object where the loader embeds it from: `OUT_DIR/netmap.o`.
//!
//! `NETMAP_EBPF_OBJECT` in the environment names an object that is taken as it is instead. The code compiled here
//! finds the path of the object that it got in `env!("NETMAP_EBPF_OBJECT")`.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

#[path = "../xtask/src/embed.rs"]
mod embed;
#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let embedded = out.join("netmap.o");
    println!("cargo::rerun-if-env-changed=NETMAP_EBPF_OBJECT");
    let built = match env::var_os("NETMAP_EBPF_OBJECT").map(PathBuf::from) {
        Some(given) => {
            embed::rerun_if_changed(&given);
            given
        }
        None => embed::build(&out, "netmap-ebpf", "netmap", &["netmap-ebpf", "netmap-common"])?,
    };
    println!("cargo::rustc-env=NETMAP_EBPF_OBJECT={}", embedded.display());

    let bytes =
        fs::read(&built).map_err(|error| format!("cannot read the object {}: {error}", built.display()))?;
    fs::write(&embedded, bytes)?;
    Ok(())
}
