//! Where things stand in a frame.

/// Length of the link-layer header; the IP header begins here.
pub(crate) const ETHERNET: usize = 14;
/// Flags and fragment offset.
pub(crate) const FRAGMENT: usize = ETHERNET + 6;
pub(crate) const TTL: usize = ETHERNET + 8;
pub(crate) const PROTOCOL: usize = ETHERNET + 9;
pub(crate) const SRC: usize = ETHERNET + 12;
pub(crate) const DST: usize = ETHERNET + 16;
/// End of an IP header without options. No frame is shorter.
pub(crate) const IP_END: usize = ETHERNET + 20;

/// Where the transport header begins.
pub(crate) fn transport(frame: &[u8]) -> usize {
    ETHERNET + usize::from(frame[ETHERNET] & 0xf) * 4
}
