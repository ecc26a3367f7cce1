//! IPv6 (RFC 8200).

use core::hint::black_box;

use network_types::ip::Ipv6Hdr;

use super::{Delta, Family, Internet, Packet, Truncated, checksum, parse::bytes};
use crate::maps::{Address6, FlowKey, Ip as _};

/// Numbers of extension headers (RFC 8200, 4.1).
mod extension {
    /// Hop-by-hop options.
    pub(super) const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub(super) const ROUTING: u8 = 43;
    /// Fragment.
    pub(super) const FRAGMENT: u8 = 44;
    /// Destination options.
    pub(super) const DESTINATION: u8 = 60;
}

/// How many extension headers are walked; what hides behind more is `other-protocol`. "Each extension header should occur
/// at most once, except for the Destination Options header" (RFC 8200, 4.1): five.
const EXTENSIONS: usize = 5;

impl Family for Address6 {
    const ETHER_TYPE: [u8; 2] = [0x86, 0xdd];
    const ICMP: u8 = 58;
    const HEADER: usize = Ipv6Hdr::LEN;
    // RFC 4443, 3.1.
    const PROHIBITED: [u8; 2] = [1, 1];
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;
    const ICMP_HAS_PSEUDO_HEADER: bool = true;
    const HAS_HEADER_CHECKSUM: bool = false;
    const HAS_ZONES: bool = true;
    const LOCALHOST: Self = Self([0, 0, 0, 1]);

    #[inline(always)]
    fn internet<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        end: u32,
    ) -> Result<Internet<Self>, Truncated> {
        packet.require(l3 + Ipv6Hdr::LEN)?;
        let room = end.saturating_sub(bytes(l3));
        let header = packet.header::<Ipv6Hdr>(l3)?;
        if header.vcf[0] >> 4 != 6 {
            return Err(Truncated);
        }
        let payload = u32::from(u16::from_be_bytes(header.payload_len));
        // A segmented super-frame of 64 KiB and more has no length to write there (IPv6 BIG TCP, Linux 5.19).
        let length = if payload == 0 && room > 65_535 {
            room
        } else {
            payload + bytes(Ipv6Hdr::LEN)
        };
        let (ttl, protocol) = (header.hop_limit, header.next_hdr);
        let (src, dst) = addresses(packet, l3)?;
        let mut internet = Internet {
            src,
            dst,
            l3,
            content: l3 + Ipv6Hdr::LEN,
            l4: l3 + Ipv6Hdr::LEN,
            length,
            ttl,
            protocol,
            id: 0,
            fragment: 0,
        };
        if is_extension(internet.protocol) {
            for _ in 0..EXTENSIONS {
                if !skip_extension(packet, &mut internet)? {
                    break;
                }
            }
            internet.l4 = forget(packet, l3, internet.l4);
            internet.content = forget(packet, l3, internet.content);
        }
        if bytes(internet.l4 - l3) > length {
            return Err(Truncated);
        }
        Ok(internet)
    }

    /// Sixteen numbers kept from the header's reading on would take a quarter of a program's stack.
    #[inline(always)]
    fn addresses<P: Packet + ?Sized>(
        packet: &P,
        internet: &Internet<Self>,
    ) -> Result<(Self, Self), Truncated> {
        addresses(packet, internet.l3)
    }

    #[inline(always)]
    fn rewrite<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        _old: &FlowKey<Self>,
        new: &FlowKey<Self>,
        decrement: bool,
    ) -> Result<Delta, Truncated> {
        if decrement {
            let header = packet.header_mut::<Ipv6Hdr>(l3)?;
            header.hop_limit = header.hop_limit.saturating_sub(1);
        }
        // The old ones are read once more: kept since they were first read, they would take a quarter of the stack.
        let at = l3 + core::mem::offset_of!(Ipv6Hdr, src_addr);
        let src = replace(packet, Delta::NONE, at, new.src)?;
        replace(packet, src, at + size_of::<Self>(), new.dst)
    }

    #[inline(always)]
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        src: Self,
        dst: Self,
        content: u16,
    ) -> Result<(), Truncated> {
        const HOP_LIMIT: u8 = 64;
        let header = packet.header_mut::<Ipv6Hdr>(l3)?;
        header.vcf = [0x60, 0, 0, 0];
        header.payload_len = content.to_be_bytes();
        header.next_hdr = Self::ICMP;
        header.hop_limit = HOP_LIMIT;
        header.src_addr = src.octets();
        header.dst_addr = dst.octets();
        Ok(())
    }

    #[inline(always)]
    fn header_sum<P: Packet + ?Sized>(packet: &P, l3: usize) -> Result<u32, Truncated> {
        let header = packet.header::<Ipv6Hdr>(l3)?;
        let first = checksum::halves(u32::from_be_bytes(header.vcf));
        let length = u32::from(u16::from_be_bytes(header.payload_len));
        let next_and_limit = u32::from(u16::from_be_bytes([header.next_hdr, header.hop_limit]));
        let (src, dst) = addresses(packet, l3)?;
        Ok(first + length + next_and_limit + src.sum() + dst.sum())
    }

    #[inline(always)]
    fn rename<P: Packet + ?Sized>(
        packet: &mut P,
        internet: &Internet<Self>,
        id: u32,
    ) -> Result<(), Truncated> {
        // The last four bytes of the fragment header, which stands before the content.
        *packet.header_mut::<[u8; 4]>(internet.content - 4)? = id.to_be_bytes();
        Ok(())
    }

    /// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443, 3).
    #[inline(always)]
    fn is_error(icmp_type: u8) -> bool {
        matches!(icmp_type, 1..=4)
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        let [first, second, third, last] = self.0.map(checksum::halves);
        first + second + third + last
    }
}

