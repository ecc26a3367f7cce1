//! The eBPF programs by themselves: loaded from the object with maps of their own and run packet by packet with
//! `BPF_PROG_TEST_RUN`. Nothing is attached or pinned.
//!
//! What the maps hold is described by a [`World`], the world in memory that the NAT's host build runs in: so both
//! builds can be shown the same tables. [`scenery`] has one, and the network namespace that goes with it.

mod frame;
mod layout;
pub mod scenery;
mod tables;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, ProgramArray, xdp::DevMapHash},
    programs::{Program, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult, Xdp},
};
use netmap_common::{
    maps::{Address6, Hook, IfIndex, Role, Way, name, program, tail},
    nat::testing::World,
};

pub use frame::{Frame, Packets, flag};
pub use layout::{ETHERNET, Family, set_fragment, transport};
pub use tables::{Common, Tables};

/// The mark bit that the programs are loaded with, see `netmap run --mark`.
pub const MARK: u32 = 1 << 20;

/// `TC_ACT_REDIRECT`.
pub const REDIRECT: u32 = 7;
/// `TCX_NEXT`, -1.
pub const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`.
pub const DROP: u32 = 2;

/// `XDP_DROP`.
pub const XDP_DROP: u32 = 1;
/// `XDP_PASS`.
pub const XDP_PASS: u32 = 2;
/// `XDP_REDIRECT`.
pub const XDP_REDIRECT: u32 = 4;

/// Every packet hook.
pub const HOOKS: [Hook; 5] = [
    Hook::UplinkIn,
    Hook::UplinkOut,
    Hook::PortIn,
    Hook::BridgeIn,
    Hook::UplinkXdp,
];

/// The packet programs in the kernel.
pub struct Programs {
    ebpf: Ebpf,
    /// Their maps of IPv4.
    pub tables: Tables,
    /// Their maps of IPv6.
    pub tables6: Tables<Address6>,
    /// What both have.
    pub common: Common,
}

/// What a program made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it returned: [`REDIRECT`], [`NEXT`] or [`DROP`]; for XDP [`XDP_REDIRECT`], [`XDP_PASS`] or [`XDP_DROP`].
    pub verdict: u32,
    /// The packet's mark; XDP has none and leaves it.
    pub mark: u32,
    /// The packet's bytes.
    pub frame: Vec<u8>,
}

impl Programs {
    /// Loads the object with IPv4's tables as `world` has them.
    pub fn load(world: &World) -> Result<Self> {
        Self::load_both(world, &World::default())
    }

    /// Loads the object with tables as these have them. What both families have, settings and reserved ports, is as it is
    /// in IPv4's.
    pub fn load_both(world: &World, world6: &World<Address6>) -> Result<Self> {
        let path = object()?;
        let mut loader = EbpfLoader::new();
        loader.override_global("MARK", &MARK, true);
        if world.flow_capacity != 0 {
            loader.map_max_entries(name::FLOWS, u32::try_from(world.flow_capacity)?);
        }
        if world6.flow_capacity != 0 {
            loader.map_max_entries(name::FLOWS6, u32::try_from(world6.flow_capacity)?);
        }
        let mut ebpf = loader
            .load_file(&path)
            .with_context(|| format!("cannot load {}; the tests must run as root", path.display()))?;
        for hook in HOOKS {
            let program = ebpf
                .program_mut(program_name(hook))
                .with_context(|| format!("{} has no program for {}", path.display(), hook.name()))?;
            match program {
                Program::Xdp(program) => program.load()?,
                program => <&mut SchedClassifier>::try_from(program)?.load()?,
            }
        }
        load_tails(&mut ebpf)?;
        let tables = Tables::fill(&mut ebpf, world)?;
        let tables6 = Tables::fill(&mut ebpf, world6)?;
        let common = Common::fill(&mut ebpf, world)?;
        let mut redirects: DevMapHash<_> = ebpf
            .map_mut(name::REDIRECTS)
            .context("there is no table of redirects")?
            .try_into()?;
        // As if every container took frames from XDP.
        for (index, interface) in &world.interfaces {
            if interface.role == Role::Port as u8 && interface.way == Way::Peer as u8 {
                redirects.insert(index.0, index.0, None, 0)?;
            }
        }
        Ok(Self {
            ebpf,
            tables,
            tables6,
            common,
        })
    }

    /// Shows a packet to a hook's program, as if it were at the interface `arrival` of this thread's network
    /// namespace.
    pub fn run(&self, hook: Hook, arrival: IfIndex, mark: u32, frame: &[u8]) -> Result<Outcome> {
        let mut data = vec![0; frame.len() + 64];
        let mut context = context_of(hook, arrival, mark, frame.len());
        let before = context.clone();
        let result = self.test_run(
            hook,
            TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut data),
                ctx_in: Some(&before),
                ctx_out: Some(&mut context),
                ..TestRunOptions::default()
            },
        )?;
        data.truncate(result.data_size_out as usize);
        let mark = match hook {
            Hook::UplinkXdp => mark,
            _ => u32::from_ne_bytes([context[8], context[9], context[10], context[11]]),
        };
        Ok(Outcome {
            verdict: result.return_value,
            mark,
            frame: data,
        })
    }

    /// Shows a packet to a hook's program `times` times, each time as the time before left it. The mean time of a run.
    pub fn time(&self, hook: Hook, arrival: IfIndex, frame: &[u8], times: u32) -> Result<Duration> {
        let mut data = vec![0; frame.len() + 64];
        let context = context_of(hook, arrival, 0, frame.len());
        let result = self.test_run(
            hook,
            TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut data),
                ctx_in: Some(&context),
                repeat: times,
                ..TestRunOptions::default()
            },
        )?;
        Ok(result.duration)
    }

    /// A hook's program.
    pub fn program(&self, hook: Hook) -> Result<&Program> {
        let program = self.ebpf.program(program_name(hook));
        program.context("the object has changed")
    }

    /// The parts for IPv6 at a hook.
    pub fn parts(&self, hook: Hook) -> impl Iterator<Item = (&'static str, &Program)> {
        let tc = tail::TC.into_iter().find(|(at, _)| *at == hook);
        let names = match tc {
            Some((_, parts)) => parts.to_vec(),
            None => tail::XDP.to_vec(),
        };
        names
            .into_iter()
            .filter_map(|name| Some((name, self.ebpf.program(name)?)))
    }

    fn test_run(&self, hook: Hook, options: TestRunOptions<'_>) -> Result<TestRunResult> {
        Ok(match self.program(hook)? {
            Program::Xdp(program) => program.test_run(options)?,
            program => <&SchedClassifier>::try_from(program)?.test_run(options)?,
        })
    }
}

/// Loads the parts of the data path for IPv6, and puts them where the hooks' programs jump to.
fn load_tails(ebpf: &mut Ebpf) -> Result<()> {
    let tc = tail::TC
        .into_iter()
        .flat_map(|(hook, parts)| (1..).zip(parts).map(move |(part, name)| (hook, part, name)));
    for (hook, part, name) in tc {
        let program: &mut SchedClassifier = part_of(ebpf, name)?.try_into()?;
        program.load().with_context(|| format!("{name} does not load"))?;
        let fd = program.fd()?.try_clone()?;
        tails(ebpf, name::TAILS)?.set(tail::index(hook, part), &fd, 0)?;
    }
    for (part, name) in (1..).zip(tail::XDP) {
        let program: &mut Xdp = part_of(ebpf, name)?.try_into()?;
        program.load().with_context(|| format!("{name} does not load"))?;
        let fd = program.fd()?.try_clone()?;
        tails(ebpf, name::TAILS_XDP)?.set(tail::index(Hook::UplinkXdp, part), &fd, 0)?;
    }
    Ok(())
}

fn part_of<'ebpf>(ebpf: &'ebpf mut Ebpf, name: &str) -> Result<&'ebpf mut Program> {
    ebpf.program_mut(name)
        .with_context(|| format!("the object has no program {name}"))
}

fn tails<'ebpf>(ebpf: &'ebpf mut Ebpf, name: &str) -> Result<ProgramArray<&'ebpf mut MapData>> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("there is no map {name}"))?;
    Ok(map.try_into()?)
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
        Hook::UplinkXdp => program::UPLINK_XDP,
    }
}

/// Size of `struct __sk_buff` (linux/bpf.h).
const CONTEXT: usize = 192;

/// A `struct __sk_buff` of which the kernel takes over the mark, at byte 8, and the interface, at byte 40. Or a
/// `struct xdp_md`, of which it takes over the frame's end, at byte 4, and the interface, at byte 12.
fn context_of(hook: Hook, arrival: IfIndex, mark: u32, length: usize) -> Vec<u8> {
    if hook == Hook::UplinkXdp {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        return [0, length, 0, arrival.0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
    }
    let mut context = vec![0; CONTEXT];
    context[8..12].copy_from_slice(&mark.to_ne_bytes());
    context[40..44].copy_from_slice(&arrival.0.to_ne_bytes());
    context
}
