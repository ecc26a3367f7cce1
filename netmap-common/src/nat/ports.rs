//! Source ports: a port is taken by inserting the key of the answers, and only by that.
//!
//! The insert fails where the key exists, so two CPUs cannot both take a port, and the same port serves as many
//! destinations as there are (endpoint-dependent mapping, RFC 4787, 4.1).

use super::{
    Datagram, Env, Family, HostSocket, InsertError,
    candidates::{Owner, Places},
    flow, mapping,
};
use crate::maps::{
    Flow, FlowKey, Generation, Hook, IfIndex, Kind, Port, PortSlots, Protocol, Reason, RuleId, Seconds, Seen,
    Side, TcpSeen, Way,
};

/// A flow that wants to be, and once claimed, is. Zeros are a value of it: it lies where a program has room.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<A: Family> {
    /// The opening packet, or what a mapping has in its place.
    pub(super) from: FlowKey<A>,
    /// What becomes of it: before the claim with the source port that is liked best.
    pub(super) to: FlowKey<A>,
    /// Where the flow goes whose mapping is claimed first.
    pub(super) remote: (A, Port),
    /// The rule that opens it, none for egress.
    rule: RuleId,
    /// That rule's generation.
    generation: Generation,
    /// How packets of the original direction go on.
    pub(super) there: Direction,
    /// How answers do.
    back: Direction,
    /// [`Kind`] number.
    kind: u32,
    /// The [`Kind`] number of the flow whose mapping is claimed first.
    pub(super) behind: u32,
    /// Whether the flow has a mapping, and its port.
    pub(super) has_mapping: bool,
    /// Whether the port is that mapping's.
    pub(super) is_mapped: bool,
    /// Whether the flow turned out to be its own answers': a mapped port that sends to itself.
    pub(super) is_own_answer: bool,
    /// Whether the opening packet is yet to be recorded, by whoever finds the flow.
    pub(super) is_blank: bool,
    /// The entries that are made of it, one after the other.
    entry: Flow<A>,
    /// The key that is looked for or inserted while ports are tried. It would take the stack that older kernels have not:
    /// up to Linux 6.7 a call's part of it is rounded up to 32 bytes, since then to 16.
    tried: FlowKey<A>,
}

/// How packets of one direction go on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Direction {
    /// [`Way`] number.
    way: u32,
    /// Where that leads.
    pub(super) out: IfIndex,
}

impl<A: Family> Wish<A> {
    /// Nothing is wished for yet.
    #[inline(always)]
    pub(super) fn begin(&mut self, is_blank: bool, from: &FlowKey<A>) {
        self.is_blank = is_blank;
        self.from = *from;
        (self.has_mapping, self.is_mapped) = (false, false);
        self.is_own_answer = false;
    }

    /// Wishes for this flow.
    #[inline(always)]
    pub(super) fn be(
        &mut self,
        kind: Kind,
        to: FlowKey<A>,
        rule: (RuleId, Generation),
        there: Direction,
        back: Direction,
    ) {
        self.to = to;
        (self.rule, self.generation) = rule;
        self.there = there;
        self.back = back;
        self.kind = kind as u32;
    }

    /// The number of its entries, once they are there.
    #[inline(always)]
    pub(super) const fn nonce(&self) -> u32 {
        self.entry.nonce
    }

    /// Why it is translated.
    #[inline(always)]
    pub(super) const fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::Published,
            1 => Kind::Egress,
            2 => Kind::Hairpin,
            4 => Kind::Direct,
            5 => Kind::Mapping,
            6 => Kind::Mapped,
            _ => Kind::OwnPort,
        }
    }

    /// The packet that opens it, or what a mapping has in its place.
    #[inline(always)]
    pub const fn from(&self) -> &FlowKey<A> {
        &self.from
    }

    /// What becomes of that.
    #[inline(always)]
    pub const fn to(&self) -> &FlowKey<A> {
        &self.to
    }

    /// Where packets of the original direction go on, 0 by the host's stack.
    #[inline(always)]
    pub const fn out(&self) -> IfIndex {
        self.there.out
    }

    /// [`Kind`] number.
    #[inline(always)]
    pub const fn kind_number(&self) -> u32 {
        self.kind
    }

    /// The same flow, its answers by another way.
    #[inline(always)]
    pub(super) const fn back_by(&mut self, back: Direction) {
        self.back = back;
    }

    /// The same flow, for another reason.
    #[inline(always)]
    pub(super) const fn become_kind(&mut self, kind: u32) {
        self.kind = kind;
    }
}

impl Direction {
    /// Through the host's stack.
    pub(super) const STACK: Self = Self::new(Way::Stack, IfIndex(0));

    #[inline(always)]
    pub(super) const fn new(way: Way, out: IfIndex) -> Self {
        Self { way: way as u32, out }
    }

