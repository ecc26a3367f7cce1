//! The maps.

use core::{
    marker::PhantomData,
    ops::DerefMut,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG, BPF_NOEXIST},
    btf_maps::{
        Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, Queue, RingBuf,
        SkStorage, SockMap,
    },
    helpers::generated::bpf_get_socket_cookie,
    macros::btf_map,
    programs::{SockAddrContext, TcContext, XdpContext},
};
use netmap_common::{
    maps::{
        Address, Address6, AllowKey, Cookie, Count, Detour, Detours, EgressPlace, Endpoint, Flow, FlowKey,
        Fragment, FragmentKey, Held, Hook, Hop, IfIndex, Interface, Limits, Load, Local, Network, NetworkKey,
        Opening, Payer, PayerRole, Rate, Reason, Rule, RuleId, Seconds, Settings, SharedKey, Slot, capacity,
        tail,
    },
    nat::{Family, Here, Part, Rules, Wish, local::Host},
};

const SPARSE: usize = BPF_F_NO_PREALLOC as usize;
/// What the daemon writes, and no program: the verifier refuses one that would.
const TOLD: usize = BPF_F_RDONLY_PROG as usize;
const SPARSE_TOLD: usize = SPARSE | TOLD;

type Slots = Array<Slot, { capacity::SLOTS }, TOLD>;
type Shared<A> = HashMap<SharedKey<A>, RuleId, { capacity::SHARED }, SPARSE_TOLD>;
type RuleTable<A> = Array<Rule<A>, { capacity::RULES }, TOLD>;
type Allow<A> = LpmTrie<AllowKey<A>, u8, { capacity::ALLOW }, SPARSE_TOLD>;
// Not an LRU: one near its capacity evicts live flows, and one half of a pair at that.
type Flows<A> = HashMap<FlowKey<A>, Flow<A>, { capacity::FLOWS }>;
type Fragments<A> = LruHashMap<FragmentKey<A>, Fragment, { capacity::FRAGMENTS }>;
type Loads<A> = LruHashMap<A, Load, { capacity::LOADS }>;
type Ended<A> = HashMap<Payer<A>, u64, { capacity::ENDED }, SPARSE_TOLD>;
type Openings<A> = Queue<Opening<A>, { capacity::OPENINGS }>;
type Locals<A> = HashMap<A, Local, { capacity::LOCALS }, SPARSE_TOLD>;
type Networks<A> = LpmTrie<NetworkKey<A>, Network<A>, { capacity::NETWORKS }, SPARSE_TOLD>;
type Egress<A> = HashMap<EgressPlace, A, { capacity::EGRESS }, SPARSE_TOLD>;
type Interfaces<A> = HashMap<IfIndex, Interface<A>, { capacity::INTERFACES }, SPARSE_TOLD>;
type Owners<A> = HashMap<A, IfIndex, { capacity::OWNERS }, SPARSE_TOLD>;
type Endpoints<A> = HashMap<A, Endpoint<A>, { capacity::ENDPOINTS }, SPARSE_TOLD>;
type DetourStorage<A> = SkStorage<Detours<A>>;
type Clients<A> = HashMap<Cookie, Detour<A>, { capacity::CLIENTS }, SPARSE>;
type HopPlace<A> = PerCpuArray<Hop<A>, 1>;
type Room<A> = PerCpuArray<Wish<A>, 1>;

