//! The NAT, one packet at a time: what goes into a hook, what is decided, what comes out.
//!
//! Every file here holds for both families and is compiled once for each: [`ipv4`] and [`ipv6`] say what a packet and an
//! address are, and have the tests of their own. `scene` is the host that they run on, `sample` the packets, `check` the only
//! way from one to the other. Packets are built and read by etherparse, which knows nothing of this crate: a byte that
//! differs, a checksum too, is a failure.

mod ipv4;
mod ipv6;
