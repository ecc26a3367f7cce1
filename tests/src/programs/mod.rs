//! The eBPF programs by themselves: loaded from the object with maps of their own and run packet by packet with
//! `BPF_PROG_TEST_RUN`. Nothing is attached or pinned.
//!
//! What the maps hold is described by a [`World`], the world in memory that the NAT's host build runs in: so both
//! builds can be shown the same tables. [`scenery`] has one, and the network namespace that goes with it.

mod frame;
pub mod scenery;
mod tables;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use netmap_common::{
    maps::{Hook, IfIndex, name, program},
    nat::testing::World,
};

pub use frame::{Frame, flag};
pub use tables::Tables;

/// The mark bit that the programs are loaded with, see `netmap run --mark`.
pub const MARK: u32 = 1 << 20;

/// `TC_ACT_REDIRECT`.
pub const REDIRECT: u32 = 7;
/// `TCX_NEXT`, -1.
pub const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`.
pub const DROP: u32 = 2;

/// Every packet hook.
pub const HOOKS: [Hook; 4] = [Hook::UplinkIn, Hook::UplinkOut, Hook::PortIn, Hook::BridgeIn];

/// The TC programs in the kernel.
pub struct Programs {
    ebpf: Ebpf,
    /// Their maps.
    pub tables: Tables,
}

/// What a program made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it returned: [`REDIRECT`], [`NEXT`] or [`DROP`].
    pub verdict: u32,
    /// The packet's mark.
    pub mark: u32,
    /// The packet's bytes.
    pub frame: Vec<u8>,
}

impl Programs {
    /// Loads the object with tables as `world` has them.
    pub fn load(world: &World) -> Result<Self> {
        let path = object()?;
        let mut loader = EbpfLoader::new();
        loader.override_global("MARK", &MARK, true);
        if world.flow_capacity != 0 {
            loader.map_max_entries(name::FLOWS, u32::try_from(world.flow_capacity)?);
        }
        let mut ebpf = loader
            .load_file(&path)
            .with_context(|| format!("cannot load {}; the tests must run as root", path.display()))?;
        for hook in HOOKS {
            let program: &mut SchedClassifier = ebpf
                .program_mut(program_name(hook))
                .with_context(|| format!("{} has no program for {}", path.display(), hook.name()))?
                .try_into()?;
            program.load()?;
        }
        let tables = Tables::fill(&mut ebpf, world)?;
        Ok(Self { ebpf, tables })
    }

    /// Shows a packet to a hook's program, as if it were at the interface `arrival` of this thread's network
    /// namespace.
    pub fn run(&self, hook: Hook, arrival: IfIndex, mark: u32, frame: &[u8]) -> Result<Outcome> {
        let mut data = vec![0; frame.len() + 64];
        let mut context = [0; CONTEXT];
        let result = self.program(hook)?.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut data),
            ctx_in: Some(&context_of(arrival, mark)),
            ctx_out: Some(&mut context),
            ..TestRunOptions::default()
        })?;
        data.truncate(result.data_size_out as usize);
        Ok(Outcome {
            verdict: result.return_value,
            mark: u32::from_ne_bytes([context[8], context[9], context[10], context[11]]),
            frame: data,
        })
    }

    /// Shows a packet to a hook's program `times` times, each time as the time before left it. The mean time of a run.
    pub fn time(&self, hook: Hook, arrival: IfIndex, frame: &[u8], times: u32) -> Result<Duration> {
        let mut data = vec![0; frame.len() + 64];
        let result = self.program(hook)?.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut data),
            ctx_in: Some(&context_of(arrival, 0)),
            repeat: times,
            ..TestRunOptions::default()
        })?;
        Ok(result.duration)
    }

    /// A hook's program.
    pub fn program(&self, hook: Hook) -> Result<&SchedClassifier> {
        let program = self.ebpf.program(program_name(hook));
        Ok(program.context("the object has changed")?.try_into()?)
    }
}

/// The object: `NETMAP_OBJECT`, or what the last build of netmap-user left in cargo's target folder.
pub fn object() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NETMAP_OBJECT") {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "NETMAP_OBJECT names {}, which is not there",
            path.display()
        );
        return Ok(path);
    }
    let this = std::env::current_exe()?;
    this.ancestors()
        .map(|folder| folder.join("ebpf/bpfel-unknown-none/release/netmap"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            anyhow!(
                "there is no eBPF object to test: run `cargo xtask test`, which builds it, or set NETMAP_OBJECT to one"
            )
        })
}

/// The name of a hook's program in the object.
pub const fn program_name(hook: Hook) -> &'static str {
    match hook {
        Hook::UplinkIn => program::UPLINK_IN,
        Hook::UplinkOut => program::UPLINK_OUT,
        Hook::PortIn => program::PORT_IN,
        Hook::BridgeIn => program::BRIDGE_IN,
        Hook::Socket => program::STEER,
    }
}

/// Size of `struct __sk_buff` (linux/bpf.h).
const CONTEXT: usize = 192;

/// A `struct __sk_buff` of which the kernel takes over the mark, at byte 8, and the interface, at byte 40.
fn context_of(arrival: IfIndex, mark: u32) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    context[8..12].copy_from_slice(&mark.to_ne_bytes());
    context[40..44].copy_from_slice(&arrival.0.to_ne_bytes());
    context
}
