//! What a configuration names that this host does not have, now: it may come yet.

use std::{collections::BTreeSet, net::IpAddr};

use super::Config;
use crate::outlets::Outlet;

/// A sentence each, in the order of the keys.
pub fn absences(config: &Config) -> Vec<String> {
    let host = Host::read();
    let mut absences = Vec::new();
    let mut seen = BTreeSet::new();
    for (key, name) in interfaces(config) {
        if !host.interfaces.contains(&name) && seen.insert((key, name.clone())) {
            let then = match key {
                "uplinks" => "netmap does not start before it is",
                _ => "netmap waits for it",
            };
            absences.push(format!("{key}: there is no interface {name} here; {then}"));
        }
    }
    let missing = config.egress.iter().map(|choice| choice.address);
    for address in missing.filter(|address| !host.addresses.contains(address)) {
        absences.push(format!(
            "egress: {address} is no address of this host; who would leave by it has to wait"
        ));
    }
    for (key, path) in [("docker", &config.docker), ("cgroup", &config.cgroup)] {
        if let Some(path) = path.as_ref().filter(|path| !path.exists()) {
            absences.push(format!("{key}: there is no {} here", path.display()));
        }
    }
    absences
}

/// Every interface that is named, and where.
fn interfaces(config: &Config) -> Vec<(&'static str, String)> {
    let plain = |key, names: &[crate::options::InterfaceName]| -> Vec<_> {
        names.iter().map(|name| (key, name.to_string())).collect()
    };
    let mut named = plain("uplinks", &config.uplinks);
    named.extend(plain("bridges", &config.bridges));
    let outlets = config.publish_on.iter().filter_map(|outlet| match outlet {
        Outlet::Uplink(name) => Some(("publish_on", name.to_string())),
        Outlet::Addresses(_) => None,
    });
    named.extend(outlets);
    let bridge =
        |key, bridge: Option<&crate::options::InterfaceName>| bridge.map(|name| (key, name.to_string()));
    named.extend(
        config
            .direct
            .iter()
            .filter_map(|rule| bridge("direct", rule.bridge.as_ref())),
    );
    named.extend(plain("trusted", &config.trusted));
    let owners = config.own_addresses.iter();
    named.extend(owners.filter_map(|choice| bridge("own_addresses", choice.bridge.as_ref())));
    named.extend(
        config
            .nat
            .iter()
            .filter_map(|choice| bridge("nat", choice.bridge.as_ref())),
    );
    named.extend(
        config
            .egress
            .iter()
            .filter_map(|choice| bridge("egress", choice.bridge.as_ref())),
    );
    named
}

/// What this network namespace has.
#[derive(Default)]
struct Host {
    interfaces: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Host {
    fn read() -> Self {
        let mut host = Self::default();
        // Without its list nothing would be there, which says as much.
        for found in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let address = found.address.and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
            });
            host.addresses.extend(address);
            host.interfaces.insert(found.interface_name);
        }
        host
    }
}
