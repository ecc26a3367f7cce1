//! Sockets of this host that the hooks have led to a container by a rule that is no more: they are ended, as flows are.
//!
//! A client that was connected through the proxy loses its connection when its port is taken back; one that was led
//! past it has to lose it, too, or a connected UDP socket would talk to its old container for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
};

use netmap_common::maps::{Cookie, Detour, Detours, Place, Port};

use crate::{
    binding::Transport,
    maps::{Maps, MapsError},
    publish::Publisher,
    sys::diag::{Connected, SocketDiag},
};

/// Up to this many containers, the kernel is asked for their sockets alone.
const FEW: usize = 8;
/// From this many on, the table of connected UDP sockets is worth sweeping.
const MANY: usize = 1_024;

/// Why connections are not ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum StrayError {
    /// `EOPNOTSUPP` from a kernel that cannot end connections, and what else `sock_diag(7)` fails with.
    #[error("the kernel does not end them ({0})")]
    Diag(#[from] io::Error),
    /// A map.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// Ends every connection that leads to one of `containers` (`None` for any) by a rule that is not published any more;
/// says how many there were.
pub(super) fn cut(
    maps: &Maps,
    publisher: &Publisher,
    containers: Option<&BTreeSet<Ipv4Addr>>,
) -> Result<usize, StrayError> {
    let peers: Vec<Option<Ipv4Addr>> = match containers {
        Some(few) if few.len() <= FEW => few.iter().copied().map(Some).collect(),
        _ => vec![None],
    };
    let diag = SocketDiag::open()?;
    let mut strays = Vec::new();
    for peer in &peers {
        diag.each_stored(*peer, maps.v4.detours.fd(), |socket, detours: Detours| {
            let detour = target(&socket).and_then(|target| detours.to(target));
            if is_stray(publisher, Transport::Tcp, &socket, detour) {
                strays.push(socket);
            }
        })?;
    }
    let clients: BTreeMap<Cookie, Detour> = maps.v4.clients.all()?.into_iter().collect();
    if !clients.is_empty() {
        for peer in &peers {
            diag.each(Transport::Udp.protocol(), *peer, |socket| {
                let detour = clients.get(&socket.cookie()).copied();
                if is_stray(publisher, Transport::Udp, &socket, detour) {
                    strays.push(socket);
                }
            })?;
        }
    }
    let mut cut = 0;
    for stray in &strays {
        cut += usize::from(diag.destroy(stray)?);
    }
    Ok(cut)
}

/// Forgets connected UDP sockets that are closed, where there are many.
pub(super) fn sweep(maps: &mut Maps) -> Result<(), StrayError> {
    let mut closed: BTreeSet<Cookie> = BTreeSet::new();
    let known = maps.v4.clients.for_each(|cookie, _| {
        closed.insert(*cookie);
    })?;
    if known < MANY {
        return Ok(());
    }
    SocketDiag::open()?.each(Transport::Udp.protocol(), None, |socket| {
        closed.remove(&socket.cookie());
    })?;
    let closed: Vec<Cookie> = closed.into_iter().collect();
    maps.v4.clients.remove_all(&closed)?;
    Ok(())
}

fn target(socket: &Connected) -> Option<Place> {
    let peer = socket.peer()?;
    Some(Place::new((*peer.ip()).into(), Port(peer.port())))
}

/// Whether a socket is where its detour led it, and the detour's rule is gone. One that asked for the container itself
/// has no detour to it.
fn is_stray(publisher: &Publisher, transport: Transport, socket: &Connected, detour: Option<Detour>) -> bool {
    let Some(Detour { origin, target }) = detour else {
        return false;
    };
    let is_there = self::target(socket) == Some(target);
    is_there
        && publisher.target(transport, origin.address.into(), origin.port.0) != socket.peer().map(Into::into)
}
