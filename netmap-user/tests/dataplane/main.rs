//! The data plane against the running kernel: every test in a network namespace and with pins of its own. Needs root.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its helpers as well"
)]

mod adoption;
mod clsact;
mod families;
mod lab;
mod publish;
mod refusal;
mod scale;
mod tables;
mod xdp;
