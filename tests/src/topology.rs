//! Who is in the lab, and under which address.
//!
//! ```text
//!  remote R                     host H                          containers
//!  eth0 192.168.50.3  ──veth──  up0 192.168.50.2
//!                               br1 172.30.1.1  ── vc1  ──veth── c1   172.30.1.2
//!                                               ── vc1b ──veth── c1b  172.30.1.3
//!                               br2 172.30.2.1  ── vc2  ──veth── c2   172.30.2.2
//! ```

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process,
    sync::{
        Arc, Once,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Result, ensure};

use crate::{Namespace, command, ground, ipv6, namespace};

/// The remote host's address.
pub const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 3);
/// The remote host's second address, there with [`Options::second_remote`].
pub const REMOTE2: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 4);
/// The host's address on its uplink.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);
/// The first bridge's address.
pub const GATEWAY1: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 1);
/// The second bridge's address.
pub const GATEWAY2: Ipv4Addr = Ipv4Addr::new(172, 30, 2, 1);
/// The container behind published ports, on the first bridge.
pub const C1: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 2);
/// Its neighbour on the same bridge.
pub const C1B: Ipv4Addr = Ipv4Addr::new(172, 30, 1, 3);
/// The container on the second bridge.
pub const C2: Ipv4Addr = Ipv4Addr::new(172, 30, 2, 2);

/// What may differ between labs.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that a test sets one by one"
)]
pub struct Options {
    /// Leave checksum and segmentation offloads on, as veths have them; off, every packet carries full checksums.
    pub offloads: bool,
    /// The host forwards (`net.ipv4.ip_forward`).
    pub forwarding: bool,
    /// The host's firewall drops what is forwarded or comes in, and whatever conntrack calls invalid.
    pub firewall: bool,
    /// Strict reverse path filter on every interface of every machine.
    pub strict_rp_filter: bool,
    /// Bridged frames pass the host's IP firewall, as with Docker and Kubernetes.
    pub br_netfilter: bool,
    /// The remote host has [`REMOTE2`], too.
    pub second_remote: bool,
    /// netmap runs native XDP on the uplink, and containers take frames from it.
    pub native_xdp: bool,
    /// netmap leads the host's own processes straight to containers; off, its proxy serves them.
    pub socket_hooks: bool,
    /// Every machine has an address of IPv6, too, and a scene's ports are published in both families.
    pub ipv6: bool,
    /// The host has neither bridges nor containers; the lab's namespaces for these stay empty.
    pub bare: bool,
    /// netmap's daemon is nobody with these capabilities only, as setpriv(1) lists them; else it starts as root.
    pub capabilities: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            offloads: true,
            forwarding: true,
            firewall: false,
            strict_rp_filter: false,
            br_netfilter: false,
            second_remote: false,
            native_xdp: false,
            socket_hooks: true,
            ipv6: false,
            bare: false,
            capabilities: None,
        }
    }
}

/// A host with two bridges and three containers, and a remote machine. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    name: String,
    options: Options,
    /// The host.
    pub host: Arc<Namespace>,
    /// The remote machine.
    pub remote: Arc<Namespace>,
    /// The container at [`C1`].
    pub c1: Arc<Namespace>,
    /// The container at [`C1B`].
    pub c1b: Arc<Namespace>,
    /// The container at [`C2`].
    pub c2: Arc<Namespace>,
}

impl Lab {
    /// A lab as most hosts are: offloads on, forwarding on, no firewall.
    pub fn new() -> Result<Self> {
        Self::with(Options::default())
    }

