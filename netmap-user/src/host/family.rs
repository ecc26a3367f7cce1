//! What differs between the families in what the kernel says and does.

use std::collections::BTreeSet;

use netlink_packet_route::AddressFamily;
use netmap_common::maps::{Address, Address6};

use super::{
    addressing::{HostAddress, Standing},
    snapshot::Inhabitants,
};
use crate::maps::Family;

/// An address family of the host.
pub trait HostFamily: Family {
    /// Its number in netlink.
    const NUMBER: AddressFamily;

    /// Where the kernel says whether the host forwards.
    const FORWARDING: &'static str;

    /// A kernel may have been booted without it (`ipv6.disable=1`): then it has no such file, and takes questions about
    /// the family for ones about all.
    const IS_OPTIONAL: bool;

    /// A new address comes before the others in the kernel's list, not behind them.
    const NEWEST_FIRST: bool;

    /// Link-local addresses are an interface's like any other. Of IPv6 every link has the same subnet of them.
    const HAS_LINK_LOCAL_NETWORKS: bool;

    /// All default routes of one metric are one with several hops, which come and go alone. When the source address that
    /// one asks for is gone, it asks for none; and it does not need the interface to have an address.
    const ROUTES_ARE_HOPS: bool;

    /// Of addresses that are as good, the kernel takes one in the router's subnet.
    const PREFERS_ROUTERS_SUBNET: bool;

    /// The addresses of this family.
    fn of(inhabitants: &Inhabitants) -> &BTreeSet<Self>;

    /// How gladly the kernel takes an address as source towards somewhere far, the least first; `None` for never.
    fn source_rank(own: &HostAddress<Self>) -> Option<u8>;
}

impl HostFamily for Address {
    const NUMBER: AddressFamily = AddressFamily::Inet;
    const FORWARDING: &'static str = "/proc/sys/net/ipv4/ip_forward";
    const IS_OPTIONAL: bool = false;
    const NEWEST_FIRST: bool = false;
    const HAS_LINK_LOCAL_NETWORKS: bool = true;
    const ROUTES_ARE_HOPS: bool = false;
    const PREFERS_ROUTERS_SUBNET: bool = true;

    fn of(inhabitants: &Inhabitants) -> &BTreeSet<Self> {
        &inhabitants.v4
    }

    fn source_rank(own: &HostAddress<Self>) -> Option<u8> {
        (own.global && !own.secondary).then_some(0)
    }
}

impl HostFamily for Address6 {
    const NUMBER: AddressFamily = AddressFamily::Inet6;
    const FORWARDING: &'static str = "/proc/sys/net/ipv6/conf/all/forwarding";
    const IS_OPTIONAL: bool = true;
    const NEWEST_FIRST: bool = true;
    const HAS_LINK_LOCAL_NETWORKS: bool = false;
    const ROUTES_ARE_HOPS: bool = true;
    const PREFERS_ROUTERS_SUBNET: bool = false;

    fn of(inhabitants: &Inhabitants) -> &BTreeSet<Self> {
        &inhabitants.v6
    }

    /// RFC 6724, 5: rules 3, 6 and 7. A temporary address is for hosts that do not want to be known again: a stable one
    /// keeps flows longer.
    fn source_rank(own: &HostAddress<Self>) -> Option<u8> {
        let rules = [
            (own.standing == Standing::Deprecated, 4),
            (is_unique_local(own.address), 2),
            (own.secondary, 1),
        ];
        let rank = rules.into_iter().filter(|(applies, _)| *applies);
        (own.global && own.is_verified()).then(|| rank.map(|(_, weight)| weight).sum())
    }
}

/// `fc00::/7` (RFC 4193, 3.1), which nobody far can answer.
const fn is_unique_local(address: Address6) -> bool {
    let [first, ..] = address.0;
    first >> 25 == 0xfc >> 1
}
