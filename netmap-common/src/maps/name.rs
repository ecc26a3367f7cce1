//! Names of the maps in the object, which are also their pins' file names.

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
/// `RINGBUF` of [`super::Held`]: fragments that came before their first, for the daemon to hold.
pub const HELD: &str = "HELD";
/// `LRU_HASH` from [`super::IfIndex`] to [`super::Rate`]: how many of these came by each interface in this second.
pub const HOLDS: &str = "HOLDS";
/// `RINGBUF` of [`super::Event`]: what happened, for whoever watches.
pub const EVENTS: &str = "EVENTS";
/// `ARRAY` of one [`super::Watch`]: what of it is watched for.
pub const WATCH: &str = "WATCH";
/// `PERCPU_ARRAY` of one [`super::Told`]: how much of it was told.
pub const TOLD: &str = "TOLD";
/// `HASH` from an address to [`super::Local`]: every address of this host.
pub const LOCALS: &str = "LOCALS";
/// `LPM_TRIE` from [`super::NetworkKey`] to [`super::Network`]: subnets behind managed bridges.
pub const NETWORKS: &str = "NETWORKS";
/// `HASH` from [`super::EgressPlace`] to an address: by which of this host's containers leave, where not by the uplink's.
pub const EGRESS: &str = "EGRESS";
/// `HASH` from [`super::IfIndex`] to [`super::Interface`]: every interface that carries a hook.
pub const INTERFACES: &str = "INTERFACES";
/// `HASH` from a container's address to [`super::IfIndex`]: the port by which alone it may be a source.
pub const OWNERS: &str = "OWNERS";
/// `HASH` from an address to [`super::Endpoint`]: how to reach a published container.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// `SK_STORAGE` of [`super::Detours`]: which sockets of this host go straight to a container.
pub const DETOURS: &str = "DETOURS";
/// `HASH` from [`super::Cookie`] to [`super::Detour`]: connected UDP sockets among them, until they are swept.
pub const CLIENTS: &str = "CLIENTS";
/// `ARRAY` of `u64`, index [`super::PortSlots::word`]: ports that masquerading must not take.
pub const RESERVED: &str = "RESERVED";
/// `ARRAY` of one [`super::Settings`].
pub const SETTINGS: &str = "SETTINGS";
/// `LRU_HASH` from an address to [`super::Load`]: flows that a container takes.
pub const CONTAINERS: &str = "CONTAINERS";
/// The same for who asks published ports from outside.
pub const SOURCES: &str = "SOURCES";
/// `HASH` from [`super::Payer`] to `u64`: how many of these have ended.
pub const ENDED: &str = "ENDED";
/// `QUEUE` of [`super::Opening`]: flows that somebody outside has opened.
pub const OPENINGS: &str = "OPENINGS";
/// `ARRAY` of one [`super::Limits`].
pub const LIMITS: &str = "LIMITS";
/// `PERCPU_ARRAY` of one [`super::Rate`]: messages to senders of refused packets.
pub const MESSAGES: &str = "MESSAGES";
/// `PERCPU_ARRAY` of [`super::Count`], index [`super::Hook::counter`].
pub const COUNTERS: &str = "COUNTERS";
/// `PERCPU_ARRAY` of two `u32`: not 0 while a TC program of this CPU looks for a socket of the host, and a number that the
/// verifier is to forget about.
pub const PROBING: &str = "PROBING";
/// `SOCKMAP`: the proxy's sockets, index [`super::socket`].
pub const SOCKETS: &str = "SOCKETS";
/// `DEVMAP_HASH` from [`super::IfIndex`] to the same: veth ports that take frames from XDP.
pub const REDIRECTS: &str = "REDIRECTS";
/// `PERCPU_ARRAY` of one [`Wish`](crate::nat::Wish): room for the flow that this CPU is about to open.
pub const ROOM: &str = "ROOM";
/// `PROG_ARRAY`, index [`super::tail::index`]: what the TC programs go on with for IPv6.
pub const TAILS: &str = "TAILS";
/// The same for XDP.
pub const TAILS_XDP: &str = "TAILS_XDP";
/// `PERCPU_ARRAY` of one [`super::Hop`]: where XDP sends the frame that this CPU has in hand.
pub const HOP: &str = "HOP";
/// [`SLOTS`] of IPv6.
pub const SLOTS6: &str = "SLOTS6";
/// [`SHARED`] of IPv6.
pub const SHARED6: &str = "SHARED6";
/// [`RULES`] of IPv6.
pub const RULES6: &str = "RULES6";
/// [`ALLOW`] of IPv6.
pub const ALLOW6: &str = "ALLOW6";
/// [`FLOWS`] of IPv6.
pub const FLOWS6: &str = "FLOWS6";
/// [`FRAGMENTS`] of IPv6.
pub const FRAGMENTS6: &str = "FRAGMENTS6";
/// [`CONTAINERS`] of IPv6.
pub const CONTAINERS6: &str = "CONTAINERS6";
/// [`SOURCES`] of IPv6.
pub const SOURCES6: &str = "SOURCES6";
/// [`ENDED`] of IPv6.
pub const ENDED6: &str = "ENDED6";
/// [`OPENINGS`] of IPv6.
pub const OPENINGS6: &str = "OPENINGS6";
/// [`LOCALS`] of IPv6.
pub const LOCALS6: &str = "LOCALS6";
/// [`NETWORKS`] of IPv6.
pub const NETWORKS6: &str = "NETWORKS6";
/// [`EGRESS`] of IPv6.
pub const EGRESS6: &str = "EGRESS6";
/// [`INTERFACES`] of IPv6.
pub const INTERFACES6: &str = "INTERFACES6";
/// [`ENDPOINTS`] of IPv6.
pub const ENDPOINTS6: &str = "ENDPOINTS6";
/// [`OWNERS`] of IPv6.
pub const OWNERS6: &str = "OWNERS6";
/// [`DETOURS`] of IPv6.
pub const DETOURS6: &str = "DETOURS6";
/// [`CLIENTS`] of IPv6.
pub const CLIENTS6: &str = "CLIENTS6";
/// [`ROOM`] of IPv6.
pub const ROOM6: &str = "ROOM6";
/// `PERCPU_ARRAY` of one [`super::FlowKey`]: what the IPv6 packet that this CPU has in hand becomes. IPv4 has it on the stack.
pub const PLACE6: &str = "PLACE6";
/// [`HOP`] of IPv6.
pub const HOP6: &str = "HOP6";

