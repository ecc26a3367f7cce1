//! Fragments of IPv6 by etherparse.

use std::vec::Vec;

use etherparse::{IpNumber, Ipv6FragmentHeader, Ipv6Header};

use super::{CONTENT, IpAddr, header::extension::FRAGMENT};

pub(super) type Id = u32;
/// Where a piece's content begins.
pub(super) const PIECE: usize = CONTENT + 8;
const ETHERNET: usize = 14;

/// A piece of the datagram in the frame `whole`.
pub(super) fn piece(whole: &[u8], id: Id, start: usize, content: &[u8], more: bool) -> Vec<u8> {
    let (mut ip, _) = Ipv6Header::from_slice(&whole[ETHERNET..]).unwrap();
    let start = u16::try_from(start / 8).unwrap().try_into().unwrap();
    let fragment = Ipv6FragmentHeader::new(ip.next_header, start, more, id);
    ip.next_header = IpNumber(FRAGMENT);
    ip.payload_length = u16::try_from(8 + content.len()).unwrap();
    [&whole[..ETHERNET], &ip.to_bytes(), &fragment.to_bytes(), content].concat()
}

/// What a piece is.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: Id,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: u8,
    pub(super) start: usize,
}

#[track_caller]
pub(super) fn part(frame: &[u8]) -> Part {
    let (ip, rest) = Ipv6Header::from_slice(&frame[ETHERNET..]).unwrap();
    let (fragment, _) = Ipv6FragmentHeader::from_slice(rest).unwrap();
    Part {
        id: fragment.identification,
        src: ip.source.into(),
        dst: ip.destination.into(),
        ttl: ip.hop_limit,
        start: usize::from(fragment.fragment_offset.value()) * 8,
    }
}

/// The datagram that a first piece belongs to.
pub(super) fn whole(first: &[u8], content: &[u8]) -> Vec<u8> {
    let (mut ip, rest) = Ipv6Header::from_slice(&first[ETHERNET..]).unwrap();
    let (fragment, _) = Ipv6FragmentHeader::from_slice(rest).unwrap();
    ip.next_header = fragment.next_header;
    ip.payload_length = u16::try_from(content.len()).unwrap();
    [&first[..ETHERNET], &ip.to_bytes(), content].concat()
}
