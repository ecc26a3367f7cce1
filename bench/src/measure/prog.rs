//! One run of netmap's program on its uplink, by `BPF_PROG_TEST_RUN`.
//!
//! A repeated run finds its packet as the run before has left it, so a program of ours writes the packet anew and hands
//! over to netmap's. What writing takes is measured by itself and subtracted.

use std::{
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::ProgramArray,
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use netmap_tests::{
    Namespace,
    topology::{C1, HOST},
};
use nix::net::if_::if_nametoindex;

use super::Run;
use crate::{
    backend::{Backend, Stage},
    effort::Effort,
    figures::Metric,
    generator,
    line::{ANSWERED, Direction, Line},
    ports::Ports,
    programs,
    traffic::{Sources, Traffic},
};

/// What the program returns: `TC_ACT_REDIRECT`, `TCX_NEXT` and `TC_ACT_SHOT`.
const REDIRECTED: u32 = 7;
const LEFT: u32 = u32::MAX;
const DROPPED: u32 = 2;
/// What is returned when there is no program to hand over to.
const NOBODY: u32 = 77;

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let stage = Stage::with(Backend::Netmap, Ports::FEW, &["--flow-entries", "4194304"])?;
    let netmap = stage.netmap().context("netmap does not run")?;
    let host = &stage.lab.host;
    let program = find(netmap.pins(), "uplink_in").context("netmap has pinned no program for its uplink")?;
    let line = Line::new(&stage, Direction::In, 1, run.effort)?;
    let established = line.traffic(line.flows(ANSWERED, 1), None);
    let to = |to, from| Traffic {
        to,
        from,
        ..established.clone()
    };
    let cases = [
        ("established", established.clone(), REDIRECTED),
        ("new flow", to(established.to, Sources::always_new()), REDIRECTED),
        (
            "not published",
            to(SocketAddrV4::new(HOST, 9), established.from),
            LEFT,
        ),
        (
            "dropped",
            to(SocketAddrV4::new(C1, 80), established.from),
            DROPPED,
        ),
    ];
    for (column, traffic, verdict) in cases {
        let alone = time(host, &traffic, None, NOBODY, run.effort)?;
        let both = time(host, &traffic, Some(&program), verdict, run.effort)
            .with_context(|| format!("netmap's program on a packet that is {column}"))?;
        run.add(
            "netmap's program on the uplink",
            Metric::NsPerRun,
            column,
            both - alone,
        );
    }
    Ok(())
}

/// Nanoseconds of a run that ends with `verdict`.
fn time(
    host: &Namespace,
    traffic: &Traffic,
    target: Option<&Path>,
    verdict: u32,
    effort: Effort,
) -> Result<f64> {
    let template = traffic.template();
    let mut object = generator::load(traffic, &template, 0)?;
    let _targets = target.map(|target| hand_over(&mut object, target)).transpose()?;
    let program: &mut SchedClassifier = programs::program(&mut object, "replay")?;
    program.load()?;
    let repeat = match effort {
        Effort::Full => 1_000_000,
        Effort::Quick => 100_000,
        Effort::Smoke => 1000,
    };
    let result = host.run(|| -> Result<_> {
        // Of the context only the interface is given; it stands behind ten other fields of `struct __sk_buff`.
        let mut context = [0_u8; 44];
        let (_, interface) = context.split_at_mut(40);
        interface.copy_from_slice(&if_nametoindex("up0")?.to_ne_bytes());
        Ok(program.test_run(TestRunOptions {
            data_in: template.frame.get(..60),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        })?)
    })??;
    ensure!(
        result.return_value == verdict,
        "the program returned {} in place of {verdict}",
        result.return_value
    );
    // The kernel gives the mean of all runs.
    Ok(result.duration.as_secs_f64() * 1e9)
}

/// Lets `replay` hand over to a pinned program, as long as what is returned lives.
fn hand_over(
    object: &mut Ebpf,
    target: &Path,
) -> Result<(SchedClassifier, ProgramArray<aya::maps::MapData>)> {
    let map = object.take_map("TARGET").context("the replay has no target")?;
    let mut targets = ProgramArray::try_from(map)?;
    let program = SchedClassifier::from_pin(target)?;
    targets
        .set(0, program.fd()?, 0)
        .context("the replay cannot hand over to netmap's program")?;
    Ok((program, targets))
}

/// A pin by its name, in a folder or below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return find(&path, name);
        }
        (entry.file_name() == name && SchedClassifier::from_pin(&path).is_ok()).then_some(path)
    })
}
