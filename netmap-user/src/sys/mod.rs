//! System calls that no crate in use offers, each behind a safe function.
//!
//! The only `unsafe` of this crate is here: batches over BPF maps and the update, detach and description of BPF links
//! (bpf(2), missing in aya 0.14), the marker that lets aya carry the map types of `netmap_common`, and the
//! monotonic clock, `SO_NETNS_COOKIE`, `SO_PEERGROUPS` and recvmmsg(2). [`qdisc`] speaks netlink for the one message that aya does not send,
//! [`xdp_of`] for what the kernel made of an XDP program, [`diag`] for the sockets that BPF programs keep something with.

mod batch;
mod bpf;
mod cgroup;
mod clock;
mod cursor;
mod inbox;
mod link;
mod netns;
mod peer;
mod raw;
mod xdp;

pub mod diag;
pub mod qdisc;

pub use batch::Batch;
pub use cgroup::cgroup2_root;
pub use clock::{monotonic_seconds, monotonic_time, thread_time};
pub use cursor::Cursor;
pub use inbox::{Datagram, Inbox};
pub use link::{Link, LinkState, LinkTarget};
pub use netns::netns_cookie;
pub use peer::peer_groups;
pub use raw::Raw;
pub use xdp::{Xdp, xdp_of};
