//! What happens, one step after the other, as an input's bytes say it.

use netmap_common::maps::{Hook, IfIndex};

use super::scene::{BRIDGE_1, BRIDGE_2, C1, C1B, C2, TAP, UPLINK};

/// Where a packet is seen: at which hook of which interface.
pub type Place = (Hook, IfIndex);

/// Every place, by its number in an input.
pub const PLACES: [Place; 9] = [
    (Hook::UplinkIn, UPLINK),
    (Hook::UplinkOut, UPLINK),
    (Hook::PortIn, C1),
    (Hook::PortIn, C1B),
    (Hook::PortIn, TAP),
    (Hook::PortIn, C2),
    (Hook::BridgeIn, BRIDGE_1),
    (Hook::BridgeIn, BRIDGE_2),
    // An interface that no table knows.
    (Hook::PortIn, IfIndex(99)),
];

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'input> {
    /// A frame reaches a hook.
    Packet(Place, &'input [u8]),
    /// A frame reaches the uplink's XDP program.
    Early(&'input [u8]),
    /// The packet that was carried last is answered, seen here.
    Answer(Place),
    /// So many seconds pass.
    Tick(u8),
    /// The rule with this number is taken back.
    Unpublish(u8),
    /// A flow entry is gone: the one with this number, counted around.
    Evict(u8),
    /// One more port, and one fewer: a rule, its bytes as in [`super::scene`].
    Publish(&'input [u8]),
    /// A container is reached otherwise: its number, and how.
    Move(u8, u8),
    /// A flow entry that nobody knows who wrote; only in a world of such.
    Wild(&'input [u8]),
    /// A fragment's entry of the same kind.
    WildFragment(&'input [u8]),
}

impl<'input> Step<'input> {
    /// Reads steps until the bytes end: each is four bytes (what, detail, length of what follows) and what follows.
    pub fn all(input: &'input [u8]) -> impl Iterator<Item = Self> {
        const MOST: usize = 64;
        let mut rest = input;
        std::iter::from_fn(move || {
            let (&[what, detail, high, low], tail) = rest.split_first_chunk()?;
            let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
            let (bytes, tail) = tail.split_at(length);
            rest = tail;
            Some(Self::of(what, detail, bytes))
        })
        .take(MOST)
    }

    fn of(what: u8, detail: u8, bytes: &'input [u8]) -> Self {
        match what % 16 {
            1 => Self::Early(bytes),
            2 => Self::Answer(place(detail)),
            3 => Self::Tick(detail),
            4 => Self::Unpublish(detail),
            5 => Self::Evict(detail),
            6 => Self::Publish(bytes),
            7 => Self::Move(detail >> 4, detail & 0xf),
            8 => Self::Wild(bytes),
            9 => Self::WildFragment(bytes),
            _ => Self::Packet(place(detail), bytes),
        }
    }

    /// Writes the step as [`Self::all`] reads it.
    pub fn write(&self, input: &mut Vec<u8>) {
        let (what, detail, bytes): (u8, u8, &[u8]) = match *self {
            Self::Packet(place, bytes) => (0, number(place), bytes),
            Self::Early(bytes) => (1, 0, bytes),
            Self::Answer(place) => (2, number(place), &[]),
            Self::Tick(seconds) => (3, seconds, &[]),
            Self::Unpublish(rule) => (4, rule, &[]),
            Self::Evict(entry) => (5, entry, &[]),
            Self::Publish(bytes) => (6, 0, bytes),
            Self::Move(who, way) => (7, who << 4 | way & 0xf, &[]),
            Self::Wild(bytes) => (8, 0, bytes),
            Self::WildFragment(bytes) => (9, 0, bytes),
        };
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let bytes = bytes.get(..usize::from(length)).unwrap_or_default();
        input.extend([what, detail]);
        input.extend(length.to_be_bytes());
        input.extend(bytes);
    }
}

fn place(number: u8) -> Place {
    let [first, ..] = PLACES;
    let index = usize::from(number) % PLACES.len();
    PLACES.get(index).copied().unwrap_or(first)
}

fn number(place: Place) -> u8 {
    let index = PLACES.iter().position(|other| *other == place);
    index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0)
}
