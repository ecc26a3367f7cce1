//! Internet checksums, updated by what changed (RFC 1624).

/// How much a one's complement sum changes, in the byte order of the words in memory: the sum does not care
/// (RFC 1071, 2 B), and the kernel's helpers want it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u32);

impl Delta {
    /// Nothing changed.
    pub const NONE: Self = Self(0);

    /// Adds the replacement of a 16-bit number in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn replace_u16(self, old: u16, new: u16) -> Self {
        self.add(!old.to_be()).add(new.to_be())
    }

    /// Adds the replacement of a 32-bit number in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn replace_u32(self, old: u32, new: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "takes the number apart")]
        const fn halves(number: u32) -> (u16, u16) {
            ((number >> 16) as u16, number as u16)
        }
        let (old, new) = (halves(old), halves(new));
        self.replace_u16(old.0, new.0).replace_u16(old.1, new.1)
    }

    /// This change and another.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum field after the change. "HC' = ~(~HC + ~m + m')" (RFC 1624, eqn. 3).
    #[inline(always)]
    pub const fn applied_to(self, field: [u8; 2]) -> [u8; 2] {
        let sum = fold(self.0) as u32 + !u16::from_ne_bytes(field) as u32;
        (!fold(sum)).to_ne_bytes()
    }

    /// As `bpf_l4_csum_replace` takes it for its `to` with a size of 0.
    #[inline(always)]
    pub const fn to_helper(self) -> u32 {
        self.0
    }

    // A handful of 16-bit words cannot overflow 32 bits.
    #[inline(always)]
    const fn add(self, word: u16) -> Self {
        Self(self.0 + word as u32)
    }
}

/// A 32-bit number in host byte order as the two words that a sum is over.
#[inline(always)]
pub(super) const fn halves(number: u32) -> u32 {
    (number >> 16) + (number & 0xffff)
}

/// A sum of such words as it stands in a header.
#[inline(always)]
pub(super) const fn folded(sum: u32) -> [u8; 2] {
    fold(sum).to_be_bytes()
}

/// The checksum over such words.
#[inline(always)]
pub(super) const fn complement(sum: u32) -> [u8; 2] {
    (!fold(sum)).to_be_bytes()
}

/// The number that a checksum field over words of this sum keeps when it is computed anew over the words and itself: twice
/// the number and the sum make nothing.
#[inline(always)]
pub(super) const fn fixed_point(sum: u32) -> u16 {
    let missing = !fold(sum) as u32;
    // Half of it, modulo 65,535, which is odd.
    fold(if missing & 1 == 0 {
        missing / 2
    } else {
        u32::midpoint(missing, 0xffff)
    })
}

/// The sum in 16 bits, carries added back in.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "two rounds leave 16 bits of any 32"
)]
const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, from scratch, over big-endian words.
    fn checksum(words: &[u16]) -> [u8; 2] {
        let sum = words.iter().fold(0u64, |sum, word| sum + u64::from(*word));
        let mut folded = sum;
        while folded > 0xffff {
            folded = (folded & 0xffff) + (folded >> 16);
        }
        (!u16::try_from(folded).unwrap()).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1624_section_4_comes_out_as_0000_not_ffff() {
        // m = 0x5555, m' = 0x3285, HC = 0xdd2f gives 0x0000.
        assert_eq!(
            Delta::NONE.replace_u16(0x5555, 0x3285).applied_to([0xdd, 0x2f]),
            [0, 0]
        );
    }

    proptest! {
        #[test]
        fn an_update_equals_a_sum_from_scratch(words in proptest::collection::vec(1u16.., 4..40), at in 0usize..3, new: u32) {
            let mut changed = words.clone();
            let old = u32::from(words[at]) << 16 | u32::from(words[at + 1]);
            changed[at] = (new >> 16) as u16;
            changed[at + 1] = (new & 0xffff) as u16;
            prop_assert_eq!(Delta::NONE.replace_u32(old, new).applied_to(checksum(&words)), checksum(&changed));
        }
    }
}
