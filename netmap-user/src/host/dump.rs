//! Asks the kernel for everything at once.

use std::{fs, io};

use futures_util::StreamExt as _;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
    neighbour::NeighbourMessage,
    route::{RouteHeader, RouteMessage},
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};

use super::{HostError, event::Event, snapshot::Snapshot};

/// How often a dump is repeated that the kernel marks as inconsistent because something changed meanwhile. After that
/// it is taken as it is: the events that are listened to already say what changed.
const ATTEMPTS: usize = 4;

/// Everything as it is now.
pub(super) async fn snapshot(mut handle: Handle) -> Result<Snapshot, HostError> {
    let mut snapshot = Snapshot {
        forwarding: forwarding(),
        ..Snapshot::default()
    };
    // Links first: what else there is refers to them.
    for (what, request) in [
        ("links", links()),
        ("addresses", addresses()),
        ("neighbours", neighbours(AddressFamily::Inet)),
        ("bridge forwarding tables", neighbours(AddressFamily::Bridge)),
        ("routes", routes()),
    ] {
        for event in list(&mut handle, what, &request).await? {
            snapshot.apply(event);
        }
    }
    Ok(snapshot)
}

/// Whether this namespace forwards IPv4; not knowing means no.
pub(super) fn forwarding() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|value| value.trim() == "1")
}

fn links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

fn addresses() -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    RouteNetlinkMessage::GetAddress(message)
}

fn neighbours(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetNeighbour(message)
}

fn routes() -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    RouteNetlinkMessage::GetRoute(message)
}

async fn list(
    handle: &mut Handle,
    what: &'static str,
    request: &RouteNetlinkMessage,
) -> Result<Vec<Event>, HostError> {
    let failed = |reason: String| HostError::Dump { what, reason };
    let mut events = Vec::new();
    for _ in 0..ATTEMPTS {
        events.clear();
        let mut message = NetlinkMessage::from(request.clone());
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut replies = handle
            .request(message)
            .map_err(|error| failed(error.to_string()))?;
        let mut interrupted = false;
        let mut complete = false;
        while let Some(reply) = replies.next().await {
            let (header, payload) = reply.into_parts();
            interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            match payload {
                NetlinkPayload::InnerMessage(message) => {
                    events.extend(Event::from_message(&message, header.flags));
                }
                NetlinkPayload::Done(done) if done.code == 0 => complete = true,
                // A namespace that never had a route has no routing table yet.
                NetlinkPayload::Done(done) if done.code == -libc::ENOENT => complete = true,
                NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => complete = true,
                NetlinkPayload::Done(done) => {
                    return Err(failed(io::Error::from_raw_os_error(-done.code).to_string()));
                }
                NetlinkPayload::Error(error) => return Err(failed(error.to_io().to_string())),
                _ => {}
            }
        }
        if !complete {
            return Err(failed("the connection ended early".to_owned()));
        }
        if !interrupted {
            break;
        }
    }
    Ok(events)
}
