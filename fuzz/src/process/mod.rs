//! The NAT with any packets and any tables.
//!
//! An input is a [`world`](scene::Choices) in its first bytes and [`Step`]s after it: packets at hooks, and what happens to the
//! tables between them.

mod frame;
mod host;
mod promise;
pub mod scene;
pub mod step;

use netmap_common::{
    maps::{Address, Address6, Reason},
    nat::Carried,
};

pub(crate) use self::frame::residue;
pub use self::step::{Place, Step};
use self::{host::Host, scene::Choices};

/// What became of a packet.
pub type Outcome = Result<Carried, Reason>;

/// Runs an input; what became of each of its packets.
///
/// # Panics
///
/// Something did not hold that must.
pub fn run(input: &[u8]) -> Vec<Outcome> {
    let (choices, steps) = Choices::read(input);
    if choices.is_ipv6() {
        play(Host::<Address6>::new(choices), steps)
    } else {
        play(Host::<Address>::new(choices), steps)
    }
}

fn play<A: scene::Addresses>(mut host: Host<A>, steps: &[u8]) -> Vec<Outcome> {
    Step::all(steps).filter_map(|step| host.take(&step)).collect()
}
