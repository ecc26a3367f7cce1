use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::{PublishSpec, SpecError, check, parse_source, parse_target};
use crate::binding::{Binding, HostPorts, PortSpan, Transport, nobody};

fn span(first: u16, last: u16) -> PortSpan {
    PortSpan::new(first, last).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The bindings of a spec, as they print, each with its allow-list.
fn bound(spec: &str, targets: &[&str], allow: &[&str]) -> Result<Vec<String>, SpecError> {
    let targets: Vec<IpAddr> = targets
        .iter()
        .map(|target| parse_target(target).unwrap())
        .collect();
    let allow: Vec<IpNet> = allow.iter().map(|source| parse_source(source).unwrap()).collect();
    let bindings = spec.parse::<PublishSpec>().unwrap().bind(&targets, &allow)?;
    let print = |binding: &Binding| {
        let allow: Vec<String> = binding.allow.iter().map(ToString::to_string).collect();
        format!("{binding} {}", allow.join(",")).trim_end().to_owned()
    };
    Ok(bindings.iter().map(print).collect())
}

fn refused(spec: &str) -> SpecError {
    spec.parse::<PublishSpec>().unwrap_err()
}

fn refused_published(spec: &str) -> SpecError {
    spec.parse::<HostPorts>().unwrap_err()
}

#[test]
fn a_port_alone_is_tcp_on_every_address_of_both_families() {
    let spec: PublishSpec = "8080:80".parse().unwrap();
    assert_eq!(spec.host_ports.host, None);
    let sides: Vec<_> = spec.host_ports.sides().map(|side| side.to_string()).collect();
    assert_eq!(sides, ["0.0.0.0:8080/tcp", "[::]:8080/tcp"]);
    assert_eq!(spec.host_ports.ports, span(8080, 8080));
    assert_eq!(spec.host_ports.transport, Transport::Tcp);
    assert_eq!(spec.target_ports, span(80, 80));
}

#[test]
fn address_range_and_protocol_are_read() {
    let spec: PublishSpec = "127.0.0.2:20000-29999:30000-39999/udp".parse().unwrap();
    assert_eq!(spec.host_ports.host, Some(ip("127.0.0.2")));
    assert_eq!(spec.host_ports.ports, span(20000, 29999));
    assert_eq!(spec.host_ports.transport, Transport::Udp);
    assert_eq!(spec.target_ports, span(30000, 39999));
    assert_eq!(
        "1:1/TCP".parse::<PublishSpec>().unwrap().host_ports.transport,
        Transport::Tcp
    );
    assert_eq!(
        "1-65535:1-65535"
            .parse::<PublishSpec>()
            .unwrap()
            .target_ports
            .len(),
        65535
    );
}

#[test]
fn the_published_side_is_read_alone() {
    for (text, printed) in [
        ("192.0.2.1:53/udp", "192.0.2.1:53/udp"),
        ("8000-8009", "8000-8009/tcp"),
        ("0.0.0.0:80", "0.0.0.0:80/tcp"),
        ("[::]:80", "[::]:80/tcp"),
        ("[2001:db8::1]:53/udp", "[2001:db8::1]:53/udp"),
    ] {
        let host_ports: HostPorts = text.parse().unwrap();
        assert_eq!(host_ports.to_string(), printed);
    }
}

#[test]
fn ports_that_are_none_are_refused() {
    assert_eq!(refused("0:80"), SpecError::PortOutOfRange("0".into()));
    assert_eq!(refused("80:0"), SpecError::PortOutOfRange("0".into()));
    assert_eq!(refused("65536:80"), SpecError::PortOutOfRange("65536".into()));
    assert_eq!(
        refused("99999999999999999999:80"),
        SpecError::PortOutOfRange("99999999999999999999".into())
    );
    assert_eq!(refused("http:80"), SpecError::NotAPort("http".into()));
    assert_eq!(refused("+80:80"), SpecError::NotAPort("+80".into()));
    assert_eq!(refused(" 80:80"), SpecError::NotAPort(" 80".into()));
    assert_eq!(refused("80:"), SpecError::NoPort);
    assert_eq!(refused(":80"), SpecError::NoPort);
    assert_eq!(refused_published(""), SpecError::NoPort);
    assert_eq!(refused_published("0-10"), SpecError::PortOutOfRange("0".into()));
}

#[test]
fn a_published_port_without_a_container_port_is_refused() {
    assert_eq!(refused("8080"), SpecError::NoContainerPort("8080".into()));
    assert_eq!(refused("8080/udp"), SpecError::NoContainerPort("8080/udp".into()));
    assert_eq!(refused(""), SpecError::NoContainerPort(String::new()));
}

#[test]
fn unpublish_wants_the_published_side_alone() {
    assert_eq!(
        refused_published("127.0.0.1:8080:80/udp").to_string(),
        "\"127.0.0.1:8080:80/udp\" names a container port too; name the published side alone: 127.0.0.1:8080/udp"
    );
    assert!(matches!(
        refused_published("8080:80"),
        SpecError::ContainerSide(..)
    ));
}

#[test]
fn empty_and_reversed_ranges_are_refused() {
    assert_eq!(refused("8000-:80"), SpecError::OpenRange("8000-".into()));
    assert_eq!(refused("-8000:80"), SpecError::OpenRange("-8000".into()));
    assert_eq!(refused("8009-8000:80-89"), SpecError::ReversedRange(8009, 8000));
    assert_eq!(refused("8000-8009:89-80"), SpecError::ReversedRange(89, 80));
    assert_eq!(refused("1-2-3:1-3"), SpecError::NotAPort("2-3".into()));
}

#[test]
fn ranges_of_different_length_are_refused_with_a_hint() {
    let error = refused("8000-8009:80");
    assert!(matches!(error, SpecError::DifferentLength { .. }));
    assert_eq!(
        error.to_string(),
        "8000-8009 is 10 ports but 80 is 1 port; write 8000-8009:80-89"
    );
    assert_eq!(
        refused("8000:80-89").to_string(),
        "8000 is 1 port but 80-89 is 10 ports; write 8000:80"
    );
    assert_eq!(
        refused("1-65535:2").to_string(),
        "1-65535 is 65535 ports but 2 is 1 port; name as many ports on both sides"
    );
}

#[test]
fn unknown_protocols_are_refused() {
    assert_eq!(refused("80:80/sctp"), SpecError::UnknownProtocol("sctp".into()));
    assert_eq!(refused("80:80/"), SpecError::UnknownProtocol(String::new()));
    assert_eq!(
        refused("80:80/tcp/udp"),
        SpecError::UnknownProtocol("tcp/udp".into())
    );
    assert_eq!(
        refused_published("80/icmp"),
        SpecError::UnknownProtocol("icmp".into())
    );
}

#[test]
fn bad_host_addresses_are_refused() {
    assert_eq!(
        refused("localhost:80:80"),
        SpecError::BadAddress("localhost".into())
    );
    assert_eq!(
        refused("256.0.0.1:80:80"),
        SpecError::BadAddress("256.0.0.1".into())
    );
    assert_eq!(refused(":80:80"), SpecError::BadAddress(String::new()));
    assert_eq!(refused("80:80:80"), SpecError::BadAddress("80".into()));
    assert_eq!(refused("224.0.0.1:80:80"), SpecError::NotAHost(ip("224.0.0.1")));
    assert_eq!(
        refused("255.255.255.255:80:80"),
        SpecError::NotAHost(ip("255.255.255.255"))
    );
    assert_eq!(refused("0.1.2.3:80:80"), SpecError::NotAHost(ip("0.1.2.3")));
    assert_eq!(
        refused_published("localhost:80"),
        SpecError::BadAddress("localhost".into())
    );
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    for (spec, host) in [
        ("[::]:80:80", "::"),
        ("[::1]:80:80", "::1"),
        ("[2001:db8::1]:80:80/tcp", "2001:db8::1"),
    ] {
        let spec: PublishSpec = spec.parse().unwrap();
        assert_eq!(spec.host_ports.host, Some(ip(host)));
        assert_eq!(
            (spec.host_ports.ports, spec.target_ports),
            (span(80, 80), span(80, 80))
        );
    }
    assert_eq!(
        refused("fd00::2:80:80"),
        SpecError::Unbracketed("fd00::2".parse().unwrap())
    );
    assert_eq!(
        refused_published("::1:80").to_string(),
        "::1 is an IPv6 address; write it in brackets, as in [::1]:8080"
    );
    assert_eq!(refused("[x]:80:80"), SpecError::BadAddress("x".into()));
    for spec in ["[::1", "[::1]", "[::1]80:80", "[192.0.2.1]:80:80"] {
        assert_eq!(refused(spec), SpecError::BadAddress(spec.into()));
    }
    assert_eq!(refused("[::1]:80"), SpecError::NoContainerPort("[::1]:80".into()));
    assert_eq!(refused("[::1]:80:80:80"), SpecError::NotAPort("80:80".into()));
}

#[test]
fn ipv6_addresses_that_no_host_has_alone_are_refused() {
    assert_eq!(refused("[ff02::1]:80:80"), SpecError::NotAHost(ip("ff02::1")));
    assert_eq!(refused("[fe80::1]:80:80"), SpecError::LinkLocal("fe80::1".into()));
    assert_eq!(
        refused("[fe80::1%eth0]:80:80"),
        SpecError::LinkLocal("fe80::1%eth0".into())
    );
    assert_eq!(
        refused("[::ffff:192.0.2.1]:80:80").to_string(),
        "::ffff:192.0.2.1 is an IPv4 address; write 192.0.2.1"
    );
}

#[test]
fn ipv6_addresses_that_no_container_has_are_refused() {
    assert_eq!(parse_target("fd00::2"), Ok(ip("fd00::2")));
    assert_eq!(parse_target("::"), Err(SpecError::Unspecified(ip("::"))));
    assert_eq!(parse_target("::1"), Err(SpecError::Loopback(ip("::1"))));
    assert_eq!(parse_target("ff02::1"), Err(SpecError::NotUnicast(ip("ff02::1"))));
    assert_eq!(
        parse_target("fe80::2"),
        Err(SpecError::LinkLocal("fe80::2".into()))
    );
    assert_eq!(
        parse_target("fe80::2%br0"),
        Err(SpecError::LinkLocal("fe80::2%br0".into()))
    );
    assert!(matches!(
        parse_target("::ffff:10.0.0.1"),
        Err(SpecError::Mapped(..))
    ));
}

#[test]
fn a_port_without_an_address_is_published_in_both_families() {
    assert_eq!(
        bound("8080:80", &["172.30.1.2"], &[]).unwrap(),
        ["0.0.0.0:8080->172.30.1.2:80/tcp", "[::]:8080->172.30.1.2:80/tcp"]
    );
    for targets in [["172.30.1.2", "fd00::2"], ["fd00::2", "172.30.1.2"]] {
        assert_eq!(
            bound("8080-8081:80-81/udp", &targets, &[]).unwrap(),
            [
                "0.0.0.0:8080-8081->172.30.1.2:80-81/udp",
                "[::]:8080-8081->[fd00::2]:80-81/udp"
            ]
        );
    }
    assert_eq!(
        bound("8080:80", &["fd00::2"], &[]).unwrap(),
        ["[::]:8080->[fd00::2]:80/tcp"]
    );
}

#[test]
fn a_port_of_an_address_is_published_in_its_family() {
    for (spec, target, printed) in [
        ("0.0.0.0:8080:80", "172.30.1.2", "0.0.0.0:8080->172.30.1.2:80/tcp"),
        ("[::]:8080:80", "fd00::2", "[::]:8080->[fd00::2]:80/tcp"),
        (
            "[2001:db8::1]:8080:80",
            "172.30.1.2",
            "[2001:db8::1]:8080->172.30.1.2:80/tcp",
        ),
        ("[::1]:8080:80", "fd00::2", "[::1]:8080->[fd00::2]:80/tcp"),
    ] {
        assert_eq!(bound(spec, &[target], &[]).unwrap(), [printed]);
    }
}

#[test]
fn targets_that_nothing_would_use_are_refused() {
    let sentence = |spec, targets: &[&str]| bound(spec, targets, &[]).unwrap_err().to_string();
    let unreachable = "192.0.2.1 is an IPv4 address, from which no connection leads to fd00::2; give an IPv4 address of the container";
    assert_eq!(sentence("192.0.2.1:8080:80", &["fd00::2"]), unreachable);
    assert_eq!(
        sentence("192.0.2.1:8080:80", &["fd00::2", "172.30.1.2"]),
        unreachable
    );
    assert_eq!(
        sentence("[::]:8080:80", &["fd00::2", "172.30.1.2"]),
        "[::] is published for IPv6 alone; 172.30.1.2 would not be used beside fd00::2"
    );
    assert_eq!(
        bound("8080:80", &["172.30.1.2", "172.30.1.3"], &[]),
        Err(SpecError::TwoTargets(ip("172.30.1.2"), ip("172.30.1.3")))
    );
    assert!(matches!(
        bound("8080:80", &["fd00::2", "fd00::3"], &[]),
        Err(SpecError::TwoTargets(..))
    ));
    assert_eq!(bound("8080:80", &[], &[]), Err(SpecError::NoTarget));
}

#[test]
fn sources_go_to_their_family_and_a_family_without_any_admits_nobody() {
    let c1 = &["172.30.1.2"];
    assert_eq!(
        bound("80:80", c1, &["10.0.0.0/8", "fd00::/8", "192.0.2.7"]).unwrap(),
        [
            "0.0.0.0:80->172.30.1.2:80/tcp 10.0.0.0/8,192.0.2.7/32",
            "[::]:80->172.30.1.2:80/tcp fd00::/8"
        ]
    );
    assert_eq!(
        bound("80:80", c1, &["10.0.0.0/8"]).unwrap(),
        [
            "0.0.0.0:80->172.30.1.2:80/tcp 10.0.0.0/8",
            "[::]:80->172.30.1.2:80/tcp ::/128"
        ]
    );
    assert_eq!(
        bound("80:80", c1, &["::/0"]).unwrap(),
        [
            "0.0.0.0:80->172.30.1.2:80/tcp 0.0.0.0/32",
            "[::]:80->172.30.1.2:80/tcp ::/0"
        ]
    );
    assert_eq!(
        bound("80:80", &["fd00::2"], &["10.0.0.0/8", "fd00::/8"]).unwrap(),
        ["[::]:80->[fd00::2]:80/tcp fd00::/8"]
    );
    for (spec, target, source) in [
        ("80:80", "fd00::2", "10.0.0.0/8"),
        ("[::]:80:80", "172.30.1.2", "10.0.0.0/8"),
        ("0.0.0.0:80:80", "172.30.1.2", "fd00::/8"),
    ] {
        assert!(
            matches!(
                bound(spec, &[target], &[source]),
                Err(SpecError::SourceFamily { .. })
            ),
            "{spec}"
        );
    }
}

#[test]
fn addresses_that_no_container_has_are_refused() {
    assert_eq!(parse_target("172.30.1.2"), Ok(ip("172.30.1.2")));
    assert_eq!(parse_target("web"), Err(SpecError::BadAddress("web".into())));
    assert_eq!(
        parse_target("0.0.0.0"),
        Err(SpecError::Unspecified(ip("0.0.0.0")))
    );
    assert_eq!(
        parse_target("127.0.0.1"),
        Err(SpecError::Loopback(ip("127.0.0.1")))
    );
    assert_eq!(
        parse_target("239.1.1.1"),
        Err(SpecError::NotUnicast(ip("239.1.1.1")))
    );
    assert_eq!(
        parse_target("255.255.255.255"),
        Err(SpecError::NotUnicast(ip("255.255.255.255")))
    );
}

#[test]
fn an_allowed_source_is_a_network_or_one_address() {
    assert_eq!(parse_source("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(parse_source("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    assert_eq!(
        parse_source("10.0.0.0/33"),
        Err(SpecError::BadNetwork("10.0.0.0/33".into()))
    );
    assert_eq!(parse_source(""), Err(SpecError::BadNetwork(String::new())));
    assert_eq!(parse_source("fd00::1/8").unwrap().to_string(), "fd00::/8");
    assert_eq!(
        parse_source("2001:db8::7").unwrap().to_string(),
        "2001:db8::7/128"
    );
    assert_eq!(parse_source("fe80::/10").unwrap().to_string(), "fe80::/10");
    assert!(matches!(
        parse_source("::ffff:10.0.0.0/104"),
        Err(SpecError::Mapped(..))
    ));
}

#[test]
fn a_binding_from_elsewhere_is_checked_alike() {
    let spec: PublishSpec = "8080:80".parse().unwrap();
    let good = spec.bind(&[ip("172.30.1.2")], &[]).unwrap().remove(0);
    assert_eq!(good.to_string(), "0.0.0.0:8080->172.30.1.2:80/tcp");
    let mut bad = good.clone();
    bad.target_ports = span(80, 81);
    assert!(matches!(check(&bad), Err(SpecError::DifferentLength { .. })));
    let mut bad = good.clone();
    bad.target = Ipv4Addr::LOCALHOST.into();
    assert_eq!(check(&bad), Err(SpecError::Loopback(ip("127.0.0.1"))));
    let mut bad = good.clone();
    bad.published.host = Ipv4Addr::BROADCAST.into();
    assert_eq!(check(&bad), Err(SpecError::NotAHost(ip("255.255.255.255"))));
    let mut bad = good.clone();
    bad.target = ip("fd00::2");
    assert!(matches!(check(&bad), Err(SpecError::OtherFamily { .. })));
    let mut bad = good.clone();
    bad.allow = vec![nobody(ip("::"))];
    assert!(matches!(check(&bad), Err(SpecError::SourceFamily { .. })));
    let mut across = good;
    across.published.host = ip("::");
    across.allow = vec![nobody(ip("::"))];
    assert_eq!(check(&across), Ok(()));
    across.allow = vec!["::ffff:10.0.0.0/104".parse().unwrap()];
    assert!(matches!(check(&across), Err(SpecError::Mapped(..))));
}

fn any_host() -> impl Strategy<Value = Option<IpAddr>> {
    let ipv4 = (1u8..=223, any::<[u8; 3]>()).prop_map(|(net, [b, c, d])| Ipv4Addr::new(net, b, c, d).into());
    // 2000::/3, global unicast.
    let ipv6 = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits >> 3 | 1 << 125).into());
    prop_oneof![
        Just(None),
        Just(Some(Ipv4Addr::UNSPECIFIED.into())),
        Just(Some(Ipv6Addr::UNSPECIFIED.into())),
        ipv4.prop_map(Some),
        ipv6.prop_map(Some)
    ]
}

fn any_host_ports() -> impl Strategy<Value = (HostPorts, u16)> {
    (
        1..=u16::MAX,
        1..=u16::MAX,
        1..=u16::MAX,
        any_host(),
        any::<bool>(),
    )
        .prop_map(|(a, b, target, host, udp)| {
            let (first, last) = (a.min(b), a.max(b));
            let host_ports = HostPorts {
                host,
                ports: span(first, last),
                transport: if udp { Transport::Udp } else { Transport::Tcp },
            };
            (host_ports, target.min(u16::MAX - (last - first)).max(1))
        })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back((host_ports, target) in any_host_ports()) {
        let printed = host_ports.to_string();
        prop_assert_eq!(printed.parse::<HostPorts>(), Ok(host_ports));
        let target_ports = span(target, target + (host_ports.ports.len() - 1));
        let text = printed.replace('/', &format!(":{target_ports}/"));
        prop_assert_eq!(text.parse::<PublishSpec>(), Ok(PublishSpec { host_ports, target_ports }));
    }

    #[test]
    fn no_text_panics(text in "[0-9a-z:./\\[\\]%-]{0,24}") {
        let _parsed = (text.parse::<PublishSpec>(), text.parse::<HostPorts>(), parse_target(&text));
    }

    #[test]
    fn a_network_reads_back(address in any::<u32>(), length in 0u8..=32) {
        let network = Ipv4Net::new(Ipv4Addr::from_bits(address), length).unwrap().trunc();
        prop_assert_eq!(parse_source(&network.to_string()), Ok(network.into()));
    }

    #[test]
    fn an_ipv6_network_reads_back(address in (1u128 << 96).., length in 32u8..=128) {
        let network = Ipv6Net::new(Ipv6Addr::from_bits(address), length).unwrap().trunc();
        prop_assert_eq!(parse_source(&network.to_string()), Ok(network.into()));
    }
}
