//! What `netmap-docker-proxy` and netmap's daemon say to each other, over a unix socket.
//!
//! One process runs for each published port, and a host may have thousands: all of this is small and plain, so that a
//! process is little more than its stack.

pub mod frame;
pub mod note;

/// Where the daemon listens for proxies, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/netmap/docker-proxy.sock";
