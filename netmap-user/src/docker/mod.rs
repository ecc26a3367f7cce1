//! What a Docker engine has published: by a `netmap-docker-proxy` a port, and by what its API lists.

mod claim;
mod door;

pub use claim::{Claim, Claimant, Claims, Closed, Decision, ShimId};
pub use door::{Door, Request as ShimRequest, binding as binding_of};
