//! Fragments of IPv4 by etherparse.

use std::vec::Vec;

use etherparse::Ipv4Header;

use super::{CONTENT, IpAddr};

pub(super) type Id = u16;
/// Where a piece's content begins.
pub(super) const PIECE: usize = CONTENT;
const ETHERNET: usize = 14;

/// A piece of the datagram in the frame `whole`.
pub(super) fn piece(whole: &[u8], id: Id, start: usize, content: &[u8], more: bool) -> Vec<u8> {
    let (mut ip, _) = Ipv4Header::from_slice(&whole[ETHERNET..]).unwrap();
    ip.identification = id;
    ip.more_fragments = more;
    ip.fragment_offset = u16::try_from(start / 8).unwrap().try_into().unwrap();
    framed(whole, ip, content)
}

fn framed(whole: &[u8], ip: Ipv4Header, content: &[u8]) -> Vec<u8> {
    let mut ip = ip;
    ip.set_payload_len(content.len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = whole[..ETHERNET].to_vec();
    ip.write_raw(&mut frame).unwrap();
    frame.extend(content);
    frame
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
    let (ip, _) = Ipv4Header::from_slice(&frame[ETHERNET..]).unwrap();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IP checksum");
    Part {
        id: ip.identification,
        src: ip.source.into(),
        dst: ip.destination.into(),
        ttl: ip.time_to_live,
        start: usize::from(ip.fragment_offset.value()) * 8,
    }
}

/// The datagram that a first piece belongs to.
pub(super) fn whole(first: &[u8], content: &[u8]) -> Vec<u8> {
    let (mut ip, _) = Ipv4Header::from_slice(&first[ETHERNET..]).unwrap();
    ip.more_fragments = false;
    framed(first, ip, content)
}
