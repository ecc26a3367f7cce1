//! IPv6 in specs, and which binding is of which family.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    super::{PublishSpec, SpecError, parse_source, parse_target},
    ip, refused, refused_published, span,
};
use crate::binding::Binding;

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