/// Source and destination in the header at `l3`.
#[inline(always)]
fn addresses<P: Packet + ?Sized>(packet: &P, l3: usize) -> Result<(Address6, Address6), Truncated> {
    let [src1, src2, src3, src4, dst1, dst2, dst3, dst4] =
        packet.words(l3 + core::mem::offset_of!(Ipv6Hdr, src_addr))?;
    Ok((
        Address6([src1, src2, src3, src4]),
        Address6([dst1, dst2, dst3, dst4]),
    ))
}

#[inline(always)]
const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        extension::HOP_BY_HOP | extension::ROUTING | extension::FRAGMENT | extension::DESTINATION
    )
}

/// The same place, of which the verifier knows no more than that it is some way behind `l3`.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "five headers of 2,048 bytes at most"
)]
fn forget<P: Packet + ?Sized>(packet: &P, l3: usize, place: usize) -> usize {
    const MOST: u32 = 0x3fff;
    l3 + (packet.forgotten((place - l3) as u32) & MOST) as usize
}

/// Goes behind the extension header at `l4`; says whether there may be another one.
#[inline(always)]
fn skip_extension<P: Packet + ?Sized>(
    packet: &mut P,
    internet: &mut Internet<Address6>,
) -> Result<bool, Truncated> {
    let at = internet.l4;
    match internet.protocol {
        number @ (extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION) => {
            packet.require(at + 8)?;
            let [next, length, _, left] = *packet.header::<[u8; 4]>(at)?;
            // It has not reached its destination, whose address the checksum is over (RFC 8200, 8.1).
            if number == extension::ROUTING && left != 0 {
                return Ok(false);
            }
            internet.protocol = next;
            internet.l4 = at + 8 + usize::from(length) * 8;
            Ok(true)
        }
        extension::FRAGMENT => {
            packet.require(at + 8)?;
            let [next, _] = *packet.header::<[u8; 2]>(at)?;
            let place = u16::from_be_bytes(*packet.header::<[u8; 2]>(at + 2)?);
            internet.protocol = next;
            internet.id = u32::from_be_bytes(*packet.header::<[u8; 4]>(at + 4)?);
            // As IPv4 writes it: the offset below, "more fragments" above.
            internet.fragment = (place >> 3) | ((place & 1) << 13);
            internet.content = at + 8;
            internet.l4 = at + 8;
            // What follows in another piece than the first is content, not headers.
            Ok(internet.fragment_offset() == 0)
        }
        _ => Ok(false),
    }
}

/// Writes an address over the one at `at`.
#[inline(always)]
fn replace<P: Packet + ?Sized>(
    packet: &mut P,
    delta: Delta,
    at: usize,
    Address6(new): Address6,
) -> Result<Delta, Truncated> {
    let [old1, old2, old3, old4] = packet.words(at)?;
    packet.set_words(at, new)?;
    let [new1, new2, new3, new4] = new;
    let delta = delta
        .replace_u32(old1, new1)
        .replace_u32(old2, new2)
        .replace_u32(old3, new3)
        .replace_u32(old4, new4);
    // Summed up here and now: put off until the sum is wanted, all the words would lie on the stack.
    Ok(black_box(delta))
}
