//! A container engine that speaks Docker's API: which bridges are its networks, what its containers publish, and what they
//! are called.
//!
//! What it publishes comes by two ways: from a `netmap-docker-proxy` a port (`door`), which knows first, and from what its
//! API lists; `claim` decides between the two. [`Engine`] follows the API from a task of its own and gives out a whole
//! [`Picture`] whenever that has changed; whoever takes it applies the difference. `client` speaks HTTP over the engine's
//! unix socket, `events` hears what happens, `types` are the engine's answers, and `model` makes a picture of them, without
//! a socket.

mod claim;
mod client;
mod door;
mod events;
mod follow;
mod model;
mod network;
mod types;

pub use claim::{Claim, Claimant, Claims, Closed, Decision, ShimId};
pub use client::EngineError;
pub use door::{Door, Request as ShimRequest, binding as binding_of};
pub use follow::Engine;
pub use model::{ModelError, Name, Picture};
pub use network::{Bridge, Gateway, GatewayMode};
