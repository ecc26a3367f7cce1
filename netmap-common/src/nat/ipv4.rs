//! IPv4 (RFC 791).

use network_types::ip::Ipv4Hdr;

use super::{Delta, Family, Internet, Packet, Truncated, checksum, parse::bytes};
use crate::maps::{Address, FlowKey};

impl Family for Address {
    const ETHER_TYPE: [u8; 2] = [0x08, 0x00];
    const ICMP: u8 = 1;
    const HEADER: usize = Ipv4Hdr::LEN;
    // RFC 1812, 5.2.7.1.
    const PROHIBITED: [u8; 2] = [3, 13];
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    const ICMP_HAS_PSEUDO_HEADER: bool = false;
    const HAS_HEADER_CHECKSUM: bool = true;
    const HAS_ZONES: bool = false;
    const LOCALHOST: Self = Self(0x7f00_0001);

    #[inline(always)]
    fn internet<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        end: u32,
    ) -> Result<Internet<Self>, Truncated> {
        packet.require(l3 + Ipv4Hdr::LEN)?;
        let room = end.saturating_sub(bytes(l3));
        let header = packet.header::<Ipv4Hdr>(l3)?;
        // 60 at most: the mask tells the verifier.
        let header_length = usize::from(header.vihl & 0xf) * 4;
        if header.vihl >> 4 != 4 || header_length < Ipv4Hdr::LEN {
            return Err(Truncated);
        }
        let total = u32::from(u16::from_be_bytes(header.tot_len));
        // A segmented super-frame of 64 KiB and more has no length to write there (IPv4 BIG TCP, Linux 6.3).
        let length = if total == 0 && room > 65_535 { room } else { total };
        if length < bytes(header_length) {
            return Err(Truncated);
        }
        let l4 = l3 + header_length;
        Ok(Internet {
            src: Self(u32::from_be_bytes(header.src_addr)),
            dst: Self(u32::from_be_bytes(header.dst_addr)),
            l3,
            content: l4,
            l4,
            length,
            ttl: header.ttl,
            protocol: header.proto,
            id: u32::from(u16::from_be_bytes(header.id)),
            fragment: u16::from_be_bytes(header.frags),
        })
    }

    #[inline(always)]
    fn addresses<P: Packet + ?Sized>(
        _packet: &P,
        internet: &Internet<Self>,
    ) -> Result<(Self, Self), Truncated> {
        Ok((internet.src, internet.dst))
    }

    /// The header's checksum is complete on every packet, offload or not.
    #[inline(always)]
    fn rewrite<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        old: &FlowKey,
        new: &FlowKey,
        decrement: bool,
    ) -> Result<Delta, Truncated> {
        let addresses = Delta::NONE
            .replace_u32(old.src.0, new.src.0)
            .replace_u32(old.dst.0, new.dst.0);
        let header = packet.header_mut::<Ipv4Hdr>(l3)?;
        let mut delta = addresses;
        if decrement {
            let ttl = header.ttl.saturating_sub(1);
            delta = delta.replace_u16(
                u16::from_be_bytes([header.ttl, header.proto]),
                u16::from_be_bytes([ttl, header.proto]),
            );
            header.ttl = ttl;
        }
        header.src_addr = new.src.0.to_be_bytes();
        header.dst_addr = new.dst.0.to_be_bytes();
        header.check = delta.applied_to(header.check);
        Ok(addresses)
    }

    #[inline(always)]
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        l3: usize,
        src: Self,
        dst: Self,
        content: u16,
    ) -> Result<(), Truncated> {
        /// Version 4, five words; "internetwork control" (RFC 1812, 4.3.2.5).
        const FIRST: u16 = 0x45c0;
        const TTL: u8 = 64;
        let length = content.saturating_add(20);
        let time = u16::from_be_bytes([TTL, Self::ICMP]);
        let sum = u32::from(FIRST) + u32::from(length) + u32::from(time) + src.sum() + dst.sum();
        let header = packet.header_mut::<Ipv4Hdr>(l3)?;
        [header.vihl, header.tos] = FIRST.to_be_bytes();
        header.tot_len = length.to_be_bytes();
        header.id = [0; 2];
        header.frags = [0; 2];
        [header.ttl, header.proto] = time.to_be_bytes();
        header.check = checksum::complement(sum);
        header.src_addr = src.0.to_be_bytes();
        header.dst_addr = dst.0.to_be_bytes();
        Ok(())
    }

    /// Its own checksum makes it nothing (RFC 1071, 1). A header with a wrong one does not get so far through a host.
    #[inline(always)]
    fn header_sum<P: Packet + ?Sized>(_packet: &P, _l3: usize) -> Result<u32, Truncated> {
        Ok(0)
    }

    #[inline(always)]
    fn rename<P: Packet + ?Sized>(
        packet: &mut P,
        internet: &Internet<Self>,
        id: u32,
    ) -> Result<(), Truncated> {
        #[expect(clippy::cast_possible_truncation, reason = "an identification has 16 bits")]
        let (old, new) = (internet.id as u16, id as u16);
        let header = packet.header_mut::<Ipv4Hdr>(internet.l3)?;
        header.id = new.to_be_bytes();
        header.check = Delta::NONE.replace_u16(old, new).applied_to(header.check);
        Ok(())
    }

    /// Destination unreachable, time exceeded, parameter problem (RFC 792). Source quench is history (RFC 6633), and a
    /// redirect is for the next hop only.
    #[inline(always)]
    fn is_error(icmp_type: u8) -> bool {
        matches!(icmp_type, 3 | 11 | 12)
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        checksum::halves(self.0)
    }
}