    #[inline(always)]
    pub(super) const fn way(self) -> Way {
        match self.way {
            1 => Way::Peer,
            2 => Way::Neigh,
            _ => Way::Stack,
        }
    }

    /// The port that packets come by from where the way leads, if it leads to one container only.
    #[inline(always)]
    const fn port(self) -> IfIndex {
        match self.way() {
            Way::Peer => self.out,
            Way::Neigh | Way::Stack => IfIndex(0),
        }
    }
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
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
) -> Result<(), Reason> {
    let nonce = env.random();
    draft_reply(wish, env.now(), nonce);
    take_port(env, datagram, wish)?;
    let flow = &mut wish.entry;
    flow.to = wish.to;
    flow.way = wish.there.way() as u8;
    flow.out = wish.there.out;
    flow.side = Side::Original as u8;
    flow.from = wish.back.port();
    if !wish.is_blank && wish.kind != Kind::Mapping as u32 {
        flow.tcp = TcpSeen::default().after(datagram.tcp);
        flow.packets = 1;
        flow.bytes = u64::from(datagram.length);
    }
    match env.insert(&wish.from, flow) {
        Ok(()) => Ok(()),
        Err(_) => follow_winner(env, hook, datagram, wish, nonce),
    }
}

/// Writes the entry of the answers. Not inlined, to give its stack back to the search.
#[inline(never)]
fn draft_reply<A: Family>(wish: &mut Wish<A>, now: Seconds, nonce: u32) {
    wish.entry = Flow {
        to: wish.from.reversed(),
        out: wish.back.out,
        nonce,
        rule: wish.rule,
        generation: wish.generation,
        way: wish.back.way() as u8,
        kind: wish.kind() as u8,
        side: Side::Reply as u8,
        tcp: TcpSeen::default(),
        last_seen: now,
        created: now,
        from: wish.there.port(),
        packets: 0,
        bytes: 0,
    };
}

/// Another CPU has decided for this flow, if the table is not full: its decision stands. It may be ours, which it adopted;
/// then the answers' entry is its twin and stays. What does not come in at this hook is another flow's entry, whose
/// answers have the same addresses: there is no room for this one beside it.
#[inline(never)]
fn follow_winner<E: Env>(
    env: &E,
    hook: Hook,
    datagram: &Datagram<E::Ip>,
    wish: &mut Wish<E::Ip>,
    nonce: u32,
) -> Result<(), Reason> {
    let winner = env.flow(&wish.from);
    if winner.is_none_or(|winner| winner.nonce != nonce) {
        env.remove(&wish.to.reversed(), nonce);
    }
    let winner = winner.ok_or(Reason::TableFull)?;
    // An entry that does not count where this packet came in is no decision about it.
    let counts = match wish.kind() {
        // It has no packets that would come in anywhere.
        Kind::Mapping => winner.kind() == Some(Kind::Mapping),
        _ => flow::comes_in(hook, &winner),
    };
    if !counts || winner.way().is_none() {
        return Err(Reason::SpoofedSource);
    }
    wish.to = winner.to;
    wish.is_own_answer = winner.side() == Side::Reply;
    if !wish.is_blank && wish.kind() != Kind::Mapping {
        let seen = Seen {
            now: env.now(),
            packets: 1,
            bytes: datagram.length,
            tcp: datagram.tcp,
        };
        env.touch(&wish.from, seen, |_| true);
    }
    Ok(())
}

/// Inserts the entry of the answers under the first port that is free.
#[inline(always)]
fn take_port<E: Env>(env: &E, datagram: &Datagram<E::Ip>, wish: &mut Wish<E::Ip>) -> Result<(), Reason> {
    let mut places = Places::default();
    places.choose(env, datagram, wish)?;
    let is_mapped = wish.is_mapped;
    // A mapping finds out by its own insert.
    let asks_mappings = wish.kind() != Kind::Mapping && env.settings().has_mappings();
    let (to, reply, key) = (&mut wish.to, &mut wish.entry, &mut wish.tried);
    let mut result = Err(Reason::PortsExhausted);
    env.search(TRIES + 1, |attempt| {
        let Some(port) = places.candidate(attempt) else {
            return false;
        };
        to.src_port = port;
        // A mapping's own port is none of those.
        let is_taken = places.owner == Owner::Host
            && !(is_mapped && attempt == 0)
            && (belongs_to_host(env, datagram.protocol, to) || asks_mappings && mapping::owns(env, to, key));
        if is_taken {
            return false;
        }
        *key = to.reversed();
        result = match env.insert(key, reply) {
            Ok(()) => Ok(()),
            Err(InsertError::Full) => Err(Reason::TableFull),
            Err(InsertError::Exists) => match adopt(env, key, reply) {
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
    // What a mapping lets in answers what goes out, so half of such a flow looks like the other's: no winner either.
    let same = winner.to == reply.to
        && winner.side == reply.side
        && winner.generation == reply.generation
        && winner.rule == reply.rule;
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
