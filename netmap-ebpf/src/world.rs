//! The world as the NAT sees it: the maps, and the kernel's helpers.

use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{addr_of, read_volatile},
};

use aya_ebpf::{
    bindings::{BPF_F_CURRENT_NETNS, BPF_NOEXIST, bpf_fib_lookup},
    btf_maps::lpm_trie::Key,
    helpers::generated::{
        bpf_check_mtu, bpf_fib_lookup as fib_lookup, bpf_get_prandom_u32, bpf_ktime_get_coarse_ns, bpf_loop,
        bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp,
    },
};
use netmap_common::{
    maps::{
        AllowKey, EgressPlace, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Limits,
        Local, Network, NetworkKey, Opening, Payer, Protocol, Reason, Rule, RuleId, Seconds, Seen, Settings,
        SharedKey, Slot, Way,
    },
    nat::{Env, Hold, HostSocket, InsertError, Route, Rules, Wish, local::Host as _},
};

use crate::{
    events,
    maps::{self, Published, Tables},
};

/// What a packet program's context has for the helpers; TC and XDP differ in little else.
pub(crate) trait Context {
    /// Flags for `bpf_check_mtu`.
    const MTU_FLAGS: u64;

    /// The context itself.
    fn raw(&self) -> *mut c_void;

    /// The interface whose hook runs.
    fn arrival(&self) -> IfIndex;

    /// See [`Env::hold`].
    #[inline(always)]
    fn hold(&self, _now: Seconds) -> Hold {
        Hold::Full
    }

    /// See [`Env::sends`].
    #[inline(always)]
    fn sends<A: Tables>(&self, _to: &FlowKey<A>, _way: Way, _out: IfIndex) -> bool {
        true
    }
}

/// The world under a packet hook.
pub(crate) struct Kernel<C, A> {
    context: C,
    family: PhantomData<A>,
}

impl<C: Context, A: Tables> Kernel<C, A> {
    #[inline(always)]
    pub(crate) const fn new(context: C) -> Self {
        Self {
            context,
            family: PhantomData,
        }
    }

