//! Addresses of the host and around it.

use netmap_common::maps::{Address, Address6, IfIndex};

use super::{
    super::{Packets, Programs, Tables},
    interface::{BR1, BR2, BR3},
};

/// The host's address on [`UP0`](super::interface::UP0).
pub const HOST: Address = of([192, 168, 50, 2]);
/// Another of the host's.
pub const HOST2: Address = of([192, 168, 50, 22]);
/// The host's address on [`UP1`](super::interface::UP1).
pub const HOST3: Address = of([198, 51, 100, 2]);
/// The address of [`BR1`].
pub const GATEWAY1: Address = of([172, 30, 1, 1]);
/// The address of [`BR2`].
pub const GATEWAY2: Address = of([172, 30, 2, 1]);
/// The address of [`BR3`].
pub const GATEWAY3: Address = of([172, 30, 3, 1]);
/// Container at [`VC1`](super::interface::VC1).
pub const C1: Address = of([172, 30, 1, 2]);
/// Container at [`VC1B`](super::interface::VC1B).
pub const C1B: Address = of([172, 30, 1, 3]);
/// Container at [`VC1C`](super::interface::VC1C).
pub const C1C: Address = of([172, 30, 1, 4]);
/// Container at [`VC2`](super::interface::VC2).
pub const C2: Address = of([172, 30, 2, 2]);
/// Container at [`VC3`](super::interface::VC3).
pub const C3: Address = of([172, 30, 3, 2]);
/// Container behind [`BR2`] that only the host's stack reaches.
pub const BY_STACK: Address = of([172, 30, 1, 70]);
/// Container whose place is not known.
pub const LOST: Address = of([172, 30, 1, 9]);
/// Neighbour on [`UP0`](super::interface::UP0).
pub const NEAR: Address = of([192, 168, 50, 3]);
/// By the default route.
pub const FAR: Address = of([8, 8, 8, 8]);
/// Behind [`UP1`](super::interface::UP1).
pub const BEYOND_UP1: Address = of([203, 0, 113, 7]);
/// Behind [`UP2`](super::interface::UP2).
pub const BEYOND_UP2: Address = of([192, 0, 2, 9]);
/// Behind [`LAN`](super::interface::LAN).
pub const BEYOND_LAN: Address = of([10, 9, 0, 5]);
/// No way there.
pub const UNREACHABLE: Address = of([10, 8, 0, 5]);
/// Everybody on [`UP0`](super::interface::UP0).
pub const BROADCAST: Address = of([192, 168, 50, 255]);

/// An address from its four numbers.
pub const fn of(octets: [u8; 4]) -> Address {
    Address(u32::from_be_bytes(octets))
}

/// The same places in either family.
pub trait Places: Packets {
    /// The family's maps.
    fn tables(programs: &mut Programs) -> &mut Tables<Self>;

    /// The host's address on [`UP0`](super::interface::UP0).
    const HOST: Self;
    /// Another of the host's.
    const HOST2: Self;
    /// The host's address on [`UP1`](super::interface::UP1).
    const HOST3: Self;
    /// The address of [`BR1`].
    const GATEWAY1: Self;
    /// The address of [`BR2`].
    const GATEWAY2: Self;
    /// The address of [`BR3`].
    const GATEWAY3: Self;
    /// Container at [`VC1`](super::interface::VC1).
    const C1: Self;
    /// Container at [`VC1B`](super::interface::VC1B).
    const C1B: Self;
    /// Container at [`VC1C`](super::interface::VC1C).
    const C1C: Self;
    /// Container at [`VC2`](super::interface::VC2).
    const C2: Self;
    /// Container at [`VC3`](super::interface::VC3).
    const C3: Self;
    /// Container behind [`BR2`] that only the host's stack reaches.
    const BY_STACK: Self;
    /// Container whose place is not known.
    const LOST: Self;
    /// Neighbour on [`UP0`](super::interface::UP0).
    const NEAR: Self;
    /// By the default route.
    const FAR: Self;
    /// Behind [`UP1`](super::interface::UP1).
    const BEYOND_UP1: Self;
    /// Behind [`UP2`](super::interface::UP2).
    const BEYOND_UP2: Self;
    /// Behind [`LAN`](super::interface::LAN).
    const BEYOND_LAN: Self;
    /// No way there.
    const UNREACHABLE: Self;
    /// What no packet should have.
    const ODD: &[Self];
    /// Prefixes of the bridges' networks, one within another, with their lengths.
    const NETWORKS: [(Self, u32, IfIndex, Self); 4];
    /// How long the prefix in an allow-list is.
    const ALLOWED: u32;
    /// A container's address that is of the other family.
    const MAPPED: Option<Self>;
}

impl Places for Address {
    fn tables(programs: &mut Programs) -> &mut Tables<Self> {
        &mut programs.tables
    }

