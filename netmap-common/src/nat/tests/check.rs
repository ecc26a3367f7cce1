//! From a packet at a hook to what became of it: every test goes through here.

use std::vec::Vec;

use super::{Host, Place, Sample};
use crate::{
    maps::{Class, Reason},
    nat::{Carried, Env, Verdict, process},
};

/// Runs a hook over a frame.
pub(super) fn run<E: Env>(env: &E, (hook, _): Place, frame: &[u8]) -> (Result<Carried, Reason>, Vec<u8>) {
    let mut bytes = frame.to_vec();
    let result = process(bytes.as_mut_slice(), env, hook);
    (result, bytes)
}

impl Host {
    /// Runs a hook over bytes.
    pub(super) fn run(&self, place: Place, frame: &[u8]) -> (Result<Carried, Reason>, Vec<u8>) {
        self.world.arrival.set(place.1);
        run(&self.world, place, frame)
    }

    /// Sends a packet through a hook that has to carry it; gives what comes out, its checksums verified.
    #[track_caller]
    pub(super) fn send(&self, place: Place, packet: &Sample) -> (Carried, Sample) {
        let (result, after) = self.run(place, &packet.bytes());
        let carried = result.unwrap_or_else(|why| panic!("{} at {place:?}: {packet:?}", why.name()));
        assert_eq!(carried.reason.class(), Class::Carried);
        (carried, Sample::read(&after))
    }

    /// The packet is carried, and becomes `output`.
    #[track_caller]
    pub(super) fn carries(
        &self,
        place: Place,
        packet: &Sample,
        verdict: Verdict,
        reason: Reason,
        output: &Sample,
    ) {
        self.check(
            place,
            &packet.bytes(),
            Ok(Carried { verdict, reason }),
            &output.bytes(),
        );
    }

    /// The packet is passed on or dropped as it came, for this reason.
    #[track_caller]
    pub(super) fn leaves(&self, place: Place, packet: &Sample, reason: Reason) {
        self.leaves_bytes(place, &packet.bytes(), reason);
    }

    /// As [`Host::leaves`], for what is no whole packet.
    #[track_caller]
    pub(super) fn leaves_bytes(&self, place: Place, frame: &[u8], reason: Reason) {
        assert_ne!(reason.class(), Class::Carried);
        self.check(place, frame, Err(reason), frame);
    }

    /// As [`Host::leaves`], and no flow comes of it.
    #[track_caller]
    pub(super) fn refuses(&self, place: Place, packet: &Sample, reason: Reason) {
        let before = self.world.flows.borrow().clone();
        self.leaves(place, packet, reason);
        assert_eq!(*self.world.flows.borrow(), before, "the table of flows");
    }

    #[track_caller]
    fn check(&self, place: Place, input: &[u8], expected: Result<Carried, Reason>, output: &[u8]) {
        let (result, after) = self.run(place, input);
        assert_eq!(result, expected, "at {place:?}");
        if after == output {
            return;
        }
        if expected.is_ok() {
            assert_eq!(Sample::read(&after), Sample::read(output), "at {place:?}");
        }
        assert_eq!(after, output, "at {place:?}");
    }
}