/// The maps that are there once a family.
pub(crate) trait Tables: Family {
    /// [`netmap_common::maps::name::SLOTS`].
    const SLOTS: &'static Slots;
    /// [`netmap_common::maps::name::SHARED`].
    const SHARED: &'static Shared<Self>;
    /// [`netmap_common::maps::name::RULES`].
    const RULES: &'static RuleTable<Self>;
    /// [`netmap_common::maps::name::ALLOW`].
    const ALLOW: &'static Allow<Self>;
    /// [`netmap_common::maps::name::FLOWS`].
    const FLOWS: &'static Flows<Self>;
    /// [`netmap_common::maps::name::FRAGMENTS`].
    const FRAGMENTS: &'static Fragments<Self>;
    /// [`netmap_common::maps::name::CONTAINERS`].
    const CONTAINERS: &'static Loads<Self>;
    /// [`netmap_common::maps::name::SOURCES`].
    const SOURCES: &'static Loads<Self>;
    /// [`netmap_common::maps::name::ENDED`].
    const ENDED: &'static Ended<Self>;
    /// [`netmap_common::maps::name::OPENINGS`].
    const OPENINGS: &'static Openings<Self>;
    /// [`netmap_common::maps::name::LOCALS`].
    const LOCALS: &'static Locals<Self>;
    /// [`netmap_common::maps::name::NETWORKS`].
    const NETWORKS: &'static Networks<Self>;
    /// [`netmap_common::maps::name::EGRESS`].
    const EGRESS: &'static Egress<Self>;
    /// [`netmap_common::maps::name::INTERFACES`].
    const INTERFACES: &'static Interfaces<Self>;
    /// [`netmap_common::maps::name::OWNERS`].
    const OWNERS: &'static Owners<Self>;
    /// [`netmap_common::maps::name::ENDPOINTS`].
    const ENDPOINTS: &'static Endpoints<Self>;
    /// [`netmap_common::maps::name::DETOURS`].
    const DETOURS: &'static DetourStorage<Self>;
    /// [`netmap_common::maps::name::CLIENTS`].
    const CLIENTS: &'static Clients<Self>;
    /// [`netmap_common::maps::name::HOP`].
    const HOP: &'static HopPlace<Self>;
    /// [`netmap_common::maps::name::ROOM`].
    const ROOM: &'static Room<Self>;
    /// Where it is kept what a packet becomes.
    type Place: DerefMut<Target = FlowKey<Self>>;

    /// Gives such a place.
    fn place() -> Option<Self::Place>;
}

#[btf_map]
static SLOTS: Slots = Slots::new();
#[btf_map]
static SHARED: Shared<Address> = Shared::new();
#[btf_map]
static RULES: RuleTable<Address> = RuleTable::new();
#[btf_map]
static ALLOW: Allow<Address> = Allow::new();
#[btf_map]
static FLOWS: Flows<Address> = Flows::new();
#[btf_map]
static FRAGMENTS: Fragments<Address> = Fragments::new();
#[btf_map]
static CONTAINERS: Loads<Address> = Loads::new();
#[btf_map]
static SOURCES: Loads<Address> = Loads::new();
#[btf_map]
static ENDED: Ended<Address> = Ended::new();
#[btf_map]
static OPENINGS: Openings<Address> = Openings::new();
#[btf_map]
static LOCALS: Locals<Address> = Locals::new();
#[btf_map]
static NETWORKS: Networks<Address> = Networks::new();
#[btf_map]
static EGRESS: Egress<Address> = Egress::new();
#[btf_map]
static INTERFACES: Interfaces<Address> = Interfaces::new();
#[btf_map]
static OWNERS: Owners<Address> = Owners::new();
#[btf_map]
static ENDPOINTS: Endpoints<Address> = Endpoints::new();
#[btf_map]
static DETOURS: DetourStorage<Address> = DetourStorage::new();
#[btf_map]
static CLIENTS: Clients<Address> = Clients::new();
#[btf_map]
static HOP: HopPlace<Address> = HopPlace::new();
#[btf_map]
static ROOM: Room<Address> = Room::new();

impl Tables for Address {
    const SLOTS: &'static Slots = &SLOTS;
    const SHARED: &'static Shared<Self> = &SHARED;
    const RULES: &'static RuleTable<Self> = &RULES;
    const ALLOW: &'static Allow<Self> = &ALLOW;
    const FLOWS: &'static Flows<Self> = &FLOWS;
    const FRAGMENTS: &'static Fragments<Self> = &FRAGMENTS;
    const CONTAINERS: &'static Loads<Self> = &CONTAINERS;
    const SOURCES: &'static Loads<Self> = &SOURCES;
    const ENDED: &'static Ended<Self> = &ENDED;
    const OPENINGS: &'static Openings<Self> = &OPENINGS;
    const LOCALS: &'static Locals<Self> = &LOCALS;
    const NETWORKS: &'static Networks<Self> = &NETWORKS;
    const EGRESS: &'static Egress<Self> = &EGRESS;
    const INTERFACES: &'static Interfaces<Self> = &INTERFACES;
    const OWNERS: &'static Owners<Self> = &OWNERS;
    const ENDPOINTS: &'static Endpoints<Self> = &ENDPOINTS;
    const DETOURS: &'static DetourStorage<Self> = &DETOURS;
    const CLIENTS: &'static Clients<Self> = &CLIENTS;
    const HOP: &'static HopPlace<Self> = &HOP;
    const ROOM: &'static Room<Self> = &ROOM;
    type Place = Here<FlowKey<Self>>;

