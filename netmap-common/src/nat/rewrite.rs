//! Writes the translation into the packet.

use network_types::{icmp::Icmpv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{Datagram, Delta, Family, L4Change, Packet, Truncated, Verdict, parse::L3};
use crate::maps::{FlowKey, Protocol};

/// Rewrites addresses, ports, time to live and checksums. Last of all stages: it kills references into the packet.
#[inline(always)]
pub(super) fn apply<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<A>,
    new: &FlowKey<A>,
    verdict: Verdict,
) -> Result<(), Truncated> {
    let &Datagram {
        key: old,
        protocol,
        l4,
        ..
    } = datagram;
    let addresses = A::rewrite(packet, L3, &old, new, verdict.is_routed())?;
    let ports = transport(packet, l4, protocol, &old, new)?;
    packet.update_l4_checksum(
        l4 + checksum(protocol),
        L4Change {
            addresses: has_pseudo_header::<A>(protocol).then_some(addresses),
            ports: (old.src_port != new.src_port || old.dst_port != new.dst_port).then_some(ports),
            zero_means_none: protocol == Protocol::Udp,
            is_whole_sum: !A::HAS_HEADER_CHECKSUM,
        },
    )
}

/// Ports, or an echo's identifier, of the transport header at `l4`; gives how they change.
#[inline(always)]
pub(super) fn transport<A: Family, P: Packet + ?Sized>(
    packet: &mut P,
    l4: usize,
    protocol: Protocol,
    old: &FlowKey<A>,
    new: &FlowKey<A>,
) -> Result<Delta, Truncated> {
    if protocol == Protocol::Icmp {
        // One of the two is 0, the other the identifier.
        let [high, low] = (new.src_port.0 | new.dst_port.0).to_be_bytes();
        let header = packet.header_mut::<Icmpv4Hdr>(l4)?;
        let [_, _, third, fourth] = header.data;
        header.data = [high, low, third, fourth];
    } else {
        // TCP has its ports where UDP has them, and an ICMP error may quote no more of it.
        let header = packet.header_mut::<UdpHdr>(l4)?;
        header.src = new.src_port.0.to_be_bytes();
        header.dst = new.dst_port.0.to_be_bytes();
    }
    Ok(Delta::NONE
        .replace_u16(old.src_port.0, new.src_port.0)
        .replace_u16(old.dst_port.0, new.dst_port.0))
}

/// Where a transport header has its checksum. ICMP's is in the same place in both families.
#[inline(always)]
pub(super) const fn checksum(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => core::mem::offset_of!(TcpHdr, check),
        Protocol::Udp => core::mem::offset_of!(UdpHdr, check),
        Protocol::Icmp => core::mem::offset_of!(Icmpv4Hdr, check),
    }
}

/// Whether the checksum is over the addresses too.
#[inline(always)]
pub(super) fn has_pseudo_header<A: Family>(protocol: Protocol) -> bool {
    protocol != Protocol::Icmp || A::ICMP_HAS_PSEUDO_HEADER
}
