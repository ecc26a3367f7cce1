//! The maps.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage, SockMap},
    helpers::generated::bpf_get_socket_cookie,
    macros::btf_map,
    programs::SockAddrContext,
};
use netmap_common::{
    maps::{
        Address, AllowKey, Cookie, Count, Detour, Detours, Endpoint, Flow, FlowKey, Fragment, FragmentKey,
        Hook, Hop, IfIndex, Interface, Network, NetworkKey, Reason, Rule, RuleId, Settings, SharedKey, Slot,
        capacity,
    },
    nat::{Rules, local::Host},
};

const SPARSE: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static SLOTS: Array<Slot, { capacity::SLOTS }> = Array::new();
#[btf_map]
static SHARED: HashMap<SharedKey, RuleId, { capacity::SHARED }, SPARSE> = HashMap::new();
#[btf_map]
static RULES: Array<Rule, { capacity::RULES }> = Array::new();
#[btf_map]
pub(crate) static ALLOW: LpmTrie<AllowKey, u8, { capacity::ALLOW }> = LpmTrie::new();
// Not an LRU: one near its capacity evicts live flows, and one half of a pair at that.
#[btf_map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow, { capacity::FLOWS }> = HashMap::new();
#[btf_map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, Fragment, { capacity::FRAGMENTS }> = LruHashMap::new();
#[btf_map]
static LOCALS: HashMap<Address, IfIndex, { capacity::LOCALS }, SPARSE> = HashMap::new();
#[btf_map]
pub(crate) static NETWORKS: LpmTrie<NetworkKey, Network, { capacity::NETWORKS }> = LpmTrie::new();
#[btf_map]
pub(crate) static INTERFACES: HashMap<IfIndex, Interface, { capacity::INTERFACES }, SPARSE> = HashMap::new();
#[btf_map]
pub(crate) static ENDPOINTS: HashMap<Address, Endpoint, { capacity::ENDPOINTS }, SPARSE> = HashMap::new();
#[btf_map]
pub(crate) static RESERVED: Array<u64, { capacity::RESERVED }> = Array::new();
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<Count, { capacity::COUNTERS }> = PerCpuArray::new();
#[btf_map]
static PROBING: PerCpuArray<u32, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SOCKETS: SockMap<{ capacity::SOCKETS }> = SockMap::new();
#[btf_map]
static DETOURS: SkStorage<Detours> = SkStorage::new();
#[btf_map]
static CLIENTS: HashMap<Cookie, Detour, { capacity::CLIENTS }, SPARSE> = HashMap::new();
#[btf_map]
static HOP: PerCpuArray<Hop, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static REDIRECTS: DevMapHash<{ capacity::REDIRECTS }> = DevMapHash::new();

/// Looks at the detours of the socket whose hook runs; `None` when it has none.
#[inline(always)]
pub(crate) fn with_detours<T>(ctx: &SockAddrContext, look: impl FnOnce(&mut Detours) -> T) -> Option<T> {
    // SAFETY: the kernel never runs a hook of these without its socket.
    let detours = unsafe { DETOURS.get_ptr_mut(ctx) };
    // SAFETY: null or valid as long as the program runs (RCU), and the kernel holds the socket's lock meanwhile.
    unsafe { detours.as_mut() }.map(look)
}

/// The same, made if need be; `None` when there is no memory for it.
#[inline(always)]
pub(crate) fn with_detours_or_new<T>(
    ctx: &SockAddrContext,
    look: impl FnOnce(&mut Detours) -> T,
) -> Option<T> {
    // SAFETY: as above. Without a value to begin with, the kernel gives zeros.
    let detours = unsafe { DETOURS.get_or_insert_ptr_mut(ctx, None) };
    // SAFETY: as above.
    unsafe { detours.as_mut() }.map(look)
}

/// Makes a connected UDP socket known to the daemon. Where there is no room, it stays connected when its port is taken
/// back.
#[inline(always)]
pub(crate) fn remember_client(ctx: &SockAddrContext, detour: &Detour) {
    let _full = CLIENTS.insert(cookie(ctx), detour, 0);
}

/// The opposite; most sockets are not known.
#[inline(always)]
pub(crate) fn forget_client(ctx: &SockAddrContext) {
    let _unknown = CLIENTS.remove(cookie(ctx));
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

/// Where XDP sends the frame in hand.
#[inline(always)]
pub(crate) fn hop() -> Hop {
    HOP.get(0).copied().unwrap_or_default()
}

/// Notes that down. Not on the stack, of which there is too little.
#[inline(always)]
pub(crate) fn set_hop(hop: Hop) {
    if let Some(place) = HOP.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, and no other program of ours runs on this CPU until this one ends.
        unsafe { *place = hop };
    }
}

/// The published rules.
pub(crate) struct Tables;

impl Rules for Tables {
    #[inline(always)]
    fn slot(&self, index: u32) -> Slot {
        SLOTS.get(index).copied().unwrap_or(Slot::EMPTY)
    }

    #[inline(always)]
    fn shared(&self, key: &SharedKey) -> Option<RuleId> {
        // SAFETY: copied before any other map call.
        unsafe { SHARED.get(key) }.copied()
    }

    #[inline(always)]
    fn rule(&self, id: RuleId) -> Option<Rule> {
        RULES.get(id.0).copied()
    }
}

impl Host for Tables {
    #[inline(always)]
    fn has_address(&self, address: Address) -> bool {
        LOCALS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn knows_container(&self, address: Address) -> bool {
        ENDPOINTS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.get(0).copied().unwrap_or_default()
    }
}
