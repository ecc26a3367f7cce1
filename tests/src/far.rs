//! One machine more: behind the remote host, which is its router. What the lab's host is to others is seen from there: one
//! hop of several.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;

use crate::{Family, Lab, Namespace};

/// Its address.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Its address of IPv6.
pub const FAR6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 2);

/// Its address of `family`.
pub const fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(FAR),
        Family::V6 => IpAddr::V6(FAR6),
    }
}

/// A port there.
pub const fn at(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(address(family), port)
}

/// Adds it to a lab with IPv6. The remote host's interface towards it is `far0`.
pub fn add(lab: &Lab) -> Result<Arc<Namespace>> {
    let far = Arc::new(Namespace::create(&format!("{}-far", lab.name()))?);
    lab.remote.batch(&format!(
        "link add far0 type veth peer name eth0 netns {}\n\
         addr add 10.77.0.1/24 dev far0\n\
         addr add fd00:77::1/64 dev far0 nodad\n\
         link set far0 up\n",
        far.name(),
    ))?;
    far.batch(&format!(
        "addr add {FAR}/24 dev eth0\n\
         addr add {FAR6}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via 10.77.0.1\n\
         route add default via fd00:77::1\n",
    ))?;
    lab.remote.sysctl("ipv4/ip_forward", "1")?;
    lab.remote.sysctl("ipv6/conf/all/forwarding", "1")?;
    lab.settle("far0", &lab.remote, &far)?;
    // Whoever counts the hops asks more at once than a machine answers by default.
    for router in [&lab.host, &lab.remote, &far] {
        router.sysctl("ipv4/icmp_ratelimit", "0")?;
        router.sysctl("ipv6/icmp/ratelimit", "0")?;
    }
    Ok(far)
}
