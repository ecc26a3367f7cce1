//! Which types are plain bytes: the markers for those that exist once a family. For generic types `bytemuck` cannot derive
//! them, so what it would have checked is checked here.

use bytemuck::{Pod, Zeroable};

use super::{
    Address, Address6, AllowKey, AllowPrefix, Detour, Detours, Endpoint, Flow, FlowKey, FragmentKey, Hop,
    Interface, Ip, Network, NetworkKey, NetworkPrefix, Opening, Payer, Place, Rule, SharedKey,
};

macro_rules! pod {
    ($($name:ident { $($field:tt),+ })+) => {$(
        // SAFETY: zeros are a value of every field.
        unsafe impl<A: Ip> Zeroable for $name<A> {}
        // SAFETY: every field is `Pod` and there is no padding between them, as is asserted below.
        unsafe impl<A: Ip> Pod for $name<A> {}

        const _: () = {
            const fn is_pod<T: Pod>(value: &T) -> usize {
                size_of_val(value)
            }
            /// Both address types are checked, and there is no third.
            const fn assert_dense<A: Ip>(value: &$name<A>) {
                assert!(size_of::<$name<A>>() == 0 $(+ is_pod(&value.$field))+);
            }
            // SAFETY: as above.
            assert_dense::<Address>(&unsafe { core::mem::zeroed() });
            // SAFETY: as above.
            assert_dense::<Address6>(&unsafe { core::mem::zeroed() });
        };
    )+};
}

pod! {
    FlowKey { src, dst, src_port, dst_port, protocol, pad, pad_word }
    Flow { to, out, nonce, rule, generation, way, kind, side, tcp, last_seen, created, from, packets, bytes }
    Rule { host, target, host_port, target_port, length, protocol, flags, generation, since }
    SharedKey { host, port, protocol, pad }
    AllowKey { rule, source }
    AllowPrefix { length, key }
    Interface { role, way, flags, pad, out, bridge, address }
    Network { bridge, gateway, flags }
    NetworkKey { 0 }
    NetworkPrefix { length, key }
    Endpoint { out, bridge, gateway, way, flags, pad }
    Hop { out, to, link }
    FragmentKey { src, dst, arrival, id, protocol, pad, pad_word }
    Payer { address, role, pad }
    Opening { key, nonce }
    Place { address, port, pad }
    Detour { origin, target }
    Detours { 0 }
}
