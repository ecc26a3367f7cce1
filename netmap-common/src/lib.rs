//! What netmap's kernel and user sides agree on.
//!
//! [`maps`] holds the keys and values of every BPF map; [`nat`] is the NAT itself. Neither names a kernel, an
//! allocator or an operating system: `nat` reaches packets through [`nat::Packet`] and the world through
//! [`nat::Env`], so the same code runs in TC, in `cargo test` and under a fuzzer.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod maps;
pub mod nat;
