//! Source ports: a port is taken by inserting the key of the answers, and only by that.
//!
//! The insert fails where the key exists, so two CPUs cannot both take a port, and the same port serves as many
//! destinations as there are (endpoint-dependent mapping, RFC 4787, 4.1).

use super::{Datagram, Env, Family, HostSocket, InsertError};
use crate::maps::{
    Flow, FlowKey, Generation, IfIndex, Kind, Port, PortRange, PortSlots, Protocol, Reason, RuleId, Settings,
    Side, TcpSeen, Way,
};

/// A flow that wants to be, and once claimed, is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<A: Family> {
    /// What becomes of the opening packet: before the claim with the source port that is liked best.
    pub(super) to: FlowKey<A>,
    /// Why it is translated.
    pub(super) kind: Kind,
    /// The rule that opens it and its generation, none for egress.
    pub(super) rule: (RuleId, Generation),
    /// How packets of the original direction go on.
    pub(super) there: (Way, IfIndex),
    /// How answers do.
    pub(super) back: (Way, IfIndex),
}

impl<A: Family> Default for Wish<A> {
    fn default() -> Self {
        let nowhere = (Way::Stack, IfIndex(0));
        Self {
            to: FlowKey::default(),
            kind: Kind::Egress,
            rule: (RuleId(0), Generation(0)),
            there: nowhere,
            back: nowhere,
        }
    }
}

/// Whose source ports are chosen from.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Owner {
    /// The client's own: it keeps its port, unless another of its flows has the same answers.
    Client,
    #[default]
    /// This host's: away from its sockets, its ephemeral range and its published ports.
    Host,
}

/// How many ports are looked at besides the one that is liked best.
const TRIES: u32 = 32;

/// Takes a source port and adds both entries; leaves in `wish` what the packet becomes.
///
/// Not inlined: few packets come here, and it needs stack of its own. Its result goes out by reference, because the
/// verifier refuses a subprogram that returns more than a number.
#[inline(never)]
pub(super) fn claim<E: Env>(
    env: &E,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let now = env.now();
    let nonce = env.random();
    let mut flow = Flow {
        to: datagram.key.reversed(),
        out: wish.back.1,
        nonce,
        rule: wish.rule.0,
        generation: wish.rule.1,
        way: wish.back.0 as u8,
        kind: wish.kind as u8,
        side: Side::Reply as u8,
        last_seen: now,
        created: now,
        from: port_of(wish.there),
        ..Flow::default()
    };
    take_port(env, datagram, wish, &mut flow)?;
    flow.to = wish.to;
    flow.way = wish.there.0 as u8;
    flow.out = wish.there.1;
    flow.side = Side::Original as u8;
    flow.from = port_of(wish.back);
    flow.tcp = TcpSeen::default().after(datagram.tcp);
    flow.packets = 1;
    flow.bytes = u64::from(datagram.length);
    let winner = match env.insert(&datagram.key, &flow) {
        Ok(()) => return Ok(()),
        Err(InsertError::Full) => None,
        Err(InsertError::Exists) => env.flow(&datagram.key).map(|winner| (winner.to, winner.nonce)),
    };
    // Another CPU has decided for this flow: its decision stands. It may be ours, which it adopted; then the answers'
    // entry is its twin and stays.
    if winner.is_none_or(|winner| winner.1 != nonce) {
        env.remove(&wish.to.reversed(), nonce);
    }
    wish.to = winner.ok_or(Reason::TableFull)?.0;
    Ok(())
}

/// The port that packets come by from where the way leads, if it leads to one container only.
#[inline(always)]
fn port_of((way, out): (Way, IfIndex)) -> IfIndex {
    if way == Way::Peer { out } else { IfIndex(0) }
}

/// Inserts the entry of the answers under the first port that is free.
#[inline(always)]
fn take_port<E: Env>(
    env: &E,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
    reply: &mut Flow<E::Ip>,
) -> Result<(), Reason> {
    let mut places = Places::default();
    places.choose(&env.settings(), datagram, wish)?;
    let to = &mut wish.to;
    let mut result = Err(Reason::PortsExhausted);
    env.search(TRIES + 1, |attempt| {
        let Some(port) = places.candidate(attempt) else {
            return false;
        };
        to.src_port = port;
        if places.owner == Owner::Host && belongs_to_host(env, datagram.protocol, to) {
            return false;
        }
        let key = to.reversed();
        result = match env.insert(&key, reply) {
            Ok(()) => Ok(()),
            Err(InsertError::Full) => Err(Reason::TableFull),
            Err(InsertError::Exists) => match adopt(env, &key, reply) {
                Some(nonce) => {
                    reply.nonce = nonce;
                    Ok(())
                }
                None => return false,
            },
        };
        true
    });
    result
}

