//! Fuzz targets: functions of any bytes, which fail where something does not hold that must always hold.
//!
//! `cargo xtask fuzz` runs them under libFuzzer, guided by coverage; `cargo test` replays `corpus/`, the inputs that are kept.
//!
//! - [`process`]: the NAT, whole and in parts, in both families, at every hook, with any packets and any tables;
//! - [`input`]: what users write and the kernel tells;
//! - [`corpus`]: the packets that are kept as files.

pub mod corpus;
#[cfg(feature = "input")]
pub mod input;
pub mod process;
