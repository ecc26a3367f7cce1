//! Keys and values of every BPF map, as bytes that both sides read alike.
//!
//! All types are [`bytemuck::Pod`], so implicit padding does not compile. Numbers are in host byte order, except
//! where a type says otherwise (keys of longest-prefix maps are big-endian because the kernel matches bits from the
//! first byte).

mod address;
mod detour;
mod endpoint;
mod event;
mod flow;
mod fragment;
mod limits;
pub mod name;
mod pod;
mod reason;
mod rule;
mod settings;
mod units;

pub use address::{Address, Address6, Ip};
pub use detour::{Cookie, Detour, Detours, Place, ROOM};
pub use endpoint::{
    EgressPlace, Endpoint, Hop, Interface, Local, Network, NetworkKey, NetworkPrefix, Role, Way,
};
pub use event::{EVENT_BYTES, Event, Told, Watch};
pub use flow::{Flow, FlowKey, Kind, Seen, Side, TcpSeen};
pub use fragment::{Fragment, FragmentKey, HELD_BYTES, Held};
pub use limits::{Limits, Load, Opening, Payer, Rate, Role as PayerRole};
pub use reason::{Class, Count, Hook, Reason};
pub use rule::{AllowKey, AllowPrefix, PortSlots, Rule, SharedKey, Slot};
pub use settings::{PortRange, Settings};
pub use units::{Generation, IfIndex, Port, Protocol, RuleId, Seconds};

/// Names of the programs in the object, which are also their pins' file names.
pub mod program {
    /// TC ingress of every uplink.
    pub const UPLINK_IN: &str = "uplink_in";
    /// TC egress of every uplink.
    pub const UPLINK_OUT: &str = "uplink_out";
    /// Native XDP of an uplink: the same as [`UPLINK_IN`] before the kernel has made a packet of the frame.
    pub const UPLINK_XDP: &str = "uplink_xdp";
    /// TC ingress of the host end of every container's interface.
    pub const PORT_IN: &str = "port_in";
    /// TC ingress of every managed bridge: what a port's own hook did not see.
    pub const BRIDGE_IN: &str = "bridge_in";
    /// `sk_lookup` of the host's network namespace: published ports to the proxy.
    pub const STEER: &str = "steer";
    /// Not attached: puts a frame back where it came from, for the daemon.
    pub const RESUME: &str = "resume";
    /// `cgroup/bind4`: keeps the ports of published ranges from other programs.
    pub const HOLD: &str = "hold";
    /// `cgroup/bind6`: the same, also from IPv6 sockets that take IPv4 as well.
    pub const HOLD6: &str = "hold6";
    /// `cgroup/connect4`: the host's own sockets straight to containers.
    pub const CONNECT4: &str = "connect4";
    /// `cgroup/connect6`: the same for IPv6 sockets, to either family.
    pub const CONNECT6: &str = "connect6";
    /// `cgroup/sendmsg4`: the same for datagrams of unconnected sockets, IPv6 sockets' IPv4 datagrams included.
    pub const SENDMSG4: &str = "sendmsg4";
    /// `cgroup/sendmsg6`: the same for IPv6 datagrams.
    pub const SENDMSG6: &str = "sendmsg6";
    /// `cgroup/recvmsg4`: their answers, from the address that was asked.
    pub const RECVMSG4: &str = "recvmsg4";
    /// `cgroup/recvmsg6`: the same for IPv6 sockets, from either family.
    pub const RECVMSG6: &str = "recvmsg6";
    /// `cgroup/getpeername4`: the peer that was asked for.
    pub const GETPEERNAME4: &str = "getpeername4";
    /// `cgroup/getpeername6`: the same for IPv6 sockets.
    pub const GETPEERNAME6: &str = "getpeername6";
}

/// The programs that go on with IPv6 packets, which one program has not the stack for.
pub mod tail {
    use super::Hook;

    /// How many parts there are at most, the whole included.
    pub const PARTS: u32 = 4;

    /// Where a part's program stands in the table of its hook's kind. Parts are numbered as
    /// [`Part`](crate::nat::Part) has them.
    #[inline(always)]
    pub const fn index(hook: Hook, part: u32) -> u32 {
        hook as u32 * PARTS + part
    }

