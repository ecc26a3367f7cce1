//! The unit that systemd starts netmap by is as closed as it can be, and says so to systemd's own examiner.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

/// Of 10; what is left is the network, its namespace and what BPF takes.
const MOST: &str = "1.8";

fn unit() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/netmap.service"))
}

#[test]
fn systemd_finds_it_hardened() -> Result<()> {
    let threshold = MOST.replace('.', "");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(format!("--threshold={threshold}"))
        .arg(unit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.contains("exposure level for netmap.service"),
        "{said}{words}"
    );
    ensure!(
        output.status.success(),
        "it is more exposed than {MOST}: {said}{words}"
    );
    Ok(())
}

#[test]
fn systemd_understands_every_line() -> Result<()> {
    // The binary is where this machine has none.
    let text = std::fs::read_to_string(unit())?.replace("/usr/local/bin/netmap", "/bin/true");
    let folder = std::env::temp_dir().join(format!("netmap-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("netmap.service");
    std::fs::write(&copy, text)?;
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&copy)
        .output();
    std::fs::remove_dir_all(folder)?;
    let output = output?;
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("netmap.service"))
        .collect();
    ensure!(output.status.success() && ours.is_empty(), "{said}");
    Ok(())
}
