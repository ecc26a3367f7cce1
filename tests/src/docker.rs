//! A real Docker in the laboratory: Debian's dockerd with containerd and runc, taken out of their packages, in the network
//! namespace of the lab's host. Everything of it stands in a folder, a mount namespace and control groups of its own.
//!
//! - [`tools`]: where its programs are;
//! - [`image`]: what its containers hold;
//! - [`engine`]: dockerd itself: started, stopped, killed;
//! - [`container`]: containers, and the clients in them;
//! - [`stage`]: a lab with an engine, in its own way or in netmap's, ready for containers;
//! - [`matrix`]: the rows of [`crate::rows`] by containers of this engine, both ways;
//! - [`rules`]: what the host's netfilter holds.

pub mod container;
pub mod engine;
pub mod image;
pub mod matrix;
pub mod rules;
pub mod stage;
pub mod tools;

pub use container::Container;
pub use engine::Engine;
pub use stage::{Stage, Way};