    #[inline(always)]
    fn place() -> Option<Self::Place> {
        Some(Here::default())
    }
}

#[btf_map]
static SLOTS6: Slots = Slots::new();
#[btf_map]
static SHARED6: Shared<Address6> = Shared::new();
#[btf_map]
static RULES6: RuleTable<Address6> = RuleTable::new();
#[btf_map]
static ALLOW6: Allow<Address6> = Allow::new();
#[btf_map]
static FLOWS6: Flows<Address6> = Flows::new();
#[btf_map]
static FRAGMENTS6: Fragments<Address6> = Fragments::new();
#[btf_map]
static CONTAINERS6: Loads<Address6> = Loads::new();
#[btf_map]
static SOURCES6: Loads<Address6> = Loads::new();
#[btf_map]
static ENDED6: Ended<Address6> = Ended::new();
#[btf_map]
static OPENINGS6: Openings<Address6> = Openings::new();
#[btf_map]
static LOCALS6: Locals<Address6> = Locals::new();
#[btf_map]
static NETWORKS6: Networks<Address6> = Networks::new();
#[btf_map]
static EGRESS6: Egress<Address6> = Egress::new();
#[btf_map]
static INTERFACES6: Interfaces<Address6> = Interfaces::new();
#[btf_map]
static OWNERS6: Owners<Address6> = Owners::new();
#[btf_map]
static ENDPOINTS6: Endpoints<Address6> = Endpoints::new();
#[btf_map]
static DETOURS6: DetourStorage<Address6> = DetourStorage::new();
#[btf_map]
static CLIENTS6: Clients<Address6> = Clients::new();
#[btf_map]
static HOP6: HopPlace<Address6> = HopPlace::new();
#[btf_map]
static ROOM6: Room<Address6> = Room::new();
#[btf_map]
static PLACE6: PerCpuArray<FlowKey<Address6>, 1> = PerCpuArray::new();

impl Tables for Address6 {
    const SLOTS: &'static Slots = &SLOTS6;
    const SHARED: &'static Shared<Self> = &SHARED6;
    const RULES: &'static RuleTable<Self> = &RULES6;
    const ALLOW: &'static Allow<Self> = &ALLOW6;
    const FLOWS: &'static Flows<Self> = &FLOWS6;
    const FRAGMENTS: &'static Fragments<Self> = &FRAGMENTS6;
    const CONTAINERS: &'static Loads<Self> = &CONTAINERS6;
    const SOURCES: &'static Loads<Self> = &SOURCES6;
    const ENDED: &'static Ended<Self> = &ENDED6;
    const OPENINGS: &'static Openings<Self> = &OPENINGS6;
    const LOCALS: &'static Locals<Self> = &LOCALS6;
    const NETWORKS: &'static Networks<Self> = &NETWORKS6;
    const EGRESS: &'static Egress<Self> = &EGRESS6;
    const INTERFACES: &'static Interfaces<Self> = &INTERFACES6;
    const OWNERS: &'static Owners<Self> = &OWNERS6;
    const ENDPOINTS: &'static Endpoints<Self> = &ENDPOINTS6;
    const DETOURS: &'static DetourStorage<Self> = &DETOURS6;
    const CLIENTS: &'static Clients<Self> = &CLIENTS6;
    const HOP: &'static HopPlace<Self> = &HOP6;
    const ROOM: &'static Room<Self> = &ROOM6;
    type Place = &'static mut FlowKey<Self>;

    #[inline(always)]
    fn place() -> Option<Self::Place> {
        let place = PLACE6.get_ptr_mut(0)?;
        // SAFETY: a per-CPU value, no other program of ours runs on this CPU until this one ends, and this one asks once.
        Some(unsafe { &mut *place })
    }
}

