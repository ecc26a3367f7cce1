//! Why a packet went the way it went: the counters' index, the word in the CLI, the assertion in a test.

use bytemuck::{Pod, Zeroable};

/// What became of a packet in one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Translated and sent on.
    Carried,
    /// Left to the host, untouched.
    Passed,
    /// Dropped.
    Dropped,
}

impl Class {
    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Passed => "passed",
            Self::Dropped => "dropped",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// Why a packet went the way it went.
        ///
        /// Numbers are never reused: 0 to 31 carried, 32 to 95 passed, 96 to 127 dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in the CLI, in JSON and in metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

reasons! {
    /// From outside to a published port, into the container.
    PublishedIn = 0, "published-in";
    /// The container's answer to it.
    PublishedReply = 1, "published-reply";
    /// From a container to the outside, with the host's address.
    EgressOut = 2, "egress-out";
    /// The outside's answer to it.
    EgressReply = 3, "egress-reply";
    /// From a container to another container's published port.
    HairpinIn = 4, "hairpin-in";
    /// The answer to it.
    HairpinReply = 5, "hairpin-reply";
    /// From a container to its own published port, the gateway as source.
    OwnPortIn = 6, "own-port-in";
    /// The answer to it.
    OwnPortReply = 7, "own-port-reply";
    /// From outside to a published port, translated here and forwarded by the host's stack.
    StackPublishedIn = 8, "stack-published-in";
    /// The answer, forwarded by the host's stack and translated here.
    StackPublishedReply = 9, "stack-published-reply";
    /// From a container to the outside, forwarded by the host's stack and translated here.
    StackEgressOut = 10, "stack-egress-out";
    /// The answer, translated here and forwarded by the host's stack.
    StackEgressReply = 11, "stack-egress-reply";
    /// An ICMP error about a flow, to whoever sent what it quotes.
    IcmpError = 12, "icmp-error";
    /// Translated inside a flow for the host's stack, which answers that its time to live ended or that it is too big.
    HostAnswers = 13, "host-answers";
    /// An ICMP message, "administratively prohibited", to the sender of a packet that was refused for want of room.
    Prohibited = 14, "prohibited";
    /// A connection or datagram that the socket hook gave to the proxy.
    Proxied = 16, "proxied";
    /// A connection or datagram of the host that the socket hooks sent straight to the container.
    Connected = 17, "connected";
    /// From outside straight to a container's address, as its bridge allows, forwarded by the host's stack.
    DirectIn = 18, "direct-in";
    /// The container's answer to it, untranslated.
    DirectReply = 19, "direct-reply";
    /// From outside to a port that a container's mapping has, into the container.
    MappedIn = 20, "mapped-in";
    /// The container's answer to it.
    MappedReply = 21, "mapped-reply";
    /// A fragment that came before its first: the daemon holds it and puts it back when the first is there.
    FragmentHeld = 30, "fragment-held";

    /// Neither IPv4 nor IPv6.
    NotIp = 32, "not-ip";
    /// Carries a VLAN tag.
    Vlan = 33, "vlan";
    /// A header that contradicts itself or its frame.
    Malformed = 34, "malformed";
    /// A fragment of a larger datagram whose first fragment has not come, or went to the host.
    Fragment = 35, "fragment";
    /// Neither TCP, UDP nor ICMP.
    OtherProtocol = 36, "other-protocol";
    /// ICMP other than echo, and errors that are about no flow.
    OtherIcmp = 37, "other-icmp";
    /// To a multicast, broadcast or link-local address.
    NotRoutable = 38, "not-routable";
    /// To this host, at a port that nobody published.
    ToHost = 39, "to-host";
    /// TCP without a flow and without opening one: a connection that began on the host's stack.
    MidFlow = 40, "mid-flow";
    /// An answer to a socket of this host that uses a published port as its source.
    HostSocket = 41, "host-socket";
    /// To a published port whose container's place is not known (yet): the proxy takes it.
    NoEndpoint = 42, "no-endpoint";
    /// Its time to live ends here: the host answers.
    TtlExpired = 43, "ttl-expired";
    /// Too big for the way out: the host answers or fragments.
    TooBig = 44, "too-big";
    /// No route, or one that leaves by an interface that is not an uplink of ours.
    NotOurRoute = 45, "not-our-route";
    /// From an address outside the bridge's networks.
    ForeignSource = 46, "foreign-source";
    /// Between neighbours of one bridge.
    OnLink = 47, "on-link";
    /// Seen by an earlier hook of ours.
    Done = 48, "done";
    /// Not from a container.
    FromHost = 49, "from-host";
    /// Belongs to a flow that the host's stack forwards: translated at the uplink, not here.
    StackFlow = 50, "stack-flow";
    /// Not to this host, not to a container: transit.
    Transit = 51, "transit";
    /// The proxy is not there: the socket hook left it to whoever listens.
    NoProxy = 52, "no-proxy";
    /// The interface is not in the table of interfaces (yet).
    NoInterface = 53, "no-interface";
    /// From a container to the outside, and forwarding is off on its bridge: the host does not route.
    ForwardingOff = 54, "forwarding-off";
    /// Left by the XDP hook of an uplink to its TC hook, which counts it.
    LeftToTc = 55, "left-to-tc";
    /// To a published port with a link-local address: that means something to the host only, and the proxy takes it.
    LinkLocal = 56, "link-local";
    /// To a published port whose container has no address of this family: the proxy takes it.
    OtherFamily = 57, "other-family";
    /// From a container to the outside, and its network is not masqueraded: the host's stack forwards it with the container's
    /// address.
    NotMasqueraded = 62, "not-masqueraded";

    /// From outside straight to a container's address, or between bridges: not published.
    DirectAccess = 96, "direct-access";
    /// A loopback address on a wire.
    LoopbackOnWire = 97, "loopback-on-wire";
    /// The source is not in the rule's allow-list.
    NotAllowed = 98, "not-allowed";
    /// The flow table is full.
    TableFull = 99, "table-full";
    /// No source port is free towards this destination.
    PortsExhausted = 100, "ports-exhausted";
    /// An answer in a flow whose port is no longer published.
    Unpublished = 101, "unpublished";
    /// From a container, and untranslatable: it must not leave with the container's address.
    WouldLeak = 102, "would-leak";
    /// Its time to live ended inside a flow that netmap carries.
    TtlExpiredInFlow = 103, "ttl-expired-in-flow";
    /// The uplink has no address to masquerade with.
    NoUplinkAddress = 104, "no-uplink-address";
    /// The rewritten packet could not be written.
    RewriteFailed = 105, "rewrite-failed";
    /// Another program wanted a port that is published.
    PortHeld = 106, "port-held";
    /// With a source that cannot be behind the interface it came from.
    SpoofedSource = 107, "spoofed-source";
    /// Too big for the way out, in a connection that netmap carries.
    TooBigInFlow = 108, "too-big-in-flow";
    /// A fragment that lies over the first one, whose ports were judged.
    FragmentOverlap = 109, "fragment-overlap";
    /// The container has as many flows as it may (`--max-flows`).
    ContainerFull = 110, "container-full";
    /// The container has as many new flows in this second as it may (`--max-new-flows`).
    ContainerTooFast = 111, "container-too-fast";
    /// The client outside has as many flows to published ports as it may (`--max-source-flows`).
    SourceFull = 112, "source-full";
    /// From outside to a published port, by an uplink and at an address where nothing is published (`--publish-on`).
    NotPublishedHere = 113, "not-published-here";
    /// The address that this container is to leave by (`--egress`) is not one of this host's (yet).
    NoEgressAddress = 116, "no-egress-address";
    /// From a container of an internal network to somebody outside of it.
    InternalNetwork = 120, "internal-network";
    /// A fragment from a container whose first did not come while it was held.
    FragmentLate = 126, "fragment-late";
}

impl Reason {
    /// How many numbers there are, used or not.
    pub const COUNT: usize = 128;