/// Every map, in the order in which they are created.
pub const ALL: [&str; 56] = [
    SLOTS,
    SHARED,
    RULES,
    ALLOW,
    FLOWS,
    FRAGMENTS,
    HELD,
    HOLDS,
    EVENTS,
    WATCH,
    TOLD,
    CONTAINERS,
    SOURCES,
    ENDED,
    OPENINGS,
    LOCALS,
    NETWORKS,
    EGRESS,
    INTERFACES,
    OWNERS,
    ENDPOINTS,
    RESERVED,
    SETTINGS,
    LIMITS,
    MESSAGES,
    COUNTERS,
    PROBING,
    SOCKETS,
    DETOURS,
    CLIENTS,
    REDIRECTS,
    HOP,
    ROOM,
    TAILS,
    TAILS_XDP,
    SLOTS6,
    SHARED6,
    RULES6,
    ALLOW6,
    FLOWS6,
    FRAGMENTS6,
    CONTAINERS6,
    SOURCES6,
    ENDED6,
    OPENINGS6,
    LOCALS6,
    NETWORKS6,
    EGRESS6,
    INTERFACES6,
    OWNERS6,
    ENDPOINTS6,
    DETOURS6,
    CLIENTS6,
    HOP6,
    ROOM6,
    PLACE6,
];

/// The names of one family's maps.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// [`SLOTS`].
    pub slots: &'static str,
    /// [`SHARED`].
    pub shared: &'static str,
    /// [`RULES`].
    pub rules: &'static str,
    /// [`ALLOW`].
    pub allow: &'static str,
    /// [`FLOWS`].
    pub flows: &'static str,
    /// [`FRAGMENTS`].
    pub fragments: &'static str,
    /// [`CONTAINERS`].
    pub containers: &'static str,
    /// [`SOURCES`].
    pub sources: &'static str,
    /// [`ENDED`].
    pub ended: &'static str,
    /// [`OPENINGS`].
    pub openings: &'static str,
    /// [`LOCALS`].
    pub locals: &'static str,
    /// [`NETWORKS`].
    pub networks: &'static str,
    /// [`EGRESS`].
    pub egress: &'static str,
    /// [`INTERFACES`].
    pub interfaces: &'static str,
    /// [`OWNERS`].
    pub owners: &'static str,
    /// [`ENDPOINTS`].
    pub endpoints: &'static str,
    /// [`DETOURS`].
    pub detours: &'static str,
    /// [`CLIENTS`].
    pub clients: &'static str,
    /// [`HOP`].
    pub hop: &'static str,
    /// [`ROOM`].
    pub room: &'static str,
}

impl Names {
    /// IPv4.
    pub const V4: Self = Self {
        slots: SLOTS,
        shared: SHARED,
        rules: RULES,
        allow: ALLOW,
        flows: FLOWS,
        fragments: FRAGMENTS,
        containers: CONTAINERS,
        sources: SOURCES,
        ended: ENDED,
        openings: OPENINGS,
        locals: LOCALS,
        networks: NETWORKS,
        egress: EGRESS,
        interfaces: INTERFACES,
        owners: OWNERS,
        endpoints: ENDPOINTS,
        detours: DETOURS,
        clients: CLIENTS,
        hop: HOP,
        room: ROOM,
    };
    /// IPv6.
    pub const V6: Self = Self {
        slots: SLOTS6,
        shared: SHARED6,
        rules: RULES6,
        allow: ALLOW6,
        flows: FLOWS6,
        fragments: FRAGMENTS6,
        containers: CONTAINERS6,
        sources: SOURCES6,
        ended: ENDED6,
        openings: OPENINGS6,
        locals: LOCALS6,
        networks: NETWORKS6,
        egress: EGRESS6,
        interfaces: INTERFACES6,
        owners: OWNERS6,
        endpoints: ENDPOINTS6,
        detours: DETOURS6,
        clients: CLIENTS6,
        hop: HOP6,
        room: ROOM6,
    };
}
