//! Sockets of this host that the hooks have led to a container by a rule that is no more: they are ended, as flows are.
//!
//! A client that was connected through the proxy loses its connection when its port is taken back; one that was led
//! past it has to lose it, too, or a connected UDP socket would talk to its old container for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
};

use netmap_common::maps::{Cookie, Detour, Detours, Ip, Place};

use crate::{
    binding::Transport,
    maps::{Family, FamilyMaps, Maps, MapsError},
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
    containers: Option<&BTreeSet<IpAddr>>,
) -> Result<usize, StrayError> {
    let diag = SocketDiag::open()?;
    let peers = |is_family: fn(&IpAddr) -> bool| -> Vec<Option<IpAddr>> {
        match containers {
            Some(few) if few.len() <= FEW => few.iter().copied().filter(is_family).map(Some).collect(),
            _ => vec![None],
        }
    };
    let mut strays = Vec::new();
    find(&diag, &maps.v4, publisher, &peers(IpAddr::is_ipv4), &mut strays)?;
    find(&diag, &maps.v6, publisher, &peers(IpAddr::is_ipv6), &mut strays)?;
    let mut cut = 0;
    for stray in &strays {
        cut += usize::from(diag.destroy(stray)?);
    }
    Ok(cut)
}

/// Finds those of one family, with one of the peers.
fn find<A: Family>(
    diag: &SocketDiag,
    maps: &FamilyMaps<A>,
    publisher: &Publisher,
    peers: &[Option<IpAddr>],
    strays: &mut Vec<Connected>,
) -> Result<(), StrayError> {
    for peer in peers {
        diag.each_stored(
            *peer,
            maps.detours.fd(),
            |socket, Detours(detours): Detours<A>| {
                let detour = detours
                    .iter()
                    .find(|detour| place(detour.target) == socket.peer());
                if is_stray(publisher, Transport::Tcp, &socket, detour) {
                    strays.push(socket);
                }
            },
        )?;
    }
    if peers.is_empty() {
        return Ok(());
    }
    let clients: BTreeMap<Cookie, Detour<A>> = maps.clients.all()?.into_iter().collect();
    if clients.is_empty() {
        return Ok(());
    }
    for peer in peers {
        diag.each(Transport::Udp.protocol(), *peer, |socket| {
            if is_stray(publisher, Transport::Udp, &socket, clients.get(&socket.cookie())) {
                strays.push(socket);
            }
        })?;
    }
    Ok(())
}

/// Forgets connected UDP sockets that are closed, where there are many.
pub(super) fn sweep(maps: &mut Maps) -> Result<(), StrayError> {
    sweep_family(&mut maps.v4)?;
    sweep_family(&mut maps.v6)
}

fn sweep_family<A: Family>(maps: &mut FamilyMaps<A>) -> Result<(), StrayError> {
    let mut closed: BTreeSet<Cookie> = BTreeSet::new();
    let known = maps.clients.for_each(|cookie, _| {
        closed.insert(*cookie);
    })?;
    if known < MANY {
        return Ok(());
    }
    SocketDiag::open()?.each(Transport::Udp.protocol(), None, |socket| {
        closed.remove(&socket.cookie());
    })?;
    let closed: Vec<Cookie> = closed.into_iter().collect();
    maps.clients.remove_all(&closed)?;
    Ok(())
}

fn place<A: Ip>(place: Place<A>) -> SocketAddr {
    SocketAddr::new(place.address.into(), place.port.0)
}

/// Whether a socket is where its detour led it, and the detour's rule is gone. One that asked for the container itself
/// has no detour to it.
fn is_stray<A: Ip>(
    publisher: &Publisher,
    transport: Transport,
    socket: &Connected,
    detour: Option<&Detour<A>>,
) -> bool {
    let Some(Detour { origin, target }) = detour else {
        return false;
    };
    let (peer, origin) = (socket.peer(), place(*origin));
    peer == place(*target) && publisher.target(transport, origin.ip(), origin.port()) != Some(peer)
}
