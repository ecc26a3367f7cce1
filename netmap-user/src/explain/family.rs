//! What differs between the families here.

use std::net::IpAddr;

use netmap_common::{
    maps::{Address, Address6, FlowKey, Port, Protocol},
    nat,
};

use super::Ends;
use crate::maps::{self, FamilyMaps, Maps};

/// An address family of which packets can be explained.
pub(super) trait Family: maps::Family + nat::Family {
    /// The switch that makes the host forward.
    const FORWARDING: &'static str;

    /// Its tables.
    fn maps(maps: &Maps) -> &FamilyMaps<Self>;

    /// An address of this family, or [`netmap_common::maps::Ip::ANY`].
    fn of(address: IpAddr) -> Self {
        Self::from_ip(address).unwrap_or(Self::ANY)
    }

    /// The key of a packet.
    fn key(protocol: Protocol, ends: Ends) -> FlowKey<Self> {
        FlowKey::new(
            protocol,
            Self::of(ends.src),
            Port(ends.sport),
            Self::of(ends.dst),
            Port(ends.dport),
        )
    }
}

impl Family for Address {
    const FORWARDING: &'static str = "net.ipv4.ip_forward";

    fn maps(maps: &Maps) -> &FamilyMaps<Self> {
        &maps.v4
    }
}

impl Family for Address6 {
    const FORWARDING: &'static str = "net.ipv6.conf.all.forwarding";

    fn maps(maps: &Maps) -> &FamilyMaps<Self> {
        &maps.v6
    }
}
