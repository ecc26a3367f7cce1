//! The marker by which aya accepts a type as key or value of a map.

/// A key or value of a BPF map, as aya wants it.
///
/// aya asks for its own marker trait, which a foreign type cannot get; bytemuck's is as strong.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<T>(pub T);

// SAFETY: aya's marker says that the bytes may be copied to the kernel and back; `bytemuck::Pod` says that every byte is
// initialised (no padding) and that every bit pattern is a value.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}
