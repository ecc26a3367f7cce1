//! The best that nftables can do: one map of published ports, connection tracking, masquerade.

use anyhow::Result;
use netmap_tests::{Lab, command, topology::C1};

use crate::ports::{Port, Ports};

/// Loads table and map at once.
pub(super) fn install(lab: &Lab, ports: Ports) -> Result<()> {
    let elements: Vec<_> = ports.all().map(element).collect();
    lab.host.nft(&format!(
        "table ip bench {{
           map published {{
             type inet_proto . inet_service : ipv4_addr . inet_service
             elements = {{ {} }}
           }}
           chain prerouting {{
             type nat hook prerouting priority dstnat; policy accept;
             fib daddr type local dnat ip to meta l4proto . th dport map @published
           }}
           chain output {{
             type nat hook output priority -100; policy accept;
             ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to meta l4proto . th dport map @published
           }}
           chain postrouting {{
             type nat hook postrouting priority srcnat; policy accept;
             ip saddr 172.30.1.0/24 oifname != \"br1\" masquerade
           }}
           chain forward {{
             type filter hook forward priority filter; policy drop;
             ct state established,related accept
             ct status dnat accept
             iifname \"br1\" accept
           }}
         }}\n",
        elements.join(", ")
    ))
}

/// Adds one port.
pub(super) fn publish(lab: &Lab, port: Port) -> Result<()> {
    change(lab, "add", &element(port))
}

/// Removes one port.
pub(super) fn unpublish(lab: &Lab, port: Port) -> Result<()> {
    change(lab, "delete", &key(port))
}

fn change(lab: &Lab, verb: &str, element: &str) -> Result<()> {
    let line = format!("{verb} element ip bench published {{ {element} }}");
    command::run(lab.host.command("nft").arg(line)).map(drop)
}

fn element(port: Port) -> String {
    format!("{} : {C1} . {}", key(port), port.container)
}

fn key(port: Port) -> String {
    format!("{} . {}", port.transport.name(), port.host)
}
