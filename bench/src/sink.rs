//! The receiver of the generator's packets: counts and drops them where they enter its namespace.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::PerCpuArray,
    programs::{SchedClassifier, TcAttachType},
};
use netmap_tests::Namespace;

use crate::{
    programs,
    traffic::{PAYLOAD, Packets},
};

/// What a sink takes for right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// The address and port that packets must be sent to.
    pub(crate) to: SocketAddrV4,
    /// The sender that they must name, if it matters.
    pub(crate) from: Option<Ipv4Addr>,
    /// Whether packets carry checksums, as all do that are forwarded.
    pub(crate) checksummed: bool,
    /// What the generator sends.
    pub(crate) kind: Packets,
    /// Check every packet to the last byte, not only one in 64.
    pub(crate) thorough: bool,
}

/// A sink on a namespace's `eth0`. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    object: Ebpf,
}

/// Packets of the generator's so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// As expected.
    pub(crate) right: u64,
    /// With a wrong address, port or length.
    pub(crate) misled: u64,
    /// With a wrong payload or checksum.
    pub(crate) corrupt: u64,
}

impl Sink {
    /// Takes the generator's packets that come to `namespace` from now on.
    pub(crate) fn attach(namespace: &Namespace, expected: Expected) -> Result<Self> {
        let address = expected.to.ip().to_bits();
        let port = u32::from(expected.to.port());
        let from = expected.from.map_or(0, Ipv4Addr::to_bits);
        let spared: u64 = if expected.thorough { 0 } else { 63 };
        let syns = u32::from(expected.kind == Packets::Syns);
        let checksummed = u32::from(expected.checksummed);
        let mut object = programs::load(|loader| {
            loader
                .override_global("PAYLOAD", &PAYLOAD, true)
                .override_global("SYNS", &syns, true)
                .override_global("TO_ADDRESS", &address, true)
                .override_global("TO_PORT", &port, true)
                .override_global("FROM_ADDRESS", &from, true)
                .override_global("SPARED", &spared, true)
                .override_global("CHECKSUMMED", &checksummed, true);
        })?;
        let program: &mut SchedClassifier = programs::program(&mut object, "sink")?;
        program.load().context("the kernel does not take the sink")?;
        namespace
            .run(|| {
                // Linux 6.6 attaches without it.
                let _there = aya::programs::tc::qdisc_add_clsact("eth0");
                program.attach("eth0", TcAttachType::Ingress)
            })?
            .with_context(|| format!("cannot attach the sink in {}", namespace.name()))?;
        Ok(Self { object })
    }

    /// What has come so far.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let map = self.object.map("COUNTS").context("the sink has no counters")?;
        let counts: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
        let sum = |index| anyhow::Ok(counts.get(&index, 0)?.iter().sum());
        Ok(Counts {
            right: sum(0)?,
            misled: sum(1)?,
            corrupt: sum(2)?,
        })
    }

    /// Fails if a packet came that was not as it should be.
    pub(crate) fn ensure_intact(&self) -> Result<()> {
        let Counts { misled, corrupt, .. } = self.counts()?;
        ensure!(
            misled == 0,
            "{misled} packets arrived with a wrong address, port or length"
        );
        ensure!(
            corrupt == 0,
            "{corrupt} packets arrived with a wrong payload or checksum"
        );
        Ok(())
    }
}
