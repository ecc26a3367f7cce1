//! The compiled programs, part of this binary.

/// The eBPF object.
pub(super) fn object() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netmap.o"))
}
