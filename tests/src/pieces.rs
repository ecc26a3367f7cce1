//! Datagrams in pieces, frame by frame, as a network may deliver them in any order.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use etherparse::{IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};

use crate::wire::Wire;

/// The link-layer address of up0 in every lab.
pub const UP0: [u8; 6] = [2, 0, 0, 0, 0x50, 2];
/// The same of br1.
pub const BR1: [u8; 6] = [2, 0, 0, 0, 1, 1];
/// The same of br2.
pub const BR2: [u8; 6] = [2, 0, 0, 0, 2, 1];

/// Where the content begins in a frame of IPv4.
const CONTENT4: usize = 14 + 20;
/// The same of IPv6: the fragment header, where there is one.
pub const CONTENT6: usize = 14 + 40;

/// A UDP datagram's frames, its content cut into two, under this identification.
pub fn cut(
    wire: &Wire,
    id: u16,
    gateway: [u8; 6],
    from: SocketAddr,
    to: SocketAddr,
    payload: &str,
) -> Result<[Vec<u8>; 2]> {
    const CUT: usize = 512;
    let frame = PacketBuilder::ethernet2(wire.mac(), gateway);
    let (start, packet) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (CONTENT4, frame.ipv4(from.octets(), to.octets(), 64)),
        (IpAddr::V6(from), IpAddr::V6(to)) => (CONTENT6, frame.ipv6(from.octets(), to.octets(), 64)),
        _ => bail!("{from} and {to} are of two families"),
    };
    let mut whole = Vec::new();
    packet
        .udp(from.port(), to.port())
        .write(&mut whole, payload.as_bytes())?;
    let (headers, content) = whole.split_at(start);
    let (first, second) = content.split_at(CUT);
    let cut = if from.is_ipv4() { piece } else { piece6 };
    Ok([
        cut(headers, id, 0, first, true)?,
        cut(headers, id, CUT, second, false)?,
    ])
}

/// A fragment with `content` from `offset` on; `more` are to come.
fn piece(headers: &[u8], id: u16, offset: usize, content: &[u8], more: bool) -> Result<Vec<u8>> {
    let (ethernet, ip) = headers.split_at(14);
    let (mut ip, _) = Ipv4Header::from_slice(ip)?;
    ip.identification = id;
    ip.dont_fragment = false;
    ip.more_fragments = more;
    ip.fragment_offset = u16::try_from(offset / 8)?.try_into()?;
    ip.set_payload_len(content.len())?;
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = ethernet.to_vec();
    ip.write_raw(&mut frame)?;
    frame.extend(content);
    Ok(frame)
}

/// The same of IPv6.
fn piece6(headers: &[u8], id: u16, offset: usize, content: &[u8], more: bool) -> Result<Vec<u8>> {
    let (ethernet, ip) = headers.split_at(14);
    let (mut ip, _) = Ipv6Header::from_slice(ip)?;
    let next = ip.next_header;
    ip.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
    ip.payload_length = u16::try_from(8 + content.len())?;
    let mut frame = ethernet.to_vec();
    ip.write(&mut frame)?;
    frame.extend([next.0, 0]);
    frame.extend((u16::try_from(offset)? | u16::from(more)).to_be_bytes());
    frame.extend(u32::from(id).to_be_bytes());
    frame.extend(content);
    Ok(frame)
}

/// Puts the header's checksum right in a frame of IPv4 that was changed.
pub fn set_checksum(frame: &mut [u8]) -> Result<()> {
    let (header, _) = Ipv4Header::from_slice(frame.get(14..).unwrap_or_default())?;
    let sum = header.calc_header_checksum().to_be_bytes();
    frame[14 + 10..14 + 12].copy_from_slice(&sum);
    Ok(())
}
