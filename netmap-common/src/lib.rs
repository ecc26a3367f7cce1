//! What netmap's kernel and user sides agree on.
//!
//! [`maps`] holds the keys and values of every BPF map; [`nat`] is the NAT itself. Neither names a kernel, an
//! allocator or an operating system: `nat` reaches packets through [`nat::Packet`] and the world through
//! [`nat::Env`], so the same code runs in TC, in `cargo test` and under a fuzzer.
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Tests may; in a program that the kernel is to load there is nowhere to panic to.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod maps;
#[expect(
    clippy::inline_always,
    reason = "a hook is one program: what is not inlined is a call with a stack of its own, and five arguments at most"
)]
pub mod nat;
