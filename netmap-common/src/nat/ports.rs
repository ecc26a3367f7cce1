//! Source ports: a port is taken by inserting the key of the answers, and only by that.
//!
//! The insert fails where the key exists, so two CPUs cannot both take a port, and the same port serves as many
//! destinations as there are (endpoint-dependent mapping, RFC 4787, 4.1).

use super::{Env, HostSocket, InsertError};
use crate::maps::{Flow, FlowKey, Port, PortRange, PortSlots, Protocol, Reason, Settings, Side};

/// A flow that wants to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// The packet that opens it.
    pub(super) original: FlowKey,
    /// What becomes of the packet, with the source port that is liked best.
    pub(super) to: FlowKey,
    /// The entry of the original direction; `to`, nonce and times are filled in.
    pub(super) forward: Flow,
    /// The entry of the answers, likewise.
    pub(super) reply: Flow,
    /// Whose ports they are.
    pub(super) owner: Owner,
}

/// Whose source ports are chosen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The client's own: it keeps its port, unless another of its flows has the same answers.
    Client,
    /// This host's: away from its sockets, its ephemeral range and its published ports.
    Host,
}

/// How many ports are looked at besides the one that is liked best: 4 windows of 8.
const TRIES: u32 = 32;
const WINDOW: u32 = 8;

/// Takes a source port and adds both entries; returns the original direction's.
#[inline(always)]
pub(super) fn claim<E: Env>(env: &E, wish: &Wish) -> Result<Flow, Reason> {
    let nonce = env.random();
    let now = env.now();
    let mut to = wish.to;
    let mut reply = Flow { to: wish.original.reversed(), nonce, last_seen: now, created: now, ..wish.reply };
    reply.side = Side::Reply as u8;
    take_port(env, wish, &mut to, &mut reply)?;
    let forward = Flow { to, nonce: reply.nonce, last_seen: now, created: now, ..wish.forward };
    match env.insert(&wish.original, &forward) {
        Ok(()) => Ok(forward),
        Err(why) => {
            // Another CPU has decided for this flow, with another port: its decision stands.
            env.remove(&to.reversed(), nonce);
            match why {
                InsertError::Exists => env.flow(&wish.original).ok_or(Reason::TableFull),
                InsertError::Full => Err(Reason::TableFull),
            }
        }
    }
}

/// Inserts the entry of the answers under the first port that is free.
#[inline(always)]
fn take_port<E: Env>(env: &E, wish: &Wish, to: &mut FlowKey, reply: &mut Flow) -> Result<(), Reason> {
    let settings = env.settings();
    let pool = Pool::of(&settings, wish);
    for attempt in 0..=TRIES {
        let Some(port) = pool.candidate(&settings, wish, attempt) else { continue };
        to.src_port = port;
        if wish.owner == Owner::Host && belongs_to_host(env, wish.original.protocol, to) {
            continue;
        }
        let key = to.reversed();
        match env.insert(&key, reply) {
            Ok(()) => return Ok(()),
            Err(InsertError::Full) => return Err(Reason::TableFull),
            Err(InsertError::Exists) => {
                // The same flow's answers, claimed by another CPU: the loser adopts the winner's mapping.
                if let Some(winner) = env.flow(&key)
                    && winner.to == reply.to
                    && winner.generation == reply.generation
                    && winner.rule == reply.rule
                {
                    reply.nonce = winner.nonce;
                    return Ok(());
                }
            }
        }
    }
    Err(Reason::PortsExhausted)
}

/// Ports that the host itself uses, or that are published: an answer to them is not ours (nat traps T7, T8).
#[inline(always)]
fn belongs_to_host<E: Env>(env: &E, protocol: u8, to: &FlowKey) -> bool {
    let Some(protocol) = Protocol::from_number(protocol) else { return true };
    let Some((word, bit)) = PortSlots::word(protocol, to.src_port) else { return false };
    env.reserved_word(word) & bit != 0 || env.host_socket(&to.reversed()) != HostSocket::Absent
}

/// The ports to choose from: the same class as the packet's own ("well-known stays well-known", RFC 4787, REQ-3 a).
#[derive(Clone, Copy)]
struct Pool {
    low: PortRange,
    high: PortRange,
    keeps: bool,
}

impl Pool {
    #[inline(always)]
    fn of(settings: &Settings, wish: &Wish) -> Self {
        const NONE: PortRange = PortRange { first: Port(1), last: Port(0) };
        const WELL_KNOWN: PortRange = PortRange { first: Port(1), last: Port(1_023) };
        const USER: PortRange = PortRange { first: Port(1_024), last: Port(65_535) };
        const ALL: PortRange = PortRange { first: Port(0), last: Port(65_535) };
        let liked = wish.to.src_port;
        let [below, above] = settings.pool;
        let (low, high) = match wish.owner {
            // Echo identifiers are no ports: the host's own are chosen at random over all of them.
            _ if wish.original.protocol == Protocol::Icmp.number() => (ALL, NONE),
            _ if liked.0 < 1_024 => (WELL_KNOWN, NONE),
            Owner::Client => (USER, NONE),
            Owner::Host => (below, above),
        };
        let keeps = wish.owner == Owner::Client || low.contains(liked) || high.contains(liked);
        Self { low, high, keeps }
    }

    /// The port to try: first the packet's own, then windows at places that nobody outside can guess
    /// (RFC 6056, 3.3.3: "a keyed hash"); the same flow finds the same places.
    #[inline(always)]
    fn candidate(&self, settings: &Settings, wish: &Wish, attempt: u32) -> Option<Port> {
        let Some(attempt) = attempt.checked_sub(1) else { return self.keeps.then_some(wish.to.src_port) };
        let size = self.low.len() + self.high.len();
        if size == 0 {
            return None;
        }
        let start = hash(settings.secret, &wish.original, attempt / WINDOW);
        let place = start.wrapping_add(attempt % WINDOW) % size;
        let port = match place.checked_sub(self.low.len()) {
            None => u32::from(self.low.first.0) + place,
            Some(place) => u32::from(self.high.first.0) + place,
        };
        u16::try_from(port).ok().map(Port)
    }
}

/// SipHash-1-3 of a key and a number, 32 bits of it: short inputs, a secret key, cheap without tables.
#[inline(always)]
fn hash(secret: [u64; 2], key: &FlowKey, number: u32) -> u32 {
    let words = [
        u64::from(key.src.0) << 32 | u64::from(key.dst.0),
        u64::from(key.src_port.0) << 48 | u64::from(key.dst_port.0) << 32 | u64::from(key.protocol) << 24
            | u64::from(number),
    ];
    let [k0, k1] = secret;
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for word in words {
        state = mix(state, word);
    }
    state = mix(state, 16 << 56);
    let [v0, v1, v2, v3] = state;
    state = [v0, v1, v2 ^ 0xff, v3];
    for _ in 0..3 {
        state = round(state);
    }
    let [v0, v1, v2, v3] = state;
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of the hash serve")]
    let low = (v0 ^ v1 ^ v2 ^ v3) as u32;
    low
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
