//! The privileged side of netmap: loader, daemon, command line and socket proxy.
//!
//! From the ground up, a module using only what stands above it in this list:
//!
//! - [`sys`]: raw bpf(2) calls that aya lacks;
//! - [`sandbox`]: what this process has no use for, and gives up;
//! - [`maps`]: typed handles of the pinned maps;
//! - [`binding`]: what a user asks to publish;
//! - [`spec`]: how a user writes it;
//! - [`mappings`]: which bridges' containers keep their ports;
//! - [`egress`]: by which addresses they leave;
//! - [`options`]: what `netmap run` is given;
//! - [`config`]: where it says so, file and flags;
//! - [`log`]: what it tells of itself;
//! - [`host`]: links, addresses, bridge ports and neighbours, by netlink;
//! - [`dataplane`]: loads, attaches and pins the programs;
//! - [`publish`]: turns bindings into map entries;
//! - [`expiry`]: ends idle flows;
//! - [`rates`]: how much goes by in a second;
//! - [`proxy`]: sockets for what the packet hooks cannot see;
//! - [`state`]: what outlives a reboot;
//! - [`api`]: requests over the unix socket;
//! - [`docker`]: a container engine's networks, containers and published ports;
//! - [`metrics`]: what Prometheus reads;
//! - [`daemon`]: ties them together;
//! - [`install`]: Docker's settings, there and back;
//! - [`doctor`]: what of a host does not fit;
//! - [`explain`]: why a packet would go where;
//! - [`top`]: what is carried now, on a terminal;
//! - [`cli`]: the commands.

pub mod api;
pub mod binding;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod docker;
pub mod doctor;
pub mod egress;
pub mod expiry;
pub mod explain;
pub mod host;
pub mod install;
pub mod log;
pub mod mappings;
pub mod maps;
pub mod metrics;
pub mod options;
pub mod outlets;
pub mod ownership;
pub mod proxy;
pub mod publish;
pub mod rates;
pub mod sandbox;
pub mod spec;
pub mod state;
pub mod sys;
#[cfg(feature = "testing")]
pub mod testing;
pub mod top;
