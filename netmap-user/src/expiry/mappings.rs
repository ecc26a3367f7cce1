//! Mappings of connections that idle.
//!
//! A packet that goes out keeps its flow's mapping. An established connection may say nothing for days, much longer than a
//! mapping lives by itself: while it lives, the sweeper keeps the mapping in the packets' place, every half minute at most.

use netmap_common::maps::{Flow, FlowKey, Kind, Protocol, Seconds, Side};

use crate::maps::{Family, Flows, MapsError};

/// What had a packet since then needs no help.
const REST: Seconds = Seconds(30);

/// The key of the mapping that the entry at `key` keeps, if it is of a connection whose container has not ended it.
fn kept_by<A: Family>(key: &FlowKey<A>, flow: &Flow<A>, now: Seconds) -> Option<FlowKey<A>> {
    let is_from_container = matches!(
        (flow.kind()?, flow.side()),
        (Kind::Egress, Side::Original) | (Kind::Mapped, Side::Reply) | (Kind::Hairpin, _)
    );
    let keeps = is_from_container
        && key.protocol == Protocol::Tcp.number()
        && !flow.tcp.has_ended()
        && now.since(flow.last_seen) >= REST;
    keeps.then(|| key.mapping(flow.to.src))
}

/// Keeps the mapping of the entry at `key`, if it has one and needs it.
pub(super) fn keep<A: Family>(
    flows: &mut Flows<A>,
    key: &FlowKey<A>,
    flow: &Flow<A>,
    now: Seconds,
) -> Result<(), MapsError> {
    let Some(key) = kept_by(key, flow, now) else {
        return Ok(());
    };
    let Some(mut mapping) = flows.get(&key)? else {
        return Ok(());
    };
    if mapping.kind() == Some(Kind::Mapping) && now.since(mapping.last_seen) >= REST {
        // Nothing else of it changes but by packets that go out, and those mean the same.
        mapping.last_seen = now;
        flows.insert(key, mapping)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use netmap_common::maps::{Address, Port, TcpSeen};

    use super::*;

    const C: Address = Address(0xac11_0002);
    const R: Address = Address(0xc633_6407);
    const H: Address = Address(0xc000_0201);

    fn keeps(kind: Kind, side: Side, protocol: Protocol, tcp: u8, now: u32) -> Option<FlowKey> {
        let key = FlowKey::new(protocol, C, Port(7), R, Port(80));
        let flow = Flow {
            to: FlowKey::new(protocol, H, Port(9), R, Port(80)),
            kind: kind as u8,
            side: side as u8,
            tcp: TcpSeen::default().after(tcp),
            last_seen: Seconds(100),
            ..Flow::default()
        };
        kept_by(&key, &flow, Seconds(now))
    }

    #[test]
    fn a_connection_that_idles_keeps_its_mapping() {
        const ACK: u8 = 0x10;
        let mapping = Some(FlowKey::new(Protocol::Tcp, C, Port(7), H, Port(0)));
        assert_eq!(
            keeps(Kind::Egress, Side::Original, Protocol::Tcp, ACK, 160),
            mapping
        );
        assert_eq!(
            keeps(Kind::Mapped, Side::Reply, Protocol::Tcp, ACK, 9_000),
            mapping
        );
        assert_eq!(
            keeps(Kind::Hairpin, Side::Reply, Protocol::Tcp, ACK, 160),
            mapping
        );
    }

    #[test]
    fn what_is_over_fresh_from_outside_or_no_connection_keeps_none() {
        const FIN: u8 = 0x11;
        const RST: u8 = 0x04;
        const ACK: u8 = 0x10;
        for tcp in [FIN, RST] {
            assert_eq!(keeps(Kind::Egress, Side::Original, Protocol::Tcp, tcp, 160), None);
        }
        assert_eq!(keeps(Kind::Egress, Side::Original, Protocol::Tcp, ACK, 129), None);
        assert_eq!(keeps(Kind::Egress, Side::Reply, Protocol::Tcp, ACK, 160), None);
        assert_eq!(keeps(Kind::Published, Side::Reply, Protocol::Tcp, ACK, 160), None);
        assert_eq!(keeps(Kind::Egress, Side::Original, Protocol::Udp, 0, 160), None);
    }
}