#[btf_map]
pub(crate) static RESERVED: Array<u64, { capacity::RESERVED }, TOLD> = Array::new();
#[btf_map]
static SETTINGS: Array<Settings, 1, TOLD> = Array::new();
#[btf_map]
static LIMITS: Array<Limits, 1, TOLD> = Array::new();
#[btf_map]
static MESSAGES: PerCpuArray<Rate, 1> = PerCpuArray::new();
#[btf_map]
static COUNTERS: PerCpuArray<Count, { capacity::COUNTERS }> = PerCpuArray::new();
#[btf_map]
static HELD: RingBuf<Held, { capacity::HELD }> = RingBuf::new();
#[btf_map]
static HOLDS: LruHashMap<IfIndex, Rate, { capacity::HOLDS }> = LruHashMap::new();
#[btf_map]
static PROBING: PerCpuArray<u32, 2> = PerCpuArray::new();
#[btf_map]
pub(crate) static SOCKETS: SockMap<{ capacity::SOCKETS }> = SockMap::new();
#[btf_map]
pub(crate) static REDIRECTS: DevMapHash<{ capacity::REDIRECTS }> = DevMapHash::new();

/// Programs that others go on with (tail calls): the parts of the data path for IPv6, index [`tail::index`].
#[btf_map]
static TAILS: ProgramArray<{ capacity::TAILS }> = ProgramArray::new();
/// The same for XDP: the kernel wants all programs of one such array to be of one type.
#[btf_map]
static TAILS_XDP: ProgramArray<{ capacity::TAILS }> = ProgramArray::new();

/// Goes on with the program that has this part at this hook for IPv6; comes back where there is none.
#[inline(always)]
pub(crate) fn go_on(ctx: &TcContext, hook: Hook, part: Part) {
    // SAFETY: nothing of this program's waits to be dropped.
    unsafe { TAILS.tail_call(ctx, tail::index(hook, part as u32)) };
}

/// The same for XDP.
#[inline(always)]
pub(crate) fn go_on_xdp(ctx: &XdpContext, part: Part) {
    // SAFETY: as above.
    unsafe { TAILS_XDP.tail_call(ctx, tail::index(Hook::UplinkXdp, part as u32)) };
}

/// Looks at the detours of the socket whose hook runs; `None` when it has none.
#[inline(always)]
pub(crate) fn with_detours<A: Tables, T>(
    ctx: &SockAddrContext,
    look: impl FnOnce(&mut Detours<A>) -> T,
) -> Option<T> {
    // SAFETY: the kernel never runs a hook of these without its socket.
    let detours = unsafe { A::DETOURS.get_ptr_mut(ctx) };
    // SAFETY: null or valid as long as the program runs (RCU), and the kernel holds the socket's lock meanwhile.
    unsafe { detours.as_mut() }.map(look)
}

/// The same, made if need be; `None` when there is no memory for it.
#[inline(always)]
pub(crate) fn with_detours_or_new<A: Tables, T>(
    ctx: &SockAddrContext,
    look: impl FnOnce(&mut Detours<A>) -> T,
) -> Option<T> {
    // SAFETY: as above. Without a value to begin with, the kernel gives zeros.
    let detours = unsafe { A::DETOURS.get_or_insert_ptr_mut(ctx, None) };
    // SAFETY: as above.
    unsafe { detours.as_mut() }.map(look)
}

/// Makes a connected UDP socket known to the daemon. Where there is no room, it stays connected when its port is taken
/// back.
#[inline(always)]
pub(crate) fn remember_client<A: Tables>(ctx: &SockAddrContext, detour: &Detour<A>) {
    let _full = A::CLIENTS.insert(cookie(ctx), detour, 0);
}

/// The opposite; most sockets are not known.
#[inline(always)]
pub(crate) fn forget_client<A: Tables>(ctx: &SockAddrContext) {
    let _unknown = A::CLIENTS.remove(cookie(ctx));
}

#[inline(always)]
fn cookie(ctx: &SockAddrContext) -> Cookie {
    // SAFETY: the context is the program's own.
    Cookie(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) })
}

/// Counts a packet, or for the socket hooks (0 bytes) a connection or datagram.
#[inline(always)]
pub(crate) fn count(hook: Hook, reason: Reason, bytes: u32) {
    let Some(count) = COUNTERS.get_ptr_mut(hook.counter(reason)) else {
        return;
    };
    // SAFETY: a per-CPU value that only this CPU's programs write.
    let count = unsafe { &mut *count };
    count.packets += 1;
    count.bytes += u64::from(bytes);
}

