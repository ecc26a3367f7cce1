//! Where the host would route a packet: the kernel is asked (`RTM_GETROUTE`), as `ip route get` asks it.
//!
//! The programs ask by `bpf_fib_lookup`. Both look the same rules and tables up; this one checks the source too (`rp_filter`,
//! martians), as the host's stack does.

use std::{cell::RefCell, fs, io, net::IpAddr};

use futures_util::StreamExt as _;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};
use netmap_common::{
    maps::{FlowKey, IfIndex, Ip, Port},
    nat::Route,
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};
use tokio::runtime::Runtime;

use crate::dataplane::interface_name;

/// A connection to the kernel's routing.
pub(super) struct Routes {
    runtime: Runtime,
    handle: RefCell<Handle>,
}

/// What the kernel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Out of this interface.
    Out(IfIndex),
    /// To this host itself.
    Local,
    /// Nowhere.
    Nowhere,
}

impl Routes {
    /// Opens one, in this thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = {
            let _guard = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self {
            runtime,
            handle: RefCell::new(handle),
        })
    }

    /// Where a packet with this key goes that came in by `from`, or that the host itself sends.
    pub(super) fn ask<A: Ip>(&self, key: &FlowKey<A>, from: Option<IfIndex>) -> io::Result<Answer> {
        let request = request(key, from);
        let mut handle = self.handle.borrow_mut();
        self.runtime.block_on(async {
            let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(request));
            message.header.flags = NLM_F_REQUEST;
            let mut replies = handle.request(message).map_err(io::Error::other)?;
            while let Some(reply) = replies.next().await {
                match reply.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                        return Ok(read(&route));
                    }
                    // No route, a source that cannot come from there, or nothing is to be forwarded.
                    NetlinkPayload::Error(_) => return Ok(Answer::Nowhere),
                    _ => {}
                }
            }
            Err(io::Error::other("the kernel tells no route"))
        })
    }

    /// The same as the programs have it: whether the interface forwards comes first.
    pub(super) fn forward<A: Ip>(&self, key: &FlowKey<A>, from: IfIndex) -> io::Result<Route> {
        if !forwards::<A>(from) {
            return Ok(Route::ForwardingOff);
        }
        Ok(match self.ask(key, Some(from))? {
            Answer::Out(index) => Route::Out(index),
            Answer::Local | Answer::Nowhere => Route::Nowhere,
        })
    }
}

/// Whether what comes in by an interface may be forwarded.
pub(super) fn forwards<A: Ip>(interface: IfIndex) -> bool {
    let family = if A::BITS == 32 { "ipv4" } else { "ipv6" };
    let Ok(name) = interface_name(interface) else {
        return false;
    };
    fs::read_to_string(format!("/proc/sys/net/{family}/conf/{name}/forwarding"))
        .is_ok_and(|value| value.trim() != "0")
}

fn request<A: Ip>(key: &FlowKey<A>, from: Option<IfIndex>) -> RouteMessage {
    let (src, dst): (IpAddr, IpAddr) = (key.src.into(), key.dst.into());
    let mut route = RouteMessage::default();
    let bits = if dst.is_ipv4() { 32 } else { 128 };
    route.header.address_family = if dst.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    route.header.destination_prefix_length = bits;
    route.attributes.push(RouteAttribute::Destination(address(dst)));
    if key.src != A::ANY {
        route.header.source_prefix_length = bits;
        route.attributes.push(RouteAttribute::Source(address(src)));
    }
    if let Some(from) = from {
        route.attributes.push(RouteAttribute::Iif(from.0));
    }
    // Rules may look at ports.
    if matches!(key.protocol, 6 | 17) && key.dst_port != Port(0) {
        route.attributes.push(RouteAttribute::IpProto(key.protocol));
        route.attributes.push(RouteAttribute::Sport(key.src_port.0));
        route.attributes.push(RouteAttribute::Dport(key.dst_port.0));
    }
    route
}

const fn address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn read(route: &RouteMessage) -> Answer {
    let out = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(IfIndex(*index)),
        _ => None,
    });
    match (route.header.kind, out) {
        (RouteType::Unicast, Some(out)) => Answer::Out(out),
        (RouteType::Local | RouteType::Broadcast, _) => Answer::Local,
        _ => Answer::Nowhere,
    }
}
