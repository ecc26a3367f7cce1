//! The daemon's API: HTTP and JSON over a unix socket.

pub mod types;