/// Whether a packet program of ours is looking for a socket on this CPU: the look-up runs the socket hook too, which must
/// neither count nor answer then.
#[inline(always)]
pub(crate) fn is_probing() -> bool {
    PROBING.get(0).is_some_and(|probing| *probing != 0)
}

#[inline(always)]
pub(crate) fn set_probing(probing: bool) {
    if let Some(place) = PROBING.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, and no other program of ours runs on this CPU until this one ends.
        unsafe { *place = u32::from(probing) };
    }
}

/// The same number, of which the verifier knows nothing any more.
#[inline(always)]
pub(crate) fn forgotten(number: u32) -> u32 {
    let Some(place) = PROBING.get_ptr_mut(1) else {
        return 0;
    };
    // SAFETY: a per-CPU value, and no other program of ours runs on this CPU until this one ends.
    unsafe { write_volatile(place, number) };
    // SAFETY: as above.
    unsafe { read_volatile(place) }
}

/// Room for the flow that the program in hand is about to open.
#[inline(always)]
pub(crate) fn room<A: Tables>() -> Option<&'static mut Wish<A>> {
    let room = A::ROOM.get_ptr_mut(0)?;
    // SAFETY: a per-CPU value, no other program of ours runs on this CPU until this one ends, and this one asks once.
    Some(unsafe { &mut *room })
}

/// Where XDP sends the frame in hand.
#[inline(always)]
pub(crate) fn hop<A: Tables>() -> Hop<A> {
    A::HOP.get(0).copied().unwrap_or_default()
}

/// Notes that down. Not on the stack, of which there is too little.
#[inline(always)]
pub(crate) fn set_hop<A: Tables>(hop: Hop<A>) {
    if let Some(place) = A::HOP.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, and no other program of ours runs on this CPU until this one ends.
        unsafe { *place = hop };
    }
}

/// The settings; all zero before the daemon has written them.
#[inline(always)]
pub(crate) fn settings() -> Settings {
    SETTINGS.get(0).copied().unwrap_or_default()
}

/// The limits; all zero before the daemon has written them.
#[inline(always)]
pub(crate) fn limits() -> Limits {
    LIMITS.get(0).copied().unwrap_or_default()
}

/// Whether this CPU may send another message to the sender of a refused packet; if so, it counts.
#[inline(always)]
pub(crate) fn may_tell(now: Seconds, most: u32) -> bool {
    let Some(rate) = MESSAGES.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a per-CPU value that only this CPU's programs write.
    let rate = unsafe { &mut *rate };
    rate.admits(now, most)
}

/// Whether another fragment that came by this interface may be held in this second; if so, it counts.
#[inline(always)]
pub(crate) fn may_hold(arrival: IfIndex, now: Seconds) -> bool {
    let most = limits().held_fragments;
    if most == 0 {
        return false;
    }
    if HOLDS.get_ptr(arrival).is_none() {
        // Another CPU may have been faster.
        let _there = HOLDS.insert(arrival, Rate::default(), u64::from(BPF_NOEXIST));
    }
    let Some(rate) = HOLDS.get_ptr_mut(arrival) else {
        return false;
    };
    // SAFETY: the element lives as long as the program runs (RCU). CPUs that count at once may admit a few more.
    let rate = unsafe { &mut *rate };
    rate.admits(now, most)
}

/// Gives the daemon a frame of this length to hold, which `fill` writes to where it is told; false where there is no room.
#[inline(always)]
pub(crate) fn hand_over(arrival: IfIndex, length: u32, fill: impl FnOnce(*mut u8) -> bool) -> bool {
    let Some(mut entry) = HELD.reserve(0) else {
        return false;
    };
    let held = entry.as_mut_ptr();
    // SAFETY: the place is reserved, and of this type's size.
    unsafe { (&raw mut (*held).arrival).write(arrival) };
    // SAFETY: as above.
    unsafe { (&raw mut (*held).length).write(length) };
    // SAFETY: as above.
    let frame = unsafe { &raw mut (*held).frame };
    if fill(frame.cast()) {
        entry.submit(0);
        return true;
    }
    entry.discard(0);
    false
}

