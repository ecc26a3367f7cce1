//! What a Docker engine has published: by a `netmap-docker-proxy` a port, and by what its API lists.

mod claim;

pub use claim::{Claim, Claimant, Claims, Closed, Decision, ShimId};
