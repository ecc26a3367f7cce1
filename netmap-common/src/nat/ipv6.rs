//! IPv6 (RFC 8200).

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
        let mut internet = Internet {
            src: read(&header.src_addr),
            dst: read(&header.dst_addr),
            l3,
            content: l3 + Ipv6Hdr::LEN,
            l4: l3 + Ipv6Hdr::LEN,
            length,
            ttl: header.hop_limit,
            protocol: header.next_hdr,
            id: 0,
            fragment: 0,
        };
        for _ in 0..EXTENSIONS {
            if !skip_extension(packet, &mut internet)? {
                break;
            }
        }
        if bytes(internet.l4 - l3) > length {
            return Err(Truncated);
        }
        Ok(internet)
    }

    #[inline(always)]
    fn rewrite<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        old: &FlowKey<Self>,
        new: &FlowKey<Self>,
        decrement: bool,
    ) -> Result<Delta, Truncated> {
        let header = packet.header_mut::<Ipv6Hdr>(l3)?;
        if decrement {
            header.hop_limit = header.hop_limit.saturating_sub(1);
        }
        header.src_addr = new.src.octets();
        header.dst_addr = new.dst.octets();
        Ok(replace(replace(Delta::NONE, old.src, new.src), old.dst, new.dst))
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
        let rest = u32::from(u16::from_be_bytes([header.next_hdr, header.hop_limit]));
        Ok(first + length + rest + read(&header.src_addr).sum() + read(&header.dst_addr).sum())
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
        let [a, b, c, d] = self.0;
        checksum::halves(a) + checksum::halves(b) + checksum::halves(c) + checksum::halves(d)
    }
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

#[inline(always)]
fn read(octets: &[u8; 16]) -> Address6 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *octets;
    Address6([
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
        u32::from_be_bytes([i, j, k, l]),
        u32::from_be_bytes([m, n, o, p]),
    ])
}

#[inline(always)]
const fn replace(delta: Delta, Address6([a, b, c, d]): Address6, Address6([e, f, g, h]): Address6) -> Delta {
    delta
        .replace_u32(a, e)
        .replace_u32(b, f)
        .replace_u32(c, g)
        .replace_u32(d, h)
}
