//! The world as the NAT sees it: the maps, and the kernel's helpers.

use core::{
    ffi::c_void,
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
        Address, AllowKey, Endpoint, Flow, FlowKey, Fragment, FragmentKey, IfIndex, Interface, Network,
        NetworkKey, Protocol, Rule, RuleId, Seconds, Seen, Settings, SharedKey, Slot, Way,
    },
    nat::{Env, HostSocket, InsertError, Route, Rules, local::Host as _},
};

use crate::maps::{self, Tables};

/// What a packet program's context has for the helpers; TC and XDP differ in little else.
pub(crate) trait Context {
    /// Flags for `bpf_check_mtu`.
    const MTU_FLAGS: u64;

    /// The context itself.
    fn raw(&self) -> *mut c_void;

    /// The interface whose hook runs.
    fn arrival(&self) -> IfIndex;

    /// See [`Env::sends`].
    #[inline(always)]
    fn sends(&self, _to: &FlowKey, _way: Way, _out: IfIndex) -> bool {
        true
    }
}

/// The world under a packet hook.
pub(crate) struct Kernel<C> {
    context: C,
}

impl<C: Context> Kernel<C> {
    #[inline(always)]
    pub(crate) const fn new(context: C) -> Self {
        Self { context }
    }

    #[inline(always)]
    fn look_up(&self, key: &FlowKey) -> HostSocket {
        let mut tuple = Tuple::from(key);
        let (tuple, size) = ((&raw mut tuple).cast(), size_of::<Tuple>() as u32);
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

impl<C: Context> Rules for Kernel<C> {
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

impl<C: Context> Env for Kernel<C> {
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
    fn settings(&self) -> Settings {
        Tables.settings()
    }

    #[inline(always)]
    fn touch(&self, key: &FlowKey, seen: Seen, counts: impl FnOnce(&Flow) -> bool) -> Option<Flow> {
        let flow = maps::FLOWS.get_ptr_mut(key)?;
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
        unsafe { maps::FLOWS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        const EEXIST: i32 = -17;
        match maps::FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)) {
            Ok(()) => Ok(()),
            Err(EEXIST) => Err(InsertError::Exists),
            Err(_) => Err(InsertError::Full),
        }
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey, nonce: u32) {
        // SAFETY: read before any other map call.
        if unsafe { maps::FLOWS.get(key) }.is_some_and(|flow| flow.nonce == nonce) {
            // Gone already is as good.
            let _gone = maps::FLOWS.remove(key);
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        // SAFETY: copied before any other map call.
        unsafe { maps::FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey, fragment: &Fragment) {
        // The oldest make room; where memory is short all the same, the pieces go to the host.
        let _full = maps::FRAGMENTS.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn allows(&self, key: &AllowKey) -> bool {
        maps::ALLOW.get(&Key::new(64, *key)).is_some()
    }

    #[inline(always)]
    fn is_local(&self, address: Address) -> bool {
        Tables.has_address(address)
    }

    #[inline(always)]
    fn network(&self, address: Address) -> Option<Network> {
        maps::NETWORKS
            .get(&Key::new(32, NetworkKey::from(address)))
            .copied()
    }

    #[inline(always)]
    fn interface(&self, index: IfIndex) -> Option<Interface> {
        interface(index)
    }

    #[inline(always)]
    fn endpoint(&self, address: Address) -> Option<Endpoint> {
        // SAFETY: copied before any other map call.
        unsafe { maps::ENDPOINTS.get(address) }.copied()
    }

    #[inline(always)]
    fn reserved_word(&self, index: u32) -> u64 {
        maps::RESERVED.get(index).copied().unwrap_or(u64::MAX)
    }

    #[inline(always)]
    fn host_socket(&self, key: &FlowKey) -> HostSocket {
        maps::set_probing(true);
        let found = self.look_up(key);
        maps::set_probing(false);
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
    fn sends(&self, to: &FlowKey, way: Way, out: IfIndex) -> bool {
        self.context.sends(to, way, out)
    }

    #[inline(always)]
    fn fits(&self, out: IfIndex) -> bool {
        fits(&self.context, out)
    }
}

/// An interface with a hook.
#[inline(always)]
pub(crate) fn interface(index: IfIndex) -> Option<Interface> {
    // SAFETY: copied before any other map call.
    unsafe { maps::INTERFACES.get(index) }.copied()
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
pub(crate) fn neighbour<C: Context>(context: &C, to: Address, out: IfIndex) -> Option<[[u8; 6]; 2]> {
    const SUCCESS: i64 = 0;
    /// `BPF_FIB_LOOKUP_DIRECT`, past the rules, and `BPF_FIB_LOOKUP_OUTPUT`: the interface is the one to leave by.
    const BY_INTERFACE: u32 = 1 | 2;
    // SAFETY: all fields are numbers and byte arrays.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = 2;
    query.ifindex = out.0;
    query.__bindgen_anon_4.ipv4_dst = to.0.to_be();
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
