//! The eBPF programs that send and count packets.

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader, programs::Program};

/// The object that the build script made, aligned as the ELF reader wants it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic.o"));

/// Loads the object with the globals that `configure` sets.
pub(crate) fn load<'a>(configure: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    configure(&mut loader);
    loader
        .load(OBJECT)
        .context("the kernel does not take the benchmarks' eBPF maps")
}

/// A program of a type that the caller knows.
pub(crate) fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    object
        .program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .with_context(|| format!("the benchmarks' object has no program {name} of the right type"))
}
