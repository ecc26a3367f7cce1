//! The packets that are kept as files: of each kind that a host carries, and of each attack that it must withstand.
//!
//! `corpus/process/` has a file of each of these scenarios, and `corpus/process.txt` what becomes of its packets. With
//! `NETMAP_WRITE_CORPUS=1` the test `the_corpus_is_what_the_scenarios_say` writes both anew; a changed outcome is for the author of
//! the change to judge.

mod attacks;
mod packet;
mod traffic;

use self::packet::Packet;
use crate::process::{Place, Step, scene::Choices, step::PLACES};

pub(super) const UPLINK_IN: Place = PLACES[0];
pub(super) const UPLINK_OUT: Place = PLACES[1];
pub(super) const AT_C1: Place = PLACES[2];
pub(super) const AT_C1B: Place = PLACES[3];
pub(super) const AT_C2: Place = PLACES[5];

/// A scenario and its bytes.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name.
    pub name: String,
    /// What [`crate::process::run`] takes.
    pub input: Vec<u8>,
}

/// All scenarios, of both families.
pub fn scenarios() -> Vec<Scenario> {
    let mut book = Book::default();
    for kind in [0, Choices::IPV6] {
        let choices = Choices {
            kind,
            ..Choices::default()
        };
        traffic::write(&mut book, choices);
        attacks::write(&mut book, choices);
    }
    book.scenarios
}

/// Scenarios as they are written.
#[derive(Default)]
struct Book {
    scenarios: Vec<Scenario>,
}

impl Book {
    /// A new scenario; its steps follow.
    fn scenario(&mut self, name: &str, choices: Choices) -> Pen<'_> {
        let family = if choices.is_ipv6() { "6" } else { "4" };
        self.scenarios.push(Scenario {
            name: format!("{name}-{family}"),
            input: choices.bytes().to_vec(),
        });
        Pen {
            input: self.scenarios.last_mut().map(|scenario| &mut scenario.input),
            choices,
        }
    }
}

/// Writes a scenario's steps.
struct Pen<'book> {
    input: Option<&'book mut Vec<u8>>,
    choices: Choices,
}

impl Pen<'_> {
    fn step(mut self, step: &Step<'_>) -> Self {
        if let Some(input) = self.input.as_mut() {
            step.write(input);
        }
        self
    }

    /// A packet at a place.
    fn at(self, place: Place, packet: &Packet) -> Self {
        let frame = packet.frame(self.choices);
        self.step(&Step::Packet(place, &frame))
    }

    /// A packet at XDP.
    fn early(self, packet: &Packet) -> Self {
        let frame = packet.frame(self.choices);
        self.step(&Step::Early(&frame))
    }

    /// An answer to what was carried last.
    fn answer(self, place: Place) -> Self {
        self.step(&Step::Answer(place))
    }

    /// Packets at a place, one after the other.
    fn all(self, place: Place, packets: &[Packet]) -> Self {
        packets.iter().fold(self, |pen, packet| pen.at(place, packet))
    }
}