/// The nonce of an entry that is the same flow's answers, claimed by another CPU: the loser adopts the winner's
/// mapping.
#[inline(always)]
fn adopt<E: Env>(env: &E, key: &FlowKey<E::Ip>, reply: &Flow<E::Ip>) -> Option<u32> {
    let winner = env.flow(key)?;
    let same = winner.to == reply.to && winner.generation == reply.generation && winner.rule == reply.rule;
    same.then_some(winner.nonce)
}

/// Ports that the host itself uses, or that are published: an answer to them would not be ours.
#[inline(always)]
fn belongs_to_host<E: Env>(env: &E, protocol: Protocol, to: &FlowKey<E::Ip>) -> bool {
    let Some((word, bit)) = PortSlots::word(protocol, to.src_port) else {
        return false;
    };
    env.reserved_word(word) & bit != 0 || env.host_socket(&to.reversed()) != HostSocket::Absent
}

/// Where a flow looks for its port.
#[derive(Default)]
struct Places {
    owner: Owner,
    /// The packet's own port, if it may be kept.
    liked: Option<Port>,
    low: PortRange,
    high: PortRange,
    start: u32,
    step: u32,
}

impl Places {
    /// Not inlined for the same reasons as [`claim`].
    #[inline(never)]
    fn choose<A: Family>(
        &mut self,
        settings: &Settings,
        datagram: &Datagram<A>,
        wish: &Wish<A>,
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
        let liked = wish.to.src_port;
        self.owner = match wish.kind {
            Kind::Published | Kind::Hairpin | Kind::Direct => Owner::Client,
            Kind::Egress | Kind::OwnPort => Owner::Host,
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
        self.liked = keeps.then_some(liked);
        // Places that nobody outside can guess (RFC 6056, 3.3.4: two hashes), the same ones for the same flow.
        let hash = hash(settings.secret, &datagram.key);
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
    fn candidate(&self, attempt: u32) -> Option<Port> {
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

/// Where steps of one width would stay within a run of ports that are taken (clients keep theirs, and use neighbouring
/// ones), these are all over the pool: the last step of `MurmurHash3`.
#[inline(always)]
const fn scatter(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

/// SipHash-1-3 of a key: made for short inputs and a secret, cheap without tables.
#[inline(always)]
pub(super) fn hash<A: Family>(secret: [u64; 2], key: &FlowKey<A>) -> u64 {
    let ports = u64::from(key.src_port.0) << 48 | u64::from(key.dst_port.0) << 32 | u64::from(key.protocol);
    let [k0, k1] = secret;
    let state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let state = mix(mix_addresses(state, key.src, key.dst), ports);
    // The last block is the length, 16 bytes or 40, in the top byte.
    let [v0, v1, v2, v3] = mix(state, u64::from(A::BITS / 4 + 8) << 56);
    let [v0, v1, v2, v3] = round(round(round([v0, v1, v2 ^ 0xff, v3])));
    v0 ^ v1 ^ v2 ^ v3
}

#[inline(always)]
fn mix_addresses<A: Family>(state: [u64; 4], src: A, dst: A) -> [u64; 4] {
    let ([a, b, c, d], [e, f, g, h]) = (src.words(), dst.words());
    let pair = |high, low| u64::from(high) << 32 | u64::from(low);
    if A::BITS == 32 {
        mix(state, pair(d, h))
    } else {
        mix(
            mix(mix(mix(state, pair(a, b)), pair(c, d)), pair(e, f)),
            pair(g, h),
        )
    }
}

#[inline(always)]
fn mix([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
    let [v0, v1, v2, v3] = round([v0, v1, v2, v3 ^ word]);
    [v0 ^ word, v1, v2, v3]
}

#[inline(always)]
fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v1 = v1.rotate_left(13) ^ v0;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v3);
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.wrapping_add(v3);
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}
