//! The maps, and the world as the NAT sees it through them and through the kernel's helpers: the only file that
//! touches either.

use core::{
    ffi::c_void,
    ptr::{addr_of, read_volatile},
};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_F_CURRENT_NETNS, BPF_F_NO_PREALLOC, BPF_NOEXIST, bpf_fib_lookup},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage, SockMap, lpm_trie::Key},
    helpers::generated::{
        bpf_check_mtu, bpf_fib_lookup as fib_lookup, bpf_get_prandom_u32, bpf_get_socket_cookie,
        bpf_ktime_get_coarse_ns, bpf_loop, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp,
    },
    macros::btf_map,
    programs::SockAddrContext,
};
use netmap_common::{
    maps::{
        Address, AllowKey, Cookie, Count, Detour, Detours, Endpoint, Flow, FlowKey, Fragment, FragmentKey,
        Hook, IfIndex, Interface, Network, NetworkKey, Protocol, Reason, Rule, RuleId, Seconds, Seen,
        Settings, SharedKey, Slot, capacity,
    },
    nat::{Env, HostSocket, InsertError, Route, Rules, local::Host},
};

const SPARSE: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static SLOTS: Array<Slot, { capacity::SLOTS }> = Array::new();
#[btf_map]
static SHARED: HashMap<SharedKey, RuleId, { capacity::SHARED }, SPARSE> = HashMap::new();
#[btf_map]
static RULES: Array<Rule, { capacity::RULES }> = Array::new();
#[btf_map]
static ALLOW: LpmTrie<AllowKey, u8, { capacity::ALLOW }> = LpmTrie::new();
// Not an LRU: one near its capacity evicts live flows, and one half of a pair at that.
#[btf_map]
static FLOWS: HashMap<FlowKey, Flow, { capacity::FLOWS }> = HashMap::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, Fragment, { capacity::FRAGMENTS }> = LruHashMap::new();
#[btf_map]
static LOCALS: HashMap<Address, IfIndex, { capacity::LOCALS }, SPARSE> = HashMap::new();
#[btf_map]
static NETWORKS: LpmTrie<NetworkKey, Network, { capacity::NETWORKS }> = LpmTrie::new();
#[btf_map]
static INTERFACES: HashMap<IfIndex, Interface, { capacity::INTERFACES }, SPARSE> = HashMap::new();
#[btf_map]
static ENDPOINTS: HashMap<Address, Endpoint, { capacity::ENDPOINTS }, SPARSE> = HashMap::new();
#[btf_map]
static RESERVED: Array<u64, { capacity::RESERVED }> = Array::new();
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

/// Whether a TC program of ours is looking for a socket on this CPU: the look-up runs the socket hook too, which must
/// neither count nor answer then.
#[inline(always)]
pub(crate) fn is_probing() -> bool {
    PROBING.get(0).is_some_and(|probing| *probing != 0)
}

