//! Hashes of what packets carry.

use super::Family;
use crate::maps::FlowKey;

/// Where steps of one width would stay within a run of ports that are taken (clients keep theirs, and use neighbouring
/// ones), these are all over the pool: the last step of `MurmurHash3`.
#[inline(always)]
pub(super) const fn scatter(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

/// SipHash-1-3 of a key: made for short inputs and a secret, cheap without tables.
#[inline(always)]
pub(super) fn hash<A: Family>(secret: [u64; 2], key: &FlowKey<A>) -> u64 {
    let ports = u64::from(key.src_port.0) << 48 | u64::from(key.dst_port.0) << 32 | u64::from(key.protocol);
    let [k0, k1] = secret;
    let state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let state = mix(mix_addresses(state, key.src, key.dst), ports);
    // The last block is the length, 16 bytes or 40, in the top byte.
    let [v0, v1, v2, v3] = mix(state, u64::from(A::BITS / 4 + 8) << 56);
    let [v0, v1, v2, v3] = round(round(round([v0, v1, v2 ^ 0xff, v3])));
    v0 ^ v1 ^ v2 ^ v3
}

#[inline(always)]
fn mix_addresses<A: Family>(state: [u64; 4], src: A, dst: A) -> [u64; 4] {
    let pair = |high, low| u64::from(high) << 32 | u64::from(low);
    let ([src1, src2, src3, src4], [dst1, dst2, dst3, dst4]) = (src.words(), dst.words());
    if A::BITS == 32 {
        return mix(state, pair(src4, dst4));
    }
    let state = mix(mix(state, pair(src1, src2)), pair(src3, src4));
    mix(mix(state, pair(dst1, dst2)), pair(dst3, dst4))
}

#[inline(always)]
fn mix([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
    let [v0, v1, v2, v3] = round([v0, v1, v2, v3 ^ word]);
    [v0 ^ word, v1, v2, v3]
}

#[inline(always)]
fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v1 = v1.rotate_left(13) ^ v0;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v3);
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.wrapping_add(v3);
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}
