//! What XDP leaves to TC before it looks further: it sees a frame that the kernel has yet to make a packet of.

use network_types::{icmp::Icmpv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{
    Datagram, Family, Packet, checksum,
    parse::{L3, bytes},
};
use crate::maps::{Protocol, Reason};

/// Leaves to TC what takes more than one frame to judge, what the host may have to answer, and a packet whose checksum may be
/// yet to be completed.
///
/// A veth carries frames whose L4 checksum is the sum of the pseudo-header alone (`CHECKSUM_PARTIAL`). That is known by
/// its value: of the checksums that are complete, one in 65,536 equals it too, and is carried by TC as well.
#[inline(always)]
pub(super) fn check<A: Family, P: Packet + ?Sized>(packet: &P, datagram: &Datagram<A>) -> Result<(), Reason> {
    if !packet.is_early() {
        return Ok(());
    }
    if datagram.is_fragment || datagram.ttl <= 1 {
        return Err(Reason::LeftToTc);
    }
    let field = match datagram.protocol {
        Protocol::Tcp => core::mem::offset_of!(TcpHdr, check),
        Protocol::Udp => core::mem::offset_of!(UdpHdr, check),
        // Without a pseudo-header, and always complete.
        Protocol::Icmp if !A::ICMP_HAS_PSEUDO_HEADER => return Ok(()),
        Protocol::Icmp => core::mem::offset_of!(Icmpv4Hdr, check),
    };
    let found = packet
        .header::<[u8; 2]>(datagram.l4 + field)
        .or(Err(Reason::Malformed))?;
    if *found == pseudo_header(datagram) {
        Err(Reason::LeftToTc)
    } else {
        Ok(())
    }
}

/// The sum of the pseudo-header, not complemented (RFC 9293, 3.1; RFC 768; RFC 8200, 8.1).
#[inline(always)]
fn pseudo_header<A: Family>(datagram: &Datagram<A>) -> [u8; 2] {
    let length = datagram.length.saturating_sub(bytes(datagram.l4 - L3));
    checksum::folded(
        datagram.key.src.sum()
            + datagram.key.dst.sum()
            + u32::from(A::number(datagram.protocol))
            + checksum::halves(length),
    )
}