    #[inline(always)]
    fn look_up(&self, key: &FlowKey<A>) -> HostSocket {
        let mut tuple = Tuple::<A>::from(key);
        let (tuple, size) = ((&raw mut tuple).cast(), size_of::<Tuple<A>>() as u32);
        match Protocol::from_number(key.protocol) {
            Some(Protocol::Tcp) => {
                // SAFETY: the tuple is initialised and of the size given, which tells the helper its family.
                let socket = unsafe { bpf_skc_lookup_tcp(self.context.raw(), tuple, size, THIS_NETNS, 0) };
                if socket.is_null() {
                    return HostSocket::Absent;
                }
                // SAFETY: the reference that the look-up took.
                unsafe { bpf_sk_release(socket.cast()) };
                HostSocket::Connected
            }
            Some(Protocol::Udp) => {
                // SAFETY: as above.
                let socket = unsafe { bpf_sk_lookup_udp(self.context.raw(), tuple, size, THIS_NETNS, 0) };
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

impl<C: Context, A: Tables> Rules for Kernel<C, A> {
    type Ip = A;

    #[inline(always)]
    fn slot(&self, index: u32) -> Slot {
        Published::<A>::RULES.slot(index)
    }

    #[inline(always)]
    fn shared(&self, key: &SharedKey<A>) -> Option<RuleId> {
        Published::<A>::RULES.shared(key)
    }

    #[inline(always)]
    fn rule(&self, id: RuleId) -> Option<Rule<A>> {
        Published::<A>::RULES.rule(id)
    }
}

impl<C: Context, A: Tables> Env for Kernel<C, A> {
    type Place = A::Place;
    type Room = &'static mut Wish<A>;

    #[inline(always)]
    fn arrival(&self) -> IfIndex {
        self.context.arrival()
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
    fn place(&self) -> Result<Self::Place, Reason> {
        // The maps have one place a CPU, so they are never without.
        A::place().ok_or(Reason::TableFull)
    }

    #[inline(always)]
    fn room(&self) -> Result<Self::Room, Reason> {
        maps::room().ok_or(Reason::TableFull)
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        maps::settings()
    }

    #[inline(always)]
    fn limits(&self) -> Limits {
        maps::limits()
    }

    #[inline(always)]
    fn load(&self, payer: &Payer<A>) -> u64 {
        maps::load(payer)
    }

    #[inline(always)]
    fn add_load(&self, payer: &Payer<A>) {
        maps::add_load(payer);
    }

    #[inline(always)]
    fn drop_load(&self, payer: &Payer<A>) {
        maps::drop_load(payer);
    }

    #[inline(always)]
    fn push_opening(&self, opening: &Opening<A>) -> Option<Opening<A>> {
        maps::push_opening(opening)
    }

    #[inline(always)]
    fn opened(&self, flow: &Wish<A>) {
        events::tell_opened(self.context.arrival(), flow);
    }

    #[inline(always)]
    fn may_open(&self, payer: &Payer<A>, most: u32) -> bool {
        maps::may_open(payer, self.now(), most)
    }

    #[inline(always)]
    fn may_tell(&self) -> bool {
        maps::may_tell(self.now(), maps::limits().messages)
    }

    #[inline(always)]
    fn touch(&self, key: &FlowKey<A>, seen: Seen, counts: impl FnOnce(&Flow<A>) -> bool) -> Option<Flow<A>> {
        let flow = A::FLOWS.get_ptr_mut(key)?;
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
    fn flow(&self, key: &FlowKey<A>) -> Option<Flow<A>> {
        // SAFETY: copied before any other map call.
        unsafe { A::FLOWS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Result<(), InsertError> {
        const EEXIST: i32 = -17;
        match A::FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)) {
            Ok(()) => Ok(()),
            Err(EEXIST) => Err(InsertError::Exists),
            Err(_) => Err(InsertError::Full),
        }
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey<A>, nonce: u32) {
        // SAFETY: read before any other map call.
        if unsafe { A::FLOWS.get(key) }.is_some_and(|flow| flow.nonce == nonce) {
            // Gone already is as good.
            let _gone = A::FLOWS.remove(key);
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey<A>) -> Option<Fragment> {
        // SAFETY: copied before any other map call.
        unsafe { A::FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey<A>, fragment: &Fragment) {
        // The oldest make room; where memory is short all the same, the pieces go to the host.
        let _full = A::FRAGMENTS.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn hold(&self) -> Hold {
        self.context.hold(self.now())
    }

    #[inline(always)]
    fn allows(&self, key: &AllowKey<A>) -> bool {
        A::ALLOW.get(&Key::new(32 + A::BITS, *key)).is_some()
    }

    #[inline(always)]
    fn is_local(&self, address: A) -> bool {
        Published::<A>::RULES.has_address(address)
    }

    #[inline(always)]
    fn is_closed(&self, address: A) -> bool {
        maps::local(address).is_some_and(Local::is_closed)
    }

    #[inline(always)]
    fn network(&self, address: A) -> Option<Network<A>> {
        A::NETWORKS
            .get(&Key::new(A::BITS, NetworkKey::from(address)))
            .copied()
    }

    #[inline(always)]
    fn egress(&self, place: &EgressPlace) -> Option<A> {
        // SAFETY: copied before any other map call.
        unsafe { A::EGRESS.get(place) }.copied()
    }

    #[inline(always)]
    fn interface(&self, index: IfIndex) -> Option<Interface<A>> {
        interface(index)
    }

    #[inline(always)]
    fn owner(&self, address: A) -> Option<IfIndex> {
        // SAFETY: copied before any other map call.
        unsafe { A::OWNERS.get(address) }.copied()
    }

    #[inline(always)]
    fn endpoint(&self, address: A) -> Option<Endpoint<A>> {
        // SAFETY: copied before any other map call.
        unsafe { A::ENDPOINTS.get(address) }.copied()
    }

    #[inline(always)]
    fn reserved_word(&self, index: u32) -> u64 {
        maps::RESERVED.get(index).copied().unwrap_or(u64::MAX)
    }

    #[inline(always)]
    fn host_socket(&self, key: &FlowKey<A>) -> HostSocket {
        maps::set_probing(true);
        let found = self.look_up(key);
        maps::set_probing(false);
        found
    }

    #[inline(always)]
    fn route(&self, key: &FlowKey<A>, from: IfIndex) -> Route {
        const SUCCESS: i64 = 0;
        const FORWARDING_OFF: i64 = 5;
        const NO_NEIGHBOUR: i64 = 7;
        const FRAGMENTATION_NEEDED: i64 = 8;
        // SAFETY: all fields are numbers and byte arrays.
        let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
        query.ifindex = from.0;
        query.l4_protocol = key.protocol;
        query.sport = key.src_port.0.to_be();
        query.dport = key.dst_port.0.to_be();
        set_addresses(&mut query, key.src, key.dst);
        // SAFETY: the query is initialised and of the size given.
        let found = unsafe {
            fib_lookup(
                self.context.raw(),
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
    fn sends(&self, to: &FlowKey<A>, way: Way, out: IfIndex) -> bool {
        self.context.sends(to, way, out)
    }

    #[inline(always)]
    fn fits(&self, out: IfIndex) -> bool {
        fits(&self.context, out)
    }
}

/// An interface with a hook.
#[inline(always)]
pub(crate) fn interface<A: Tables>(index: IfIndex) -> Option<Interface<A>> {
    // SAFETY: copied before any other map call.
    unsafe { A::INTERFACES.get(index) }.copied()
}

/// Whether the packet, or each of its segments, fits through an interface.
#[inline(always)]
pub(crate) fn fits<C: Context>(context: &C, out: IfIndex) -> bool {
    let mut mtu = 0;
    // SAFETY: the length's address is valid; the helper checks the interface.
    let checked = unsafe { bpf_check_mtu(context.raw(), out.0, &raw mut mtu, 0, C::MTU_FLAGS) };
    checked == 0
}

/// The link-layer addresses (destination, source) of a frame that leaves by `out` for a neighbour there, if the kernel
/// knows the neighbour, routes to it by `out`, and forwards.
#[inline(always)]
pub(crate) fn neighbour<C: Context, A: Tables>(context: &C, to: A, out: IfIndex) -> Option<[[u8; 6]; 2]> {
    const SUCCESS: i64 = 0;
    /// `BPF_FIB_LOOKUP_DIRECT`, past the rules, and `BPF_FIB_LOOKUP_OUTPUT`: the interface is the one to leave by.
    const BY_INTERFACE: u32 = 1 | 2;
    // SAFETY: all fields are numbers and byte arrays.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.ifindex = out.0;
    set_addresses(&mut query, A::ANY, to);
    // SAFETY: the query is initialised and of the size given.
    let found = unsafe {
        fib_lookup(
            context.raw(),
            &raw mut query,
            size_of::<bpf_fib_lookup>() as i32,
            BY_INTERFACE,
        )
    };
    (found == SUCCESS && query.ifindex == out.0).then_some([query.dmac, query.smac])
}

/// Writes family and addresses into a question about a route.
#[inline(always)]
fn set_addresses<A: Tables>(query: &mut bpf_fib_lookup, src: A, dst: A) {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    let (src, dst) = (src.words().map(u32::to_be), dst.words().map(u32::to_be));
    if A::BITS == 32 {
        query.family = AF_INET;
        let ([.., src], [.., dst]) = (src, dst);
        query.__bindgen_anon_3.ipv4_src = src;
        query.__bindgen_anon_4.ipv4_dst = dst;
    } else {
        query.family = AF_INET6;
        query.__bindgen_anon_3.ipv6_src = src;
        query.__bindgen_anon_4.ipv6_dst = dst;
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

/// One family's half of `bpf_sock_tuple`, network byte order; its size tells the helper which. The whole would cost the
/// stack of IPv4 three times as much.
#[repr(C)]
struct Tuple<A> {
    src: A,
    dst: A,
    src_port: u16,
    dst_port: u16,
}

impl<A: Tables> From<&FlowKey<A>> for Tuple<A> {
    #[inline(always)]
    fn from(key: &FlowKey<A>) -> Self {
        Self {
            src: key.src.to_be(),
            dst: key.dst.to_be(),
            src_port: key.src_port.0.to_be(),
            dst_port: key.dst_port.0.to_be(),
        }
    }
}