/// How many flows somebody has.
#[inline(always)]
pub(crate) fn load<A: Tables>(payer: &Payer<A>) -> u64 {
    let Some(load) = load_of(payer) else {
        return 0;
    };
    // SAFETY: the kernel frees no element while a program runs (RCU).
    let load = unsafe { *load };
    // SAFETY: copied before any other map call.
    load.flows(unsafe { A::ENDED.get(payer) }.copied().unwrap_or_default())
}

/// Counts another flow of somebody's.
#[inline(always)]
pub(crate) fn add_load<A: Tables>(payer: &Payer<A>) {
    let Some(load) = load_or_new(payer) else { return };
    // SAFETY: the element lives as long as the program runs (RCU). CPUs that add at once may lose some, until the sweeper
    // counts: Rust has no adding in one for this target.
    let load = unsafe { &mut *load };
    load.opened += 1;
}

/// Counts one less.
#[inline(always)]
pub(crate) fn drop_load<A: Tables>(payer: &Payer<A>) {
    let Some(load) = load_of(payer) else { return };
    // SAFETY: as above.
    let load = unsafe { &mut *load };
    load.opened = load.opened.saturating_sub(1);
}

/// Puts a flow behind those that somebody outside has opened. Where there is no room, the first of them makes it.
#[inline(always)]
pub(crate) fn push_opening<A: Tables>(opening: &Opening<A>) -> Option<Opening<A>> {
    if A::OPENINGS.push(opening, 0).is_ok() {
        return None;
    }
    let first = A::OPENINGS.pop().ok().flatten();
    // Where another CPU was faster, the flow stands in no queue: it ends when it idles.
    let _full = A::OPENINGS.push(opening, 0);
    first
}

/// Whether somebody may open another flow in this second; if so, it counts.
#[inline(always)]
pub(crate) fn may_open<A: Tables>(payer: &Payer<A>, now: Seconds, most: u32) -> bool {
    let Some(load) = load_or_new(payer) else {
        return true;
    };
    // SAFETY: as above. CPUs that count at once may lose some, and admit a few more than there should be.
    let rate = unsafe { &mut (*load).rate };
    rate.admits(now, most)
}

#[inline(always)]
fn load_or_new<A: Tables>(payer: &Payer<A>) -> Option<*mut Load> {
    if let Some(load) = load_of(payer) {
        return Some(load);
    }
    // Another CPU may have been faster. Where there is no memory, nobody is refused for it.
    let (table, no_exist) = (loads::<A>(payer), u64::from(BPF_NOEXIST));
    let _there = table.insert(payer.address, Load::default(), no_exist);
    load_of(payer)
}

#[inline(always)]
fn load_of<A: Tables>(payer: &Payer<A>) -> Option<*mut Load> {
    loads::<A>(payer).get_ptr_mut(payer.address)
}

#[inline(always)]
fn loads<A: Tables>(payer: &Payer<A>) -> &'static Loads<A> {
    if payer.role == PayerRole::Container as u8 {
        A::CONTAINERS
    } else {
        A::SOURCES
    }
}

/// An address of this host.
#[inline(always)]
pub(crate) fn local<A: Tables>(address: A) -> Option<Local> {
    // SAFETY: copied before any other map call.
    unsafe { A::LOCALS.get(address) }.copied()
}

/// The published rules of one family.
pub(crate) struct Published<A>(PhantomData<A>);

impl<A> Published<A> {
    pub(crate) const RULES: Self = Self(PhantomData);
}

impl<A: Tables> Rules for Published<A> {
    type Ip = A;

    #[inline(always)]
    fn slot(&self, index: u32) -> Slot {
        A::SLOTS.get(index).copied().unwrap_or(Slot::EMPTY)
    }

    #[inline(always)]
    fn shared(&self, key: &SharedKey<A>) -> Option<RuleId> {
        // SAFETY: copied before any other map call.
        unsafe { A::SHARED.get(key) }.copied()
    }

    #[inline(always)]
    fn rule(&self, id: RuleId) -> Option<Rule<A>> {
        A::RULES.get(id.0).copied()
    }
}

impl<A: Tables> Host for Published<A> {
    #[inline(always)]
    fn has_address(&self, address: A) -> bool {
        A::LOCALS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn knows_container(&self, address: A) -> bool {
        A::ENDPOINTS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        settings()
    }
}
