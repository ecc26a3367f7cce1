//! Kernels that lack something that netmap cannot do without: it says in a sentence what that is and which kernel has it,
//! and leaves nothing behind.
//!
//! For virtual machines alone: they take modules from the kernel that they run on, or want one that is too old.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{Lab, Netmap, command, wait_for};

#[test]
#[ignore = "needs a kernel that is too old: cargo xtask vm --kernel 5.10"]
fn a_kernel_that_is_too_old_is_told_what_it_lacks() -> Result<()> {
    let lab = Lab::new()?;
    let mut netmap = prepare(&lab)?;
    ensure_lacks(&mut netmap, "the BPF helper bpf_loop, which Linux 5.17 has")?;
    let said = netmap.cli(&["doctor"])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(
        said.contains("lacks the BPF helper bpf_loop, which Linux 5.17 has"),
        "{said}"
    );
    Ok(())
}

#[test]
#[ignore = "takes modules from the kernel: cargo xtask vm"]
fn a_kernel_with_neither_tcx_nor_clsact_is_told_so() -> Result<()> {
    let lab = Lab::new()?;
    let mut netmap = prepare(&lab)?;
    {
        let _withheld = Modules::withhold(&["cls_bpf", "sch_ingress"])?;
        ensure_lacks(
            &mut netmap,
            "the queueing discipline clsact (CONFIG_NET_SCH_INGRESS) and, in its place, tcx, which Linux 6.6 has",
        )?;
    }
    command::line("modprobe sch_ingress")?;
    {
        let _withheld = Modules::withhold(&["cls_bpf"])?;
        ensure_lacks(
            &mut netmap,
            "filters by BPF programs (CONFIG_NET_CLS_BPF) and, in their place, tcx, which Linux 6.6 has",
        )?;
    }
    // Once they are to be had, it runs.
    netmap.run()
}

/// A netmap that was not started yet.
fn prepare(lab: &Lab) -> Result<Netmap> {
    let mut netmap = Netmap::prepare(lab)?;
    netmap.set_arguments(&["--uplink", "up0", "--bridge", "br1"]);
    // What it says is looked at here.
    netmap.shows_log = false;
    Ok(netmap)
}

/// It does not start, says that the kernel lacks `feature` and no word more, and leaves no pin.
fn ensure_lacks(netmap: &mut Netmap, feature: &str) -> Result<()> {
    let before = netmap.log();
    ensure!(netmap.run().is_err(), "it runs without {feature}");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let sentence = format!(
        "netmap: this kernel ({}) lacks {feature}; netmap is tested from Linux 6.1 on\n",
        release.trim()
    );
    let said = wait_for("its sentence is read", || {
        let log = netmap.log();
        let said = log.strip_prefix(&before).context("its log is another")?;
        Ok(said.ends_with('\n').then(|| said.to_owned()))
    })?;
    ensure!(said == sentence, "it says {said:?} instead of {sentence:?}");
    ensure!(!netmap.pins().exists(), "what was refused left pins");
    Ok(())
}

/// Modules that the kernel does not get until this is dropped.
struct Modules;

impl Modules {
    const LOADER: &str = "/proc/sys/kernel/modprobe";

    fn withhold(names: &[&str]) -> Result<Self> {
        for name in names {
            command::line(&format!("modprobe --remove {name}"))?;
        }
        fs::write(Self::LOADER, "/bin/false")?;
        Ok(Self)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        // The machine ends with the test anyway.
        let _restored = fs::write(Self::LOADER, "/sbin/modprobe");
    }
}
