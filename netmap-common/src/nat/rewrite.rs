//! Writes the translation into the packet.

use network_types::{icmp::Icmpv4Hdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{Datagram, Delta, L4Change, Packet, Truncated, Verdict, parse::L3};
use crate::maps::{FlowKey, Protocol};

/// Rewrites addresses, ports, time to live and checksums. Last of all stages: it kills references into the packet.
#[inline(always)]
pub(super) fn apply<P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram,
    new: &FlowKey,
    verdict: Verdict,
) -> Result<(), Truncated> {
    let &Datagram {
        key: old,
        protocol,
        l4,
        ..
    } = datagram;
    let addresses = internet(packet, L3, &old, new, verdict.is_routed())?;
    let ports = transport(packet, l4, protocol, &old, new)?;
    let (field, has_pseudo_header) = match protocol {
        Protocol::Tcp => (core::mem::offset_of!(TcpHdr, check), true),
        Protocol::Udp => (core::mem::offset_of!(UdpHdr, check), true),
        Protocol::Icmp => (core::mem::offset_of!(Icmpv4Hdr, check), false),
    };
    packet.update_l4_checksum(
        l4 + field,
        L4Change {
            addresses: has_pseudo_header.then_some(addresses),
            ports: (old.src_port != new.src_port || old.dst_port != new.dst_port).then_some(ports),
            zero_means_none: protocol == Protocol::Udp,
        },
    )
}

/// The IP header at `l3`, whose checksum is complete on every packet, offload or not; gives the change of the addresses.
#[inline(always)]
pub(super) fn internet<P: Packet + ?Sized>(
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

/// The identification in the IP header.
#[inline(always)]
pub(super) fn identification<P: Packet + ?Sized>(
    packet: &mut P,
    old: u16,
    new: u16,
) -> Result<(), Truncated> {
    let header = packet.header_mut::<Ipv4Hdr>(L3)?;
    header.id = new.to_be_bytes();
    header.check = Delta::NONE.replace_u16(old, new).applied_to(header.check);
    Ok(())
}

/// Ports, or an echo's identifier, of the transport header at `l4`; gives how they change.
#[inline(always)]
pub(super) fn transport<P: Packet + ?Sized>(
    packet: &mut P,
    l4: usize,
    protocol: Protocol,
    old: &FlowKey,
    new: &FlowKey,
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