#[inline(always)]
fn set_probing(probing: bool) {
    if let Some(place) = PROBING.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, and no other program of ours runs on this CPU until this one ends.
        unsafe { *place = u32::from(probing) };
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

/// The world under a TC hook.
pub(crate) struct Kernel {
    skb: *mut __sk_buff,
}

impl Kernel {
    #[inline(always)]
    pub(crate) const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    #[inline(always)]
    fn look_up(&self, key: &FlowKey) -> HostSocket {
        let mut tuple = Tuple::from(key);
        let (tuple, size) = ((&raw mut tuple).cast(), size_of::<Tuple>() as u32);
        match Protocol::from_number(key.protocol) {
            Some(Protocol::Tcp) => {
                // SAFETY: the tuple is initialised and of the size given, which tells the helper its family.
                let socket = unsafe { bpf_skc_lookup_tcp(self.skb.cast(), tuple, size, THIS_NETNS, 0) };
                if socket.is_null() {
                    return HostSocket::Absent;
                }
                // SAFETY: the reference that the look-up took.
                unsafe { bpf_sk_release(socket.cast()) };
                HostSocket::Connected
            }
            Some(Protocol::Udp) => {
                // SAFETY: as above.
                let socket = unsafe { bpf_sk_lookup_udp(self.skb.cast(), tuple, size, THIS_NETNS, 0) };
                if socket.is_null() {
                    return HostSocket::Absent;
                }
                // SAFETY: not null, and referenced until released below.
                let state = unsafe { read_volatile(addr_of!((*socket).state)) };
                // SAFETY: the reference that the look-up took.
                unsafe { bpf_sk_release(socket.cast()) };
                if state == TCP_ESTABLISHED {
                    HostSocket::Connected
                } else {
                    HostSocket::Unconnected
                }
            }
            Some(Protocol::Icmp) | None => HostSocket::Absent,
        }
    }
}

impl Rules for Kernel {
    #[inline(always)]
    fn slot(&self, index: u32) -> Slot {
        Tables.slot(index)
    }

    #[inline(always)]
    fn shared(&self, key: &SharedKey) -> Option<RuleId> {
        Tables.shared(key)
    }

    #[inline(always)]
    fn rule(&self, id: RuleId) -> Option<Rule> {
        Tables.rule(id)
    }
}

impl Env for Kernel {
    #[inline(always)]
    fn arrival(&self) -> IfIndex {
        // SAFETY: the kernel's verifier knows the context's fields and their size.
        IfIndex(unsafe { read_volatile(addr_of!((*self.skb).ifindex)) })
    }

    #[inline(always)]
    fn now(&self) -> Seconds {
        // SAFETY: takes nothing.
        let nanoseconds = unsafe { bpf_ktime_get_coarse_ns() };
        Seconds((nanoseconds / 1_000_000_000) as u32)
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: takes nothing.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn search(&self, tries: u32, mut probe: impl FnMut(u32) -> bool) {
        search(tries, &mut probe);
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        Tables.settings()
    }

    #[inline(always)]
    fn touch(&self, key: &FlowKey, seen: Seen, counts: impl FnOnce(&Flow) -> bool) -> Option<Flow> {
        let flow = FLOWS.get_ptr_mut(key)?;
        // SAFETY: the kernel frees no element while a program runs (RCU). Another CPU may end the flow and give the
        // element to a new one meanwhile: then that one's figures are off by a packet.
        let flow = unsafe { &mut *flow };
        let before = *flow;
        if counts(&before) {
            flow.record(seen);
        }
        Some(before)
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Flow> {
        // SAFETY: copied before any other map call.
        unsafe { FLOWS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        const EEXIST: i32 = -17;
        match FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)) {
            Ok(()) => Ok(()),
            Err(EEXIST) => Err(InsertError::Exists),
            Err(_) => Err(InsertError::Full),
        }
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey, nonce: u32) {
        // SAFETY: read before any other map call.
        if unsafe { FLOWS.get(key) }.is_some_and(|flow| flow.nonce == nonce) {
            // Gone already is as good.
            let _gone = FLOWS.remove(key);
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        // SAFETY: copied before any other map call.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey, fragment: &Fragment) {
        // The oldest make room; where memory is short all the same, the pieces go to the host.
        let _full = FRAGMENTS.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn allows(&self, key: &AllowKey) -> bool {
        ALLOW.get(&Key::new(64, *key)).is_some()
    }

    #[inline(always)]
    fn is_local(&self, address: Address) -> bool {
        Tables.has_address(address)
    }

    #[inline(always)]
    fn network(&self, address: Address) -> Option<Network> {
        NETWORKS.get(&Key::new(32, NetworkKey::from(address))).copied()
    }

    #[inline(always)]
    fn interface(&self, index: IfIndex) -> Option<Interface> {
        // SAFETY: copied before any other map call.
        unsafe { INTERFACES.get(index) }.copied()
    }

    #[inline(always)]
    fn endpoint(&self, address: Address) -> Option<Endpoint> {
        // SAFETY: copied before any other map call.
        unsafe { ENDPOINTS.get(address) }.copied()
    }

    #[inline(always)]
    fn reserved_word(&self, index: u32) -> u64 {
        RESERVED.get(index).copied().unwrap_or(u64::MAX)
    }

    #[inline(always)]
    fn host_socket(&self, key: &FlowKey) -> HostSocket {
        set_probing(true);
        let found = self.look_up(key);
        set_probing(false);
        found
    }

    #[inline(always)]
    fn route(&self, key: &FlowKey, from: IfIndex) -> Route {
        const SUCCESS: i64 = 0;
        const FORWARDING_OFF: i64 = 5;
        const NO_NEIGHBOUR: i64 = 7;
        const FRAGMENTATION_NEEDED: i64 = 8;
        // SAFETY: all fields are numbers and byte arrays.
        let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
        query.family = 2;
        query.ifindex = from.0;
        query.l4_protocol = key.protocol;
        query.sport = key.src_port.0.to_be();
        query.dport = key.dst_port.0.to_be();
        query.__bindgen_anon_3.ipv4_src = key.src.0.to_be();
        query.__bindgen_anon_4.ipv4_dst = key.dst.0.to_be();
        // SAFETY: the query is initialised and of the size given.
        let found = unsafe {
            fib_lookup(
                self.skb.cast(),
                &raw mut query,
                size_of::<bpf_fib_lookup>() as i32,
                0,
            )
        };
        match found {
            SUCCESS | NO_NEIGHBOUR | FRAGMENTATION_NEEDED => Route::Out(IfIndex(query.ifindex)),
            FORWARDING_OFF => Route::ForwardingOff,
            _ => Route::Nowhere,
        }
    }

    #[inline(always)]
    fn fits(&self, out: IfIndex) -> bool {
        /// `BPF_MTU_CHK_SEGS`: each segment of a super-frame counts, not the whole.
        const SEGMENTS: u64 = 1;
        let mut mtu = 0;
        // SAFETY: the length's address is valid; the helper checks the interface.
        let checked = unsafe { bpf_check_mtu(self.skb.cast(), out.0, &raw mut mtu, 0, SEGMENTS) };
        checked == 0
    }
}

/// By the kernel's own loop, which is verified once whatever the number of rounds (Linux 5.17).
#[inline(always)]
fn search<F: FnMut(u32) -> bool>(tries: u32, probe: &mut F) {
    unsafe extern "C" fn round<F: FnMut(u32) -> bool>(index: u32, probe: *mut c_void) -> i64 {
        // SAFETY: the kernel passes on the pointer given to the helper, on the stack of the frame that waits.
        let probe = unsafe { &mut *probe.cast::<F>() };
        i64::from(probe(index))
    }
    // SAFETY: the callback has the signature that the helper calls, and takes what the third argument points to.
    unsafe {
        bpf_loop(
            tries,
            round::<F> as *mut c_void,
            core::ptr::from_mut(probe).cast(),
            0,
        )
    };
}

const THIS_NETNS: u64 = BPF_F_CURRENT_NETNS as u64;

/// The state of a connected socket, UDP too (`net/tcp_states.h`).
const TCP_ESTABLISHED: u32 = 1;

/// The IPv4 half of `bpf_sock_tuple`, network byte order; the whole would cost the stack three times as much.
#[repr(C)]
struct Tuple {
    src: u32,
    dst: u32,
    src_port: u16,
    dst_port: u16,
}

impl From<&FlowKey> for Tuple {
    #[inline(always)]
    fn from(key: &FlowKey) -> Self {
        Self {
            src: key.src.0.to_be(),
            dst: key.dst.0.to_be(),
            src_port: key.src_port.0.to_be(),
            dst_port: key.dst_port.0.to_be(),
        }
    }
}
