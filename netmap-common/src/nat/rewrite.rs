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
    let old = &datagram.key;
    let decrement = verdict != Verdict::Stack;
    let addresses = internet(packet, old, new, decrement)?;
    let ports = transport(packet, datagram, new)?;
    let (field, has_pseudo_header) = match datagram.protocol {
        Protocol::Tcp => (core::mem::offset_of!(TcpHdr, check), true),
        Protocol::Udp => (core::mem::offset_of!(UdpHdr, check), true),
        Protocol::Icmp => (core::mem::offset_of!(Icmpv4Hdr, check), false),
    };
    packet.update_l4_checksum(
        datagram.l4 + field,
        L4Change {
            addresses: has_pseudo_header.then_some(addresses),
            ports,
            zero_means_none: datagram.protocol == Protocol::Udp,
        },
    )
}

/// The IP header, whose checksum is complete on every packet, offload or not.
#[inline(always)]
fn internet<P: Packet + ?Sized>(
    packet: &mut P,
    old: &FlowKey,
    new: &FlowKey,
    decrement: bool,
) -> Result<Delta, Truncated> {
    let addresses = Delta::NONE
        .replace_u32(old.src.0, new.src.0)
        .replace_u32(old.dst.0, new.dst.0);
    let header = packet.header_mut::<Ipv4Hdr>(L3)?;
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

/// Ports, or an echo's identifier.
#[inline(always)]
fn transport<P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram,
    new: &FlowKey,
) -> Result<Option<Delta>, Truncated> {
    let old = &datagram.key;
    let delta = Delta::NONE
        .replace_u16(old.src_port.0, new.src_port.0)
        .replace_u16(old.dst_port.0, new.dst_port.0);
    let same = old.src_port == new.src_port && old.dst_port == new.dst_port;
    match datagram.protocol {
        Protocol::Tcp => {
            let header = packet.header_mut::<TcpHdr>(datagram.l4)?;
            header.source = new.src_port.0.to_be_bytes();
            header.dest = new.dst_port.0.to_be_bytes();
        }
        Protocol::Udp => {
            let header = packet.header_mut::<UdpHdr>(datagram.l4)?;
            header.src = new.src_port.0.to_be_bytes();
            header.dst = new.dst_port.0.to_be_bytes();
        }
        Protocol::Icmp => {
            // One of the two is 0, the other the identifier.
            let [high, low] = (new.src_port.0 | new.dst_port.0).to_be_bytes();
            let header = packet.header_mut::<Icmpv4Hdr>(datagram.l4)?;
            let [_, _, third, fourth] = header.data;
            header.data = [high, low, third, fourth];
        }
    }
    Ok((!same).then_some(delta))
}