    /// Whether the sender of a packet that is dropped for this is told: there is no room for its flow (RFC 5508, REQ-8).
    pub const fn is_told(self) -> bool {
        matches!(
            self,
            Self::TableFull
                | Self::PortsExhausted
                | Self::ContainerFull
                | Self::ContainerTooFast
                | Self::SourceFull
        )
    }

    /// What became of the packet.
    pub const fn class(self) -> Class {
        match self as u8 {
            0..32 => Class::Carried,
            32..96 => Class::Passed,
            _ => Class::Dropped,
        }
    }
}

/// Which hook counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Hook {
    /// TC ingress of an uplink.
    UplinkIn = 0,
    /// TC egress of an uplink.
    UplinkOut = 1,
    /// TC ingress of a bridge port.
    PortIn = 2,
    /// TC ingress of a bridge.
    BridgeIn = 3,
    /// The socket hooks.
    Socket = 4,
    /// XDP of an uplink: what it carries and drops. What it leaves, [`Hook::UplinkIn`] counts.
    UplinkXdp = 5,
}

impl Hook {
    /// Every hook, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::UplinkIn,
        Self::UplinkOut,
        Self::PortIn,
        Self::BridgeIn,
        Self::Socket,
        Self::UplinkXdp,
    ];

    /// Its name in the CLI, in JSON and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UplinkIn => "uplink-in",
            Self::UplinkOut => "uplink-out",
            Self::PortIn => "port-in",
            Self::BridgeIn => "bridge-in",
            Self::Socket => "socket",
            Self::UplinkXdp => "uplink-xdp",
        }
    }

    /// Index of this hook's counter for `reason`.
    pub const fn counter(self, reason: Reason) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "it is 128")]
        const STRIDE: u32 = Reason::COUNT as u32;
        self as u32 * STRIDE + reason as u32
    }
}

/// One counter of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Count {
    /// Packets (for the socket hooks: connections and datagrams).
    pub packets: u64,
    /// Bytes at layer 3, 0 for the socket hooks.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_counters_do_not_overlap() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert!((*reason as usize) < Reason::COUNT);
            for other in Reason::ALL.iter().skip(index + 1) {
                assert!(*reason as u8 != *other as u8 && reason.name() != other.name());
            }
        }
    }

    #[test]
    fn every_reason_says_what_it_means() {
        for reason in Reason::ALL {
            assert!(reason.meaning().ends_with('.'), "{}", reason.name());
        }
    }
}
