//! Which source ports a flow may have, and in which order they are tried.

use super::{
    Datagram, Env,
    hash::{hash, scatter},
    ports::Wish,
};
use crate::maps::{Kind, Port, PortRange, Protocol, Reason};

/// Where a flow looks for its port.
#[derive(Default)]
pub(super) struct Places {
    /// Whose ports these are.
    pub(super) owner: Owner,
    /// The packet's own port, if it may be kept.
    liked: Option<Port>,
    low: PortRange,
    high: PortRange,
    start: u32,
    step: u32,
}

impl Places {
    /// Not inlined for the same reasons as [`super::ports::claim`].
    #[inline(never)]
    pub(super) fn choose<E: Env>(
        &mut self,
        env: &E,
        datagram: &Datagram<E::Ip>,
        wish: &Wish<E::Ip>,
    ) -> Result<(), Reason> {
        const NONE: PortRange = PortRange {
            first: Port(1),
            last: Port(0),
        };
        const WELL_KNOWN: PortRange = PortRange {
            first: Port(1),
            last: Port(1_023),
        };
        const USER: PortRange = PortRange {
            first: Port(1_024),
            last: Port(65_535),
        };
        // An echo request with identifier 0 would have the same key as an answer with it.
        const ALL: PortRange = PortRange {
            first: Port(1),
            last: Port(65_535),
        };
        let settings = env.settings();
        let liked = wish.to.src_port;
        self.owner = match wish.kind() {
            Kind::Published | Kind::Mapped | Kind::Direct => Owner::Client,
            Kind::Hairpin | Kind::Egress if wish.to.src == wish.from.src => Owner::Client,
            Kind::Hairpin | Kind::Egress | Kind::OwnPort | Kind::Mapping => Owner::Host,
        };
        let [below, above] = settings.pool;
        // The same class as the packet's own: "a port in the range 0-1023 [..] SHOULD be mapped to one in the same
        // range" (RFC 4787, REQ-3 a). Echo identifiers have no classes.
        (self.low, self.high) = match self.owner {
            _ if datagram.protocol == Protocol::Icmp => (ALL, NONE),
            _ if liked.0 < 1_024 => (WELL_KNOWN, NONE),
            Owner::Client => (USER, NONE),
            Owner::Host => (below, above),
        };
        // The host's own pings are found by no look-up: an identifier chosen at random stays out of their way.
        let keeps =
            datagram.protocol != Protocol::Icmp && (self.low.contains(liked) || self.high.contains(liked));
        self.liked = (keeps || wish.is_mapped).then_some(liked);
        // Places that nobody outside can guess (RFC 6056, 3.3.4: two hashes), the same ones for the same flow.
        let hash = hash(settings.secret, &wish.from);
        #[expect(clippy::cast_possible_truncation, reason = "takes the hash apart")]
        let (start, step) = (hash as u32, (hash >> 32) as u32 | 1);
        (self.start, self.step) = (start, step);
        // Before the daemon has written its settings there is no pool.
        if self.low.is_empty() && self.high.is_empty() {
            Err(Reason::PortsExhausted)
        } else {
            Ok(())
        }
    }

    /// The port to try: first the packet's own.
    #[inline(always)]
    pub(super) fn candidate(&self, attempt: u32) -> Option<Port> {
        let Some(attempt) = attempt.checked_sub(1) else {
            return self.liked;
        };
        let size = self.low.len() + self.high.len();
        let place = scatter(self.start.wrapping_add(attempt.wrapping_mul(self.step))).checked_rem(size)?;
        let port = match place.checked_sub(self.low.len()) {
            None => u32::from(self.low.first.0) + place,
            Some(place) => u32::from(self.high.first.0) + place,
        };
        u16::try_from(port).ok().map(Port)
    }
}

/// Whose source ports are chosen from.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Owner {
    /// The client's own: it keeps its port, unless another of its flows has the same answers.
    Client,
    #[default]
    /// This host's: away from its sockets, its ephemeral range and its published ports.
    Host,
}
