//! What the kernel was told about forwarding and filtering.

use std::{collections::BTreeSet, fs, path::Path};

use super::Finding;
use crate::dataplane::{Attachment, Place};

/// The loopback interface, of which these settings mean nothing.
const LOOPBACK: &str = "lo";

/// What of it does not fit the interfaces that netmap has.
pub(super) fn examine(attachments: &[Attachment]) -> Vec<Finding> {
    let uplinks = named(attachments, "uplink");
    let bridges = named(attachments, "bridge");
    let mut findings = Vec::new();
    if read("ipv4/ip_forward").as_deref() == Some("0") {
        findings.push(Finding {
            id: "ip-forward",
            found: "net.ipv4.ip_forward is 0".to_owned(),
            means: "this host does not forward IPv4: containers do not reach the outside (`netmap stats` counts forwarding-off)",
            mend: "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        });
    }
    if read("ipv6/conf/all/forwarding").as_deref() == Some("0")
        && let Some(bridge) = bridges.iter().find(|bridge| has_ipv6(bridge))
    {
        findings.push(Finding {
            id: "ipv6-forwarding",
            found: format!("net.ipv6.conf.all.forwarding is 0, and {bridge} has an address of IPv6"),
            means: "this host does not forward IPv6: containers do not reach the outside by it. Where an uplink has its address \
                by router advertisements, set its accept_ra to 2 first, for a router does not listen to others",
            mend: "sysctl -w net.ipv6.conf.all.forwarding=1".to_owned(),
        });
    }
    findings.extend(interfaces("ipv4/conf").into_iter().filter_map(|interface| {
        let is_on = read(&format!("ipv4/conf/{interface}/route_localnet")).as_deref() == Some("1");
        is_on.then(|| Finding {
            id: "route-localnet",
            found: format!("net.ipv4.conf.{interface}.route_localnet is 1"),
            means: "who sits behind this interface, a container, too, may reach what listens on 127.0.0.1 of this host alone \
                (CVE-2020-8558). netmap does not need it",
            mend: format!("sysctl -w net.ipv4.conf.{interface}.route_localnet=0"),
        })
    }));
    if uplinks.len() > 1 {
        findings.extend(uplinks.iter().filter(|uplink| is_strict(uplink)).map(|uplink| Finding {
            id: "rp-filter",
            found: format!("{uplink} filters by strict reverse path (rp_filter 1), and is one of {} uplinks", uplinks.len()),
            means: "clients that the host would answer by another uplink are dropped where the proxy or the host's stack carries \
                them; what netmap's programs carry is not filtered",
            mend: format!("sysctl -w net.ipv4.conf.{uplink}.rp_filter=2"),
        }));
    }
    for name in ["iptables", "ip6tables"] {
        if read(&format!("bridge/bridge-nf-call-{name}")).as_deref() == Some("1") {
            findings.push(Finding {
                id: "br-netfilter",
                found: format!("net.bridge.bridge-nf-call-{name} is 1"),
                means: "frames between containers of one bridge pass the host's firewall, which may drop them and takes time. \
                    netmap does not need it; Kubernetes' kube-proxy does",
                mend: format!("sysctl -w net.bridge.bridge-nf-call-{name}=0"),
            });
        }
    }
    findings
}

/// The interfaces that netmap is attached to in this role.
fn named(attachments: &[Attachment], role: &str) -> BTreeSet<String> {
    attachments
        .iter()
        .filter_map(|attachment| match &attachment.place {
            Place::Interface { name: Some(name), .. } if attachment.place.role() == role => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect()
}

/// The larger one of the interface's own and everybody's counts (Documentation/networking/ip-sysctl.rst).
fn is_strict(interface: &str) -> bool {
    let of = |name: &str| {
        let value = read(&format!("ipv4/conf/{name}/rp_filter"));
        value.and_then(|value| value.parse::<u8>().ok()).unwrap_or(0)
    };
    of("all").max(of(interface)) == 1
}

/// Whether it has an address of IPv6 beside its link-local one.
fn has_ipv6(interface: &str) -> bool {
    let listed = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    listed.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.next().unwrap_or_default();
        fields.last() == Some(interface) && !address.starts_with("fe80")
    })
}

/// Those that have settings, but the loopback.
fn interfaces(folder: &str) -> BTreeSet<String> {
    fs::read_dir(Path::new("/proc/sys/net").join(folder))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != LOOPBACK)
        .collect()
}

fn read(name: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys/net").join(name)).ok()?;
    Some(value.trim().to_owned())
}
