//! The lab's addresses of IPv6, for tests that need them: one more for every machine and bridge.

use std::net::{Ipv6Addr, SocketAddrV6};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;

use crate::{Lab, Namespace, wait_for};

/// The remote host's address.
pub const REMOTE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 3);
/// The remote host's second address, there with [`Options::second_remote`](crate::Options::second_remote).
pub const REMOTE2: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 4);
/// The host's address on its uplink.
pub const HOST: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 2);
/// The first bridge's address.
pub const GATEWAY1: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
/// The second bridge's address.
pub const GATEWAY2: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);
/// The container behind published ports, on the first bridge.
pub const C1: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2);
/// Its neighbour on the same bridge.
pub const C1B: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 3);
/// The container on the second bridge.
pub const C2: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2);
/// The host's link-local address on its uplink.
pub const HOST_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x5002);
/// The remote host's link-local address.
pub const REMOTE_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x5003);

/// Gives them to the machines of `lab`, which the host routes between.
pub fn add(lab: &Lab) -> Result<()> {
    let forwarding = if lab.options().forwarding { "1" } else { "0" };
    lab.host.sysctl("ipv6/conf/all/forwarding", forwarding)?;
    // Nobody else has these addresses, so that nobody need be asked.
    lab.host.batch(&format!(
        "addr add {HOST}/64 dev up0 nodad\n\
         addr add {HOST_LINK}/64 dev up0 nodad\n\
         route add default via {REMOTE} dev up0\n",
    ))?;
    // Deprecated: only who binds it sends from it.
    let second = if lab.options().second_remote {
        format!("addr add {REMOTE2}/64 dev eth0 nodad preferred_lft 0\n")
    } else {
        String::new()
    };
    lab.remote.batch(&format!(
        "addr add {REMOTE}/64 dev eth0 nodad\n\
         {second}\
         addr add {REMOTE_LINK}/64 dev eth0 nodad\n\
         route add fd00:1::/64 via {HOST}\n\
         route add fd00:2::/64 via {HOST}\n",
    ))?;
    if !lab.options().bare {
        add_containers(lab)?;
    }
    wait_for("the host routes to its containers", || {
        let routes = lab.host.line("ip -6 route show table all")?;
        let is_up = !routes.contains("linkdown") && !lab.host.line("ip -6 addr show")?.contains("tentative");
        Ok(is_up.then_some(()))
    })
}

fn add_containers(lab: &Lab) -> Result<()> {
    lab.host.batch(&format!(
        "addr add {GATEWAY1}/64 dev br1 nodad\n\
         addr add {GATEWAY2}/64 dev br2 nodad\n",
    ))?;
    for (container, address, gateway) in [
        (&lab.c1, C1, GATEWAY1),
        (&lab.c1b, C1B, GATEWAY1),
        (&lab.c2, C2, GATEWAY2),
    ] {
        container.batch(&format!(
            "addr add {address}/64 dev eth0 nodad\n\
             route add default via {gateway} dev eth0\n",
        ))?;
    }
    Ok(())
}

/// The link-local address and a port as processes of `namespace` name them, by their `interface`.
pub fn by_link(namespace: &Namespace, interface: &str, address: Ipv6Addr, port: u16) -> Result<SocketAddrV6> {
    let index = namespace.run(|| if_nametoindex(interface))?;
    let index = index.with_context(|| format!("{} has no {interface}", namespace.name()))?;
    Ok(SocketAddrV6::new(address, port, 0, index))
}
