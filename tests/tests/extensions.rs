//! Packets of IPv6 with extension headers (RFC 8200, 4) to a published port, as a machine outside sends them.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use etherparse::{IpNumber, Ipv6Header, PacketBuilder};
use netmap_tests::{
    DEADLINE, Options, Scene,
    ipv6::{C1, HOST, REMOTE},
    scene::{PUBLISHED, SERVED},
    udp,
    wire::Wire,
};

/// Up0's link-layer address in every lab.
const UP0: [u8; 6] = [2, 0, 0, 0, 0x50, 2];

/// Options that say nothing: `PadN` over the rest of eight bytes, and one of sixteen for experiments (RFC 4727), which is
/// skipped by whoever does not know it.
const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];
const EXPERIMENT: [u8; 14] = [0x1e, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An extension header's number and its options.
type Extension = (IpNumber, &'static [u8]);

const HOP_BY_HOP: Extension = (IpNumber::IPV6_HEADER_HOP_BY_HOP, &PADDING);
const DESTINATION: Extension = (IpNumber::IPV6_DESTINATION_OPTIONS, &EXPERIMENT);

/// A UDP datagram from R to the published port, these headers before UDP's.
fn frame(wire: &Wire, from: SocketAddr, extensions: &[Extension], payload: &str) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    PacketBuilder::ethernet2(wire.mac(), UP0)
        .ipv6(REMOTE.octets(), HOST.octets(), 64)
        .udp(from.port(), PUBLISHED)
        .write(&mut plain, payload.as_bytes())?;
    let (ethernet, rest) = plain.split_at(14);
    let (mut ip, datagram) = Ipv6Header::from_slice(rest)?;
    let mut content = Vec::new();
    let after = extensions.iter().skip(1).map(|(number, _)| *number);
    for ((_, options), next) in extensions.iter().zip(after.chain([ip.next_header])) {
        content.extend([next.0, u8::try_from(options.len() / 8)?]);
        content.extend(*options);
    }
    if let Some((first, _)) = extensions.first() {
        ip.next_header = *first;
    }
    content.extend(datagram);
    ip.payload_length = u16::try_from(content.len())?;
    let mut frame = ethernet.to_vec();
    ip.write(&mut frame)?;
    frame.extend(content);
    Ok(frame)
}

#[test]
fn packets_with_options_reach_the_published_port() -> Result<()> {
    for native_xdp in [false, true] {
        let scene = Scene::with(Options {
            ipv6: true,
            offloads: false,
            native_xdp,
            ..Options::default()
        })?;
        let from = SocketAddr::from((REMOTE, 40_000));
        let wire = Wire::open(&scene.lab.remote, "eth0")?;
        let client = udp::Client::connected_from(&scene.lab.remote, from, (HOST, PUBLISHED))?;
        // The next hop is known.
        client.ask("no options")?;
        for extensions in [
            &[HOP_BY_HOP][..],
            &[DESTINATION],
            &[HOP_BY_HOP, DESTINATION],
            &[HOP_BY_HOP, DESTINATION, DESTINATION],
        ] {
            let payload = format!("{} options", extensions.len());
            let frame = frame(&wire, from, extensions, &payload)?;
            let (answer, moved) = scene.netmap.watch(|| {
                wire.send(&frame)?;
                client.receive(DEADLINE)
            })?;
            ensure!(
                answer.as_ref().is_some_and(|answer| answer.payload == payload
                    && answer.client == from
                    && answer.local == (C1, SERVED).into()),
                "{extensions:?}: {answer:?}, and what moved is: {moved}"
            );
            moved.ensure_carried_by(&["port-in published-reply", "uplink-in published-in"])?;
        }
    }
    Ok(())
}
