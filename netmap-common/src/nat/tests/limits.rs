//! Everybody's share of the table.

use super::*;
use crate::maps::{Payer, PayerRole};

/// Opens so many flows at a place; gives what the last was refused for.
fn open(host: &Host, place: Place, flow: impl Fn(u16) -> Sample, flows: u16) -> Result<(), Reason> {
    let results = (0..flows).map(|number| host.run(place, &flow(40_000 + number).bytes()).0.map(drop));
    results.last().unwrap()
}

fn load(host: &Host, role: PayerRole, address: Address) -> u64 {
    let loads = host.world.loads.borrow();
    loads
        .get(&Payer::new(role, address))
        .map_or(0, |load| load.flows(0))
}

#[test]
fn a_container_at_its_limit_opens_no_more_and_its_neighbours_do() {
    let mut host = Host::with_8080();
    host.world.limits.container_flows = 3;
    assert_eq!(open(&host, C1_PORT, |port| udp(c1(port), r(53)), 3), Ok(()));
    host.refuses(C1_PORT, &udp(c1(1), r(53)), Reason::ContainerFull);
    // As a client and as what is published alike.
    host.refuses(UPLINK_IN, &udp(r(1), h(8_080)), Reason::ContainerFull);
    host.refuses(C1_PORT, &tcp(SYN, c1(2), h(8_080)), Reason::ContainerFull);
    // Neighbours go on, also to what it publishes: theirs is the flow.
    host.send(C1B_PORT, &udp(c1b(1), r(53)));
    host.send(C2_PORT, &udp(c2(1), h(8_080)));
    // What it has goes on.
    host.send(C1_PORT, &udp(c1(40_000), r(53)));
    let loads = [c1(0), c1b(0), c2(0)].map(|place| load(&host, PayerRole::Container, at(place)));
    assert_eq!(loads, [3, 1, 1]);
}

#[test]
fn a_published_container_pays_for_who_asks_it_from_outside() {
    let mut host = Host::with_8080();
    host.world.limits.container_flows = 2;
    assert_eq!(open(&host, UPLINK_IN, |port| udp(r(port), h(8_080)), 2), Ok(()));
    host.refuses(C1_PORT, &udp(c1(1), r(53)), Reason::ContainerFull);
    assert_eq!(load(&host, PayerRole::Source, at(r(0))), 2);
}

#[test]
fn one_client_outside_leaves_room_for_another() {
    let mut host = Host::with_8080();
    host.world.limits.source_flows = 4;
    let refused = open(&host, UPLINK_IN, |port| tcp(SYN, r(port), h(8_080)), 100);
    assert_eq!(refused, Err(Reason::SourceFull));
    assert_eq!(host.world.flows.borrow().len(), 8);
    let other = socket(address::FAR_FROM_R, 40_000);
    host.send(UPLINK_IN, &tcp(SYN, other, h(8_080)));
    // Containers are not clients outside.
    assert_eq!(open(&host, C1_PORT, |port| udp(c1(port), r(53)), 10), Ok(()));
    assert_eq!(open(&host, C2_PORT, |port| udp(c2(port), h(8_080)), 10), Ok(()));
}

#[test]
fn a_container_opens_so_many_flows_a_second() {
    let mut host = Host::new();
    host.world.limits.container_rate = 5;
    assert_eq!(open(&host, C1_PORT, |port| udp(c1(port), r(53)), 5), Ok(()));
    host.refuses(C1_PORT, &udp(c1(1), r(53)), Reason::ContainerTooFast);
    host.send(C1B_PORT, &udp(c1b(1), r(53)));
    // Packets of flows are not counted.
    assert_eq!(open(&host, C1_PORT, |port| udp(c1(port), r(53)), 5), Ok(()));
    host.tick();
    assert_eq!(open(&host, C1_PORT, |port| udp(c1(port), r(54)), 5), Ok(()));
    host.refuses(C1_PORT, &udp(c1(1), r(54)), Reason::ContainerTooFast);
}

#[test]
fn a_flow_that_finds_no_port_is_nobodys() {
    let mut host = Host::new();
    for range in &mut host.world.settings.pool {
        (range.first, range.last) = (Port(2_000), Port(2_000));
    }
    host.send(C1B_PORT, &udp(c1b(2_000), r(53)));
    host.refuses(C1_PORT, &udp(c1(2_000), r(53)), Reason::PortsExhausted);
    assert_eq!(load(&host, PayerRole::Container, at(c1(0))), 0);
}

/// Who floods, a port a packet.
fn flooder(number: u16) -> Socket {
    socket(address::FAR_FROM_R, 1_000 + number)
}

/// How many entries there are of packets from somebody.
fn entries_from(host: &Host, from: Socket) -> usize {
    let flows = host.world.flows.borrow();
    flows.keys().filter(|key| key.src == at(from)).count()
}

#[test]
fn a_flood_ends_its_own_flows_and_nobody_elses() {
    for sample in [
        (|client| tcp(SYN, client, h(8_080))) as fn(Socket) -> Sample,
        |client| udp(client, h(8_080)),
    ] {
        let mut host = Host::with_8080();
        host.world.opening_capacity = 16;
        // A client's own, confirmed before anybody else comes.
        host.send(UPLINK_IN, &tcp(SYN, r(1), h(8_080)));
        host.send(C1_PORT, &tcp(SYN | ACK, c1(80), r(1)));
        host.send(UPLINK_IN, &tcp(ACK, r(1), h(8_080)));
        host.send(UPLINK_IN, &udp(r(2), h(8_080)));
        host.send(C1_PORT, &udp(c1(80), r(2)));
        host.send(UPLINK_IN, &udp(r(2), h(8_080)));
        // A container's, unanswered, is no concern of theirs.
        host.send(C2_PORT, &udp(c2(1), r(53)));
        for number in 0..1_000 {
            host.send(UPLINK_IN, &sample(flooder(number)));
        }
        assert_eq!(
            entries_from(&host, r(0)),
            3,
            "two of its own, and the answers to c2"
        );
        assert_eq!(entries_from(&host, c2(0)), 1);
        assert_eq!(
            host.world.flows.borrow().len(),
            2 * (3 + 16),
            "three that stay, and its share"
        );
        assert_eq!(load(&host, PayerRole::Container, at(c1(0))), 2 + 16);
        // What was confirmed goes on as it was.
        host.send(UPLINK_IN, &tcp(ACK, r(1), h(8_080)));
        host.send(C1_PORT, &udp(c1(80), r(2)));
    }
}

#[test]
fn who_has_made_room_comes_back_with_the_next_packet() {
    let mut host = Host::with_8080();
    host.world.opening_capacity = 1;
    host.send(UPLINK_IN, &tcp(SYN, flooder(1), h(8_080)));
    host.send(UPLINK_IN, &tcp(SYN, flooder(2), h(8_080)));
    assert_eq!(host.world.flows.borrow().len(), 2);
    // The container's answer finds no flow; the client asks again.
    host.refuses(C1_PORT, &tcp(SYN | ACK, c1(80), flooder(1)), Reason::MidFlow);
    host.send(UPLINK_IN, &tcp(SYN, flooder(1), h(8_080)));
    host.send(C1_PORT, &tcp(SYN | ACK, c1(80), flooder(1)));
    assert_eq!(host.world.flows.borrow().len(), 2);
    assert_eq!(load(&host, PayerRole::Source, at(flooder(0))), 1);
    assert_eq!(load(&host, PayerRole::Container, at(c1(0))), 1);
}
