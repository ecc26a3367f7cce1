//! Asks the kernel for everything at once.

use std::{collections::BTreeSet, fs, io, path::Path};

use futures_util::StreamExt as _;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
    neighbour::NeighbourMessage,
    route::{RouteHeader, RouteMessage},
};
use netmap_common::maps::{Address, Address6};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};

use super::{
    HostError,
    event::Event,
    family::HostFamily,
    snapshot::{Inhabitants, NamespaceId, Snapshot},
};

/// How often a dump is repeated that the kernel marks as inconsistent because something changed meanwhile. After that
/// it is taken as it is: the events that are listened to already say what changed.
const ATTEMPTS: usize = 4;

/// Everything as it is now.
pub(super) async fn snapshot(mut handle: Handle) -> Result<Snapshot, HostError> {
    let mut snapshot = Snapshot::default();
    // Links first: what else there is refers to them.
    for (what, request) in [
        ("links", links()),
        ("bridge forwarding tables", neighbours(AddressFamily::Bridge)),
    ] {
        take(&mut snapshot, list(&mut handle, what, &request).await?);
    }
    family::<Address>(&mut handle, &mut snapshot).await?;
    family::<Address6>(&mut handle, &mut snapshot).await?;
    snapshot.v4.forwarding = forwarding::<Address>();
    snapshot.v6.forwarding = forwarding::<Address6>();
    Ok(snapshot)
}

async fn family<A: HostFamily>(handle: &mut Handle, snapshot: &mut Snapshot) -> Result<(), HostError> {
    if A::IS_OPTIONAL && !Path::new(A::FORWARDING).exists() {
        return Ok(());
    }
    let mut own = list(handle, "addresses", &addresses(A::NUMBER)).await?;
    if A::NEWEST_FIRST {
        // As they came.
        own.reverse();
    }
    take(snapshot, own);
    for (what, request) in [
        ("neighbours", neighbours(A::NUMBER)),
        ("routes", routes(A::NUMBER)),
    ] {
        take(snapshot, list(handle, what, &request).await?);
    }
    Ok(())
}

/// Who lives in another namespace.
pub(super) async fn inhabitants(
    handle: &mut Handle,
    namespace: NamespaceId,
) -> Result<Inhabitants, HostError> {
    Ok(Inhabitants {
        v4: addresses_in(handle, namespace).await?,
        v6: addresses_in(handle, namespace).await?,
    })
}

async fn addresses_in<A: HostFamily>(
    handle: &mut Handle,
    NamespaceId(namespace): NamespaceId,
) -> Result<BTreeSet<A>, HostError> {
    if A::IS_OPTIONAL && !Path::new(A::FORWARDING).exists() {
        return Ok(BTreeSet::new());
    }
    let mut request = AddressMessage::default();
    request.header.family = A::NUMBER;
    request
        .attributes
        .push(AddressAttribute::TargetNetNsId(namespace));
    let request = RouteNetlinkMessage::GetAddress(request);
    let events = list(handle, "containers' addresses", &request).await?;
    Ok(events.into_iter().filter_map(Event::into_address).collect())
}

fn take(snapshot: &mut Snapshot, events: Vec<Event>) {
    for event in events {
        snapshot.apply(event);
    }
}

/// Whether this namespace forwards; not knowing means no.
pub(super) fn forwarding<A: HostFamily>() -> bool {
    fs::read_to_string(A::FORWARDING).is_ok_and(|value| !matches!(value.trim(), "0" | ""))
}

fn links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

fn addresses(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetAddress(message)
}

fn neighbours(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetNeighbour(message)
}

fn routes(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
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
