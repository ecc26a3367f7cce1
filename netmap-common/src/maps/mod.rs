//! Keys and values of every BPF map, as bytes that both sides read alike.
//!
//! All types are [`bytemuck::Pod`], so implicit padding does not compile. Numbers are in host byte order, except
//! where a type says otherwise (keys of longest-prefix maps are big-endian because the kernel matches bits from the
//! first byte).

mod detour;
mod endpoint;
mod flow;
mod fragment;
mod reason;
mod rule;
mod settings;
mod units;

pub use detour::{Cookie, Detour, Detours, Place};
pub use endpoint::{Endpoint, Hop, Interface, Network, NetworkKey, Role, Way};
pub use flow::{Flow, FlowKey, Kind, Seen, Side, TcpSeen};
pub use fragment::{Fragment, FragmentKey};
pub use reason::{Class, Count, Hook, Reason};
pub use rule::{AllowKey, PortSlots, Rule, SharedKey, Slot};
pub use settings::{PortRange, Settings};
pub use units::{Address, Generation, IfIndex, Port, Protocol, RuleId, Seconds};

/// Names of the maps in the object, which are also their pins' file names.
pub mod name {
    /// `ARRAY` of [`super::Slot`], index [`super::PortSlots::index`].
    pub const SLOTS: &str = "SLOTS";
    /// `HASH` from [`super::SharedKey`] to [`super::RuleId`]: ports that several host addresses publish.
    pub const SHARED: &str = "SHARED";
    /// `ARRAY` of [`super::Rule`], index [`super::RuleId`]; number 0 is never used.
    pub const RULES: &str = "RULES";
    /// `LPM_TRIE` from [`super::AllowKey`] to `u8`: allowed sources of rules that have an allow-list.
    pub const ALLOW: &str = "ALLOW";
    /// `HASH` from [`super::FlowKey`] to [`super::Flow`], preallocated, twin entries.
    pub const FLOWS: &str = "FLOWS";
    /// `LRU_HASH` from [`super::FragmentKey`] to [`super::Fragment`]: datagrams that come in pieces.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// `HASH` from [`super::Address`] to [`super::IfIndex`]: every address of this host.
    pub const LOCALS: &str = "LOCALS";
    /// `LPM_TRIE` from [`super::NetworkKey`] to [`super::Network`]: subnets behind managed bridges.
    pub const NETWORKS: &str = "NETWORKS";
    /// `HASH` from [`super::IfIndex`] to [`super::Interface`]: every interface that carries a hook.
    pub const INTERFACES: &str = "INTERFACES";
    /// `HASH` from [`super::Address`] to [`super::Endpoint`]: how to reach a published container.
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// `ARRAY` of `u64`, index [`super::PortSlots::word`]: ports that masquerading must not take.
    pub const RESERVED: &str = "RESERVED";
    /// `ARRAY` of one [`super::Settings`].
    pub const SETTINGS: &str = "SETTINGS";
    /// `PERCPU_ARRAY` of [`super::Count`], index [`super::Hook::counter`].
    pub const COUNTERS: &str = "COUNTERS";
    /// `PERCPU_ARRAY` of one `u32`: not 0 while a TC program of this CPU looks for a socket of the host.
    pub const PROBING: &str = "PROBING";
    /// `SOCKMAP`: the proxy's sockets, index [`super::socket`].
    pub const SOCKETS: &str = "SOCKETS";
    /// `SK_STORAGE` of [`super::Detours`]: which sockets of this host go straight to a container.
    pub const DETOURS: &str = "DETOURS";
    /// `HASH` from [`super::Cookie`] to [`super::Detour`]: connected UDP sockets among them, until they are swept.
    pub const CLIENTS: &str = "CLIENTS";
    /// `DEVMAP_HASH` from [`super::IfIndex`] to the same: veth ports that take frames from XDP.
    pub const REDIRECTS: &str = "REDIRECTS";
    /// `PERCPU_ARRAY` of one [`super::Hop`]: where XDP sends the frame that this CPU has in hand.
    pub const HOP: &str = "HOP";

    /// Every map, in the order in which they are created.
    pub const ALL: [&str; 19] = [
        SLOTS, SHARED, RULES, ALLOW, FLOWS, FRAGMENTS, LOCALS, NETWORKS, INTERFACES, ENDPOINTS, RESERVED,
        SETTINGS, COUNTERS, PROBING, SOCKETS, DETOURS, CLIENTS, REDIRECTS, HOP,
    ];
}

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
    /// `cgroup/bind4`: keeps the ports of published ranges from other programs.
    pub const HOLD: &str = "hold";
    /// `cgroup/connect4`: the host's own sockets straight to containers.
    pub const CONNECT4: &str = "connect4";
    /// `cgroup/connect6`: the same for IPv4 destinations of IPv6 sockets.
    pub const CONNECT6: &str = "connect6";
    /// `cgroup/sendmsg4`: the same for datagrams of unconnected sockets, IPv6 sockets' IPv4 datagrams included.
    pub const SENDMSG4: &str = "sendmsg4";
    /// `cgroup/recvmsg4`: their answers, from the address that was asked.
    pub const RECVMSG4: &str = "recvmsg4";
    /// `cgroup/recvmsg6`: the same for IPv4 answers to IPv6 sockets.
    pub const RECVMSG6: &str = "recvmsg6";
    /// `cgroup/getpeername4`: the peer that was asked for.
    pub const GETPEERNAME4: &str = "getpeername4";
    /// `cgroup/getpeername6`: the same for IPv4 peers of IPv6 sockets.
    pub const GETPEERNAME6: &str = "getpeername6";
}

/// Indexes into the map of the proxy's sockets.
pub mod socket {
    /// The TCP listener, IPv4.
    pub const TCP4: u32 = 0;
    /// The UDP socket, IPv4.
    pub const UDP4: u32 = 1;
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
    /// Addresses of this host.
    pub const LOCALS: usize = 4_096;
    /// Subnets behind managed bridges.
    pub const NETWORKS: usize = 1_024;
    /// Interfaces with a hook.
    pub const INTERFACES: usize = 8_192;
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
}