    const HOST: Self = HOST;
    const HOST2: Self = HOST2;
    const HOST3: Self = HOST3;
    const GATEWAY1: Self = GATEWAY1;
    const GATEWAY2: Self = GATEWAY2;
    const GATEWAY3: Self = GATEWAY3;
    const C1: Self = C1;
    const C1B: Self = C1B;
    const C1C: Self = C1C;
    const C2: Self = C2;
    const C3: Self = C3;
    const BY_STACK: Self = BY_STACK;
    const LOST: Self = LOST;
    const NEAR: Self = NEAR;
    const FAR: Self = FAR;
    const BEYOND_UP1: Self = BEYOND_UP1;
    const BEYOND_UP2: Self = BEYOND_UP2;
    const BEYOND_LAN: Self = BEYOND_LAN;
    const UNREACHABLE: Self = UNREACHABLE;
    const ODD: &[Self] = &[
        of([224, 0, 0, 5]),
        of([255, 255, 255, 255]),
        of([169, 254, 1, 1]),
        of([127, 0, 0, 1]),
        of([0, 0, 0, 0]),
        BROADCAST,
        of([172, 30, 9, 9]),
    ];
    const NETWORKS: [(Self, u32, IfIndex, Self); 4] = [
        (of([172, 30, 1, 0]), 24, BR1, GATEWAY1),
        (of([172, 30, 2, 0]), 24, BR2, GATEWAY2),
        (of([172, 30, 1, 64]), 26, BR2, GATEWAY2),
        (of([172, 30, 3, 0]), 24, BR3, GATEWAY3),
    ];
    const ALLOWED: u32 = 24;
    const MAPPED: Option<Self> = None;
}

/// An IPv6 address from its eight numbers.
pub const fn of6(words: [u16; 8]) -> Address6 {
    const fn two([high, low]: [u16; 2]) -> u32 {
        (high as u32) << 16 | low as u32
    }
    let [first, second, third, fourth, fifth, sixth, seventh, last] = words;
    Address6([
        two([first, second]),
        two([third, fourth]),
        two([fifth, sixth]),
        two([seventh, last]),
    ])
}

impl Places for Address6 {
    fn tables(programs: &mut Programs) -> &mut Tables<Self> {
        &mut programs.tables6
    }

    const HOST: Self = of6([0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 2]);
    const HOST2: Self = of6([0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 0x22]);
    const HOST3: Self = of6([0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 2]);
    const GATEWAY1: Self = of6([0xfd30, 1, 0, 0, 0, 0, 0, 1]);
    const GATEWAY2: Self = of6([0xfd30, 2, 0, 0, 0, 0, 0, 1]);
    const GATEWAY3: Self = of6([0xfd30, 3, 0, 0, 0, 0, 0, 1]);
    const C1: Self = of6([0xfd30, 1, 0, 0, 0, 0, 0, 2]);
    const C1B: Self = of6([0xfd30, 1, 0, 0, 0, 0, 0, 3]);
    const C1C: Self = of6([0xfd30, 1, 0, 0, 0, 0, 0, 4]);
    const C2: Self = of6([0xfd30, 2, 0, 0, 0, 0, 0, 2]);
    const C3: Self = of6([0xfd30, 3, 0, 0, 0, 0, 0, 2]);
    const BY_STACK: Self = of6([0xfd30, 1, 0, 0, 0x8000, 0, 0, 0x70]);
    const LOST: Self = of6([0xfd30, 1, 0, 0, 0, 0, 0, 9]);
    const NEAR: Self = of6([0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 3]);
    const FAR: Self = of6([0x2001, 0xdb8, 0x8888, 0, 0, 0, 0, 8]);
    const BEYOND_UP1: Self = of6([0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 7]);
    const BEYOND_UP2: Self = of6([0x2001, 0xdb8, 0x112, 0, 0, 0, 0, 9]);
    const BEYOND_LAN: Self = of6([0x2001, 0xdb8, 9, 0, 0, 0, 0, 5]);
    const UNREACHABLE: Self = of6([0x2001, 0xdb8, 8, 0, 0, 0, 0, 5]);
    const ODD: &[Self] = &[
        of6([0xff02, 0, 0, 0, 0, 0, 0, 5]),
        of6([0xff0e, 0, 0, 0, 0, 0, 0, 5]),
        of6([0xfe80, 0, 0, 0, 0, 0, 1, 1]),
        of6([0, 0, 0, 0, 0, 0, 0, 1]),
        Self::ANY,
        of6([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]),
        of6([0, 0, 0, 0, 0, 0xffff, 0x0808, 0x0808]),
        of6([0xfd30, 9, 0, 0, 0, 0, 0, 9]),
    ];
    const NETWORKS: [(Self, u32, IfIndex, Self); 4] = [
        (of6([0xfd30, 1, 0, 0, 0, 0, 0, 0]), 64, BR1, Self::GATEWAY1),
        (of6([0xfd30, 2, 0, 0, 0, 0, 0, 0]), 64, BR2, Self::GATEWAY2),
        (of6([0xfd30, 1, 0, 0, 0x8000, 0, 0, 0]), 65, BR2, Self::GATEWAY2),
        (of6([0xfd30, 3, 0, 0, 0, 0, 0, 0]), 64, BR3, Self::GATEWAY3),
    ];
    const ALLOWED: u32 = 48;
    const MAPPED: Option<Self> = Some(Self::mapped(C1));
}
