//! How addresses, interfaces and published ports are written.

use std::{fmt::Display, net::IpAddr};

use netmap_common::maps::{IfIndex, Ip, Protocol, Rule};

use super::family::Family;
use crate::dataplane::interface_name;

/// An address as people and JSON have it; a mapped one of IPv4 as that.
pub(super) fn ip<A: Ip>(address: A) -> IpAddr {
    let address: IpAddr = address.into();
    address.to_canonical()
}

/// An interface's name, or its number where it is gone.
pub(super) fn name(index: IfIndex) -> String {
    interface_name(index).unwrap_or_else(|_| format!("interface {}", index.0))
}

/// Where a rule is published, as `netmap publish` writes it: `8080/tcp`, `192.0.2.1:8000-8009/udp`.
pub(super) fn spec<A: Family>(rule: &Rule<A>) -> String {
    let protocol = Protocol::from_number(rule.protocol).map_or("", Protocol::name);
    let ports = range(rule.host_port.0, rule.length);
    let host: IpAddr = rule.host.into();
    let is_v4 = A::BITS == 32;
    match (rule.host == A::ANY, is_v4) {
        (true, true) => format!("0.0.0.0:{ports}/{protocol}"),
        (true, false) => format!("[::]:{ports}/{protocol}"),
        (false, true) => format!("{host}:{ports}/{protocol}"),
        (false, false) => format!("[{host}]:{ports}/{protocol}"),
    }
}

/// As in `8000-8009`, or `8080`.
pub(super) fn range(first: u16, length: u16) -> impl Display {
    match length {
        0 | 1 => first.to_string(),
        length => format!("{first}-{}", first.saturating_add(length - 1)),
    }
}
