//! Builds the benchmarks' eBPF programs and lays the object where the binary embeds it from: `OUT_DIR/traffic.o`.

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
    let built = embed::build(&out, "netmap-bench-ebpf", "traffic", &["bench-ebpf"])?;
    fs::copy(built, out.join("traffic.o"))?;
    Ok(())
}