    /// What goes on after the program at each TC hook, in the order of the parts: what has a flow, what may open one, what
    /// has no ports of its own.
    pub const TC: [(Hook, [&str; 3]); 4] = [
        (
            Hook::UplinkIn,
            ["uplink_in6", "uplink_in6_open", "uplink_in6_other"],
        ),
        (
            Hook::UplinkOut,
            ["uplink_out6", "uplink_out6_open", "uplink_out6_other"],
        ),
        (Hook::PortIn, ["port_in6", "port_in6_open", "port_in6_other"]),
        (
            Hook::BridgeIn,
            ["bridge_in6", "bridge_in6_open", "bridge_in6_other"],
        ),
    ];

    /// The same after [`UPLINK_XDP`](super::program::UPLINK_XDP), which leaves the last to TC.
    pub const XDP: [&str; 2] = ["uplink_xdp6", "uplink_xdp6_open"];
}

/// Indexes into the map of the proxy's sockets.
pub mod socket {
    /// The TCP listener, IPv4.
    pub const TCP4: u32 = 0;
    /// The UDP socket, IPv4.
    pub const UDP4: u32 = 1;
    /// The TCP listener, IPv6.
    pub const TCP6: u32 = 2;
    /// The UDP socket, IPv6.
    pub const UDP6: u32 = 3;
}

/// How many entries each map holds.
pub mod capacity {
    /// Port slots: 65,536 a protocol, TCP then UDP.
    pub const SLOTS: usize = 2 * 65_536;
    /// (address, port, protocol) triples that share their port with another rule.
    pub const SHARED: usize = 65_536;
    /// Rules, one a published range; rule 0 is "none".
    pub const RULES: usize = 65_536;
    /// Allow-list prefixes over all rules.
    pub const ALLOW: usize = 16_384;
    /// Flow entries, two a flow. `netmap run --flow-entries` overrides it.
    pub const FLOWS: usize = 262_144;
    /// Datagrams in pieces that are on their way at once; the oldest make room.
    pub const FRAGMENTS: usize = 16_384;
    /// Bytes of fragments that the daemon has not taken yet: 256 of them.
    pub const HELD: usize = 256 * 2_048;
    /// Bytes of events that the daemon has not taken yet: some 3,500 of them.
    pub const EVENTS: usize = 1 << 20;
    /// Interfaces whose fragments are counted.
    pub const HOLDS: usize = 4_096;
    /// Containers, and as many others, whose flows are counted; who has not opened one for longest makes room.
    pub const LOADS: usize = 16_384;
    /// Of both of these, what has ended.
    pub const ENDED: usize = 4 * LOADS;
    /// Flows that somebody outside has opened, and nobody may have confirmed: as many as a client may have by default.
    /// [`openings`] has it for another size of the flow table.
    pub const OPENINGS: usize = FLOWS / 8;

    /// [`OPENINGS`] for a flow table of so many entries, at most 65,536.
    pub const fn openings(flow_entries: u32) -> u32 {
        match flow_entries / 8 {
            0 => 1,
            openings @ ..=65_536 => openings,
            _ => 65_536,
        }
    }
    /// Addresses of this host. Of IPv6 every interface has one at least.
    pub const LOCALS: usize = 2 * INTERFACES;
    /// Subnets behind managed bridges.
    pub const NETWORKS: usize = 1_024;
    /// Addresses that containers of one bridge may leave by, of either family.
    pub const EGRESS_PLACES: u16 = 16;
    /// Those of all bridges.
    pub const EGRESS: usize = EGRESS_PLACES as usize * NETWORKS;
    /// Interfaces with a hook.
    pub const INTERFACES: usize = 8_192;
    /// Containers' addresses, as far as they are known.
    pub const OWNERS: usize = 65_536;
    /// Published containers' addresses.
    pub const ENDPOINTS: usize = 65_536;
    /// Words of 64 ports, 1,024 a protocol, TCP then UDP.
    pub const RESERVED: usize = 2 * 1_024;
    /// Counters, [`super::Reason::COUNT`] a hook.
    pub const COUNTERS: usize = super::Hook::ALL.len() * super::Reason::COUNT;
    /// The proxy's sockets.
    pub const SOCKETS: usize = 4;
    /// Connected UDP sockets of this host that go straight to a container.
    pub const CLIENTS: usize = 65_536;
    /// Ports that take frames from XDP.
    pub const REDIRECTS: usize = INTERFACES;
    /// Programs that others go on with.
    pub const TAILS: usize = super::Hook::ALL.len() * super::tail::PARTS as usize;
}
