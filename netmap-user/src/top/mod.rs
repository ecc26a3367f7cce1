//! `netmap top`: what is carried now, by port, by container and by flow, what is dropped, and how full the tables are.
//!
//! - [`sample`]: what one lap over the tables has found;
//! - `memory`, `busiest`, `walk`: how it is found, entry by entry and in bounded memory;
//! - [`wish`]: which flows are wanted;
//! - [`reader`]: lap after lap over the pinned maps, in a thread of its own;
//! - [`columns`], [`rows`], [`meaning`]: what stands where in a list, and what a reason's screen says;
//! - [`keys`]: what keys mean;
//! - [`model`]: what is shown, and what keys change of it;
//! - [`view`]: draws it;
//! - [`run`]: keys in, pictures out.
//!
//! Only `run` and `screen` know of a terminal, and only `reader` of maps.

mod amount;
mod busiest;
pub mod columns;
pub mod keys;
pub mod meaning;
mod memory;
pub mod model;
pub mod reader;
pub mod rows;
pub mod run;
pub mod sample;
mod screen;
pub mod view;
mod walk;
pub mod wish;

pub use amount::amount;
