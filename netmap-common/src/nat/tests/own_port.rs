//! Row 6, a container that asks its own published port, and neighbours that cannot see each other.

use super::*;

#[test]
fn a_container_reaches_its_own_published_port_and_sees_the_gateway() {
    let host = Host::with_8080();
    let syn = tcp(SYN, c1(30_000), h(8_080));
    let inside = syn.from(gw1(30_000)).to(c1(80)).hop();
    host.carries(C1_PORT, &syn, C1_PEER, Reason::OwnPortIn, &inside);
    let answer = tcp(SYN | ACK, c1(80), gw1(30_000));
    let back = answer.from(h(8_080)).to(c1(30_000)).hop();
    host.carries(C1_PORT, &answer, C1_PEER, Reason::OwnPortReply, &back);
}

#[test]
fn the_gateways_ports_are_the_hosts_so_they_come_from_the_pool() {
    let mut host = Host::with_8080();
    let question = udp(c1(40_000), h(8_080));
    let (_, inside) = host.send(C1_PORT, &question);
    let port = Port(inside.src.port());
    assert!(
        host.world.settings.pool.iter().any(|range| range.contains(port)),
        "{port:?}"
    );
    // A socket of the host that talks to the container from there.
    let mut host_again = Host::with_8080();
    let taken = key(Protocol::Udp, c1(80), gw1(inside.src.port()));
    host_again.world.sockets.insert(taken, HostSocket::Connected);
    assert_ne!(host_again.send(C1_PORT, &question).1.src, inside.src);
    host.world.reserved.push((Protocol::Udp, inside.src.port()));
    host.world.flows.borrow_mut().clear();
    assert_ne!(host.send(C1_PORT, &question).1.src, inside.src);
}

#[test]
fn isolated_neighbours_meet_through_the_gateways_address() {
    let mut host = Host::with_8080();
    isolate(&mut host, C1_PORT.1, at(c1(0)));
    isolate(&mut host, C1B_PORT.1, at(c1b(0)));
    let question = udp(c1b(30_000), h(8_080));
    let inside = question.from(gw1(30_000)).to(c1(80)).hop();
    host.carries(C1B_PORT, &question, C1_PEER, Reason::OwnPortIn, &inside);
    let answer = udp(c1(80), gw1(30_000));
    let back = answer.from(h(8_080)).to(c1b(30_000)).hop();
    host.carries(C1_PORT, &answer, C1B_PEER, Reason::OwnPortReply, &back);
}

#[test]
fn one_isolated_port_or_two_bridges_keep_the_clients_address() {
    let mut host = Host::with_8080();
    isolate(&mut host, C1_PORT.1, at(c1(0)));
    isolate(&mut host, C2_PORT.1, at(c2(0)));
    for (place, client) in [(C1B_PORT, c1b(30_000)), (C2_PORT, c2(30_000))] {
        let question = udp(client, h(8_080));
        host.carries(
            place,
            &question,
            C1_PEER,
            Reason::HairpinIn,
            &question.to(c1(80)).hop(),
        );
    }
}

fn isolate(host: &mut Host, port: IfIndex, address: Address) {
    host.world.interfaces.get_mut(&port).unwrap().flags = Interface::ISOLATED;
    host.world.endpoints.get_mut(&address).unwrap().flags = Interface::ISOLATED;
}
