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
