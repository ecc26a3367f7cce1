//! Which rule a packet finds: any address or one, ranges, shared ports, allow-lists.

use super::*;

fn any(port: u16) -> Socket {
    socket(IpAddr::UNSPECIFIED, port)
}

#[test]
fn a_rule_for_any_address_takes_packets_to_this_host_only() {
    let host = Host::publishing(Protocol::Udp, any(53), c1(53));
    for to in [h(53), h2(53), gw1(53), gw2(53)] {
        let question = udp(r(40_000 + to.port()), to);
        assert_eq!(host.send(UPLINK_IN, &question).1.dst, c1(53));
        host.world.flows.borrow_mut().clear();
    }
    // Transit, and the broadcast address of the uplink's subnet.
    for to in address::TRANSIT {
        host.refuses(UPLINK_IN, &udp(r(40_000), socket(to, 53)), Reason::Transit);
    }
}

#[test]
fn a_rule_for_one_address_takes_no_other() {
    let host = Host::publishing(Protocol::Tcp, h2(8_080), c1(80));
    let syn = tcp(SYN, r(40_000), h2(8_080));
    host.carries(
        UPLINK_IN,
        &syn,
        C1_PEER,
        Reason::PublishedIn,
        &syn.to(c1(80)).hop(),
    );
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)), Reason::ToHost);
    host.refuses(C2_PORT, &tcp(SYN, c2(40_000), gw2(8_080)), Reason::ToHost);
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    let mut host = Host::publishing(Protocol::Tcp, h(8_080), c1(80));
    host.refuses(UPLINK_IN, &udp(r(40_000), h(8_080)), Reason::ToHost);
    host.world.publish(published(Protocol::Udp, h(8_080), c1b(80)));
    assert_eq!(host.send(UPLINK_IN, &udp(r(40_000), h(8_080))).1.dst, c1b(80));
    assert_eq!(host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080))).1.dst, c1(80));
}

#[test]
fn two_addresses_can_publish_one_port_to_two_containers() {
    let mut host = Host::publishing(Protocol::Tcp, h(8_080), c1(80));
    host.world.publish(published(Protocol::Tcp, h2(8_080), c2(8_000)));
    for (asked, inside, verdict) in [(h(8_080), c1(80), C1_PEER), (h2(8_080), c2(8_000), C2_PEER)] {
        let syn = tcp(SYN, r(40_000), asked);
        host.carries(
            UPLINK_IN,
            &syn,
            verdict,
            Reason::PublishedIn,
            &syn.to(inside).hop(),
        );
    }
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), gw1(8_080)), Reason::ToHost);
}

#[test]
fn a_range_keeps_each_ports_place_in_it() {
    let mut host = Host::new();
    host.world.publish(Rule {
        length: 10_000,
        ..published(Protocol::Udp, any(20_000), c1(30_000))
    });
    for offset in [0, 1, 5_000, 9_998, 9_999] {
        let question = udp(r(40_000), h(20_000 + offset));
        let inside = question.to(c1(30_000 + offset)).hop();
        host.carries(UPLINK_IN, &question, C1_PEER, Reason::PublishedIn, &inside);
        let answer = udp(c1(30_000 + offset), r(40_000));
        let outside = answer.from(h(20_000 + offset)).hop();
        host.carries(C1_PORT, &answer, UPLINK_NEIGH, Reason::PublishedReply, &outside);
    }
    host.refuses(UPLINK_IN, &udp(r(40_000), h(19_999)), Reason::ToHost);
    host.refuses(UPLINK_IN, &udp(r(40_000), h(30_000)), Reason::ToHost);
}

#[test]
fn a_range_reaches_up_to_the_last_port_there_is() {
    let mut host = Host::new();
    host.world.publish(Rule {
        length: 2,
        ..published(Protocol::Tcp, any(65_534), c1(1))
    });
    for (asked, inside) in [(65_534, 1), (65_535, 2)] {
        let syn = tcp(SYN, r(40_000), h(asked));
        host.carries(
            UPLINK_IN,
            &syn,
            C1_PEER,
            Reason::PublishedIn,
            &syn.to(c1(inside)).hop(),
        );
    }
}

#[test]
fn a_slot_that_names_a_rule_without_the_port_publishes_nothing() {
    // Between two steps of the daemon, or when it was killed there.
    let mut host = Host::publishing(Protocol::Tcp, h(8_080), c1(80));
    let slot = host.world.slots.values().next().copied().unwrap();
    host.world.slots.insert(8_081, slot);
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_081)), Reason::ToHost);
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_079)), Reason::ToHost);
}

#[test]
fn an_allow_list_admits_its_prefixes_and_drops_the_rest() {
    let mut host = Host::new();
    let id = host.world.publish(Rule {
        flags: Rule::ALLOW_LIST,
        ..published(Protocol::Tcp, h(8_080), c1(80))
    });
    let syn = tcp(SYN, r(40_000), h(8_080));
    host.refuses(UPLINK_IN, &syn, Reason::NotAllowed);
    let (prefix, length) = address::NEAR_R;
    host.world.allow.push((id, at(socket(prefix, 0)), length));
    host.carries(
        UPLINK_IN,
        &syn,
        C1_PEER,
        Reason::PublishedIn,
        &syn.to(c1(80)).hop(),
    );
    host.refuses(
        UPLINK_IN,
        &syn.from(socket(address::FAR_FROM_R, 40_000)),
        Reason::NotAllowed,
    );
    // Containers are sources like any other.
    host.refuses(C2_PORT, &tcp(SYN, c2(40_000), h(8_080)), Reason::NotAllowed);
}

#[test]
fn an_allow_list_is_one_rules_own() {
    let mut host = Host::new();
    for port in [8_080, 8_081] {
        host.world.publish(Rule {
            flags: Rule::ALLOW_LIST,
            ..published(Protocol::Tcp, h(port), c1(port))
        });
    }
    host.world.allow.push((RuleId(2), at(r(0)), Address::BITS));
    host.refuses(UPLINK_IN, &tcp(SYN, r(40_000), h(8_080)), Reason::NotAllowed);
    host.send(UPLINK_IN, &tcp(SYN, r(40_000), h(8_081)));
}