    /// A lab with these options.
    pub fn with(options: Options) -> Result<Self> {
        static SWEPT: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(|| {
            ground::sweep();
            namespace::sweep();
        });
        let name = format!("nm{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let make = |suffix: &str| Namespace::create(&format!("{name}-{suffix}")).map(Arc::new);
        let lab = Self {
            host: make("h")?,
            remote: make("r")?,
            c1: make("c1")?,
            c1b: make("c1b")?,
            c2: make("c2")?,
            name,
            options,
        };
        lab.host
            .sysctl("ipv4/ip_forward", if options.forwarding { "1" } else { "0" })?;
        for namespace in lab.all() {
            let filter = if options.strict_rp_filter { "1" } else { "0" };
            namespace.sysctl("ipv4/conf/all/rp_filter", filter)?;
            namespace.sysctl("ipv4/conf/default/rp_filter", filter)?;
            if options.ipv6 {
                // Nobody waits for addresses that nobody else has.
                namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
            }
        }
        lab.connect()?;
        if options.ipv6 {
            ipv6::add(&lab)?;
        }
        for name in ["iptables", "ip6tables"] {
            let name = format!("bridge/bridge-nf-call-{name}");
            if options.br_netfilter {
                lab.host.sysctl(&name, "1")?;
            } else if Path::new(BRIDGE_NETFILTER).exists() {
                lab.host.sysctl(&name, "0")?;
            }
        }
        if options.firewall {
            lab.host.nft(FIREWALL)?;
        }
        if options.strict_rp_filter && options.ipv6 {
            for namespace in lab.all() {
                namespace.nft(STRICT6)?;
            }
        }
        Ok(lab)
    }

    /// Its name, the beginning of its namespaces' names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was made with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Every machine of it.
    pub fn all(&self) -> [&Arc<Namespace>; 5] {
        [&self.host, &self.remote, &self.c1, &self.c1b, &self.c2]
    }

    /// Adds a container to `bridge`, its host-side interface `port`, with `address`/24 and a default route by `gateway`.
    pub fn add_container(
        &self,
        port: &str,
        bridge: &str,
        address: Ipv4Addr,
        gateway: Ipv4Addr,
    ) -> Result<Arc<Namespace>> {
        let container = Arc::new(Namespace::create(&format!("{}-{port}", self.name))?);
        self.host.batch(&port_lines(port, &container, bridge))?;
        container.batch(&container_lines(address, gateway))?;
        self.settle(port, &self.host, &container)?;
        Ok(container)
    }

    /// Adds a container that no bridge knows: the host routes `address` alone to its interface `port`.
    pub fn add_routed_container(&self, port: &str, address: impl Into<IpAddr>) -> Result<Arc<Namespace>> {
        let address = address.into();
        let (host, own) = match address {
            IpAddr::V4(_) => ("169.254.77.1/32", 32),
            IpAddr::V6(_) => ("fe80::77:1/128", 128),
        };
        let (gateway, _) = host.split_once('/').unwrap_or_default();
        let container = Arc::new(Namespace::create(&format!("{}-{port}", self.name))?);
        self.host.batch(&format!(
            "link add {port} type veth peer name eth0 netns {peer}\n\
             addr add {host} dev {port} nodad\n\
             link set {port} up\n\
             route add {address}/{own} dev {port}\n",
            peer = container.name(),
        ))?;
        container.batch(&format!(
            "addr add {address}/{own} dev eth0 nodad\n\
             link set eth0 up\n\
             route add {gateway}/{own} dev eth0\n\
             route add default via {gateway} dev eth0\n",
        ))?;
        self.settle(port, &self.host, &container)?;
        Ok(container)
    }

    fn connect(&self) -> Result<()> {
        self.host.batch(&format!(
            "link add up0 address 02:00:00:00:50:02 type veth peer name eth0 netns {remote}\n\
             addr add {HOST}/24 brd + dev up0\n\
             link set up0 up\n\
             route add default via {REMOTE} dev up0\n",
            remote = self.remote.name(),
        ))?;
        if !self.options.bare {
            self.build_bridges()?;
        }
        let second = if self.options.second_remote {
            format!("addr add {REMOTE2}/24 dev eth0\n")
        } else {
            String::new()
        };
        self.remote.batch(&format!(
            "addr add {REMOTE}/24 brd + dev eth0\n\
             {second}\
             link set eth0 up\n\
             route add 172.30.0.0/16 via {HOST}\n",
        ))?;
        self.settle("up0", &self.host, &self.remote)
    }

    fn build_bridges(&self) -> Result<()> {
        self.host.batch(&format!(
            "link add br1 address 02:00:00:00:01:01 type bridge\n\
             link add br2 address 02:00:00:00:02:01 type bridge\n\
             addr add {GATEWAY1}/24 brd + dev br1\n\
             addr add {GATEWAY2}/24 brd + dev br2\n\
             link set br1 up\n\
             link set br2 up\n\
             {c1}{c1b}{c2}",
            c1 = port_lines("vc1", &self.c1, "br1"),
            c1b = port_lines("vc1b", &self.c1b, "br1"),
            c2 = port_lines("vc2", &self.c2, "br2"),
        ))?;
        self.c1.batch(&container_lines(C1, GATEWAY1))?;
        self.c1b.batch(&container_lines(C1B, GATEWAY1))?;
        self.c2.batch(&container_lines(C2, GATEWAY2))?;
        for (port, container) in [("vc1", &self.c1), ("vc1b", &self.c1b), ("vc2", &self.c2)] {
            self.settle(port, &self.host, container)?;
            if self.options.native_xdp {
                container.line("ethtool -K eth0 gro on")?;
            }
        }
        Ok(())
    }

    /// Gives both ends of the veth `port` of `owner` -- `peer`'s eth0 the lab's offloads.
    pub(crate) fn settle(&self, port: &str, owner: &Namespace, peer: &Namespace) -> Result<()> {
        if self.options.offloads {
            return Ok(());
        }
        for (namespace, interface) in [(owner, port), (peer, "eth0")] {
            namespace.line(&format!(
                "ethtool -K {interface} rx off tx off sg off tso off gso off gro off"
            ))?;
            let shown = namespace.line(&format!("ethtool -k {interface}"))?;
            ensure!(
                shown.contains("tx-checksumming: off") && shown.contains("generic-segmentation-offload: off"),
                "{interface} keeps its offloads: {shown}"
            );
        }
        Ok(())
    }
}

const BRIDGE_NETFILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Lets nothing through but what the host itself began, as a careful administrator would, who knows of two things that
/// IPv6 needs: neighbours of one bridge must find each other, and what the proxy carries from outside comes in first.
const FIREWALL: &str = "
table inet lab {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state invalid drop
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
    meta l4proto { tcp, udp } th dport 8089 accept
  }
}
";

/// What `rp_filter` is for IPv4.
const STRICT6: &str = "
table ip6 strict {
  chain prerouting {
    type filter hook prerouting priority 0;
    iif != lo ip6 saddr != fe80::/10 fib saddr . iif oif missing drop
  }
}
";

fn port_lines(port: &str, container: &Namespace, bridge: &str) -> String {
    format!(
        "link add {port} type veth peer name eth0 netns {}\nlink set {port} master {bridge} up\n",
        container.name(),
    )
}

fn container_lines(address: Ipv4Addr, gateway: Ipv4Addr) -> String {
    format!("addr add {address}/24 brd + dev eth0\nlink set eth0 up\nroute add default via {gateway}\n")
}

/// Whether the kernel has `br_netfilter`, which the option of that name needs.
pub fn has_br_netfilter() -> bool {
    Path::new(BRIDGE_NETFILTER).exists() || command::line("modprobe br_netfilter").is_ok()
}
