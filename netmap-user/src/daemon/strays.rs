//! Sockets of this host that the hooks have led to a container by a rule that is no more: they are ended, as flows are.
//!
//! A client that was connected through the proxy loses its connection when its port is taken back; one that was led
//! past it has to lose it, too, or a connected UDP socket would talk to its old container for ever.

use std::{collections::BTreeSet, io, net::Ipv4Addr};

use netmap_common::maps::{Detours, Place, Port};

use crate::{
    binding::Transport,
    maps::DetourStorage,
    publish::Publisher,
    sys::diag::{Connected, SocketDiag},
};

/// Up to this many containers, the kernel is asked for their sockets alone.
const FEW: usize = 8;

/// Ends every connection that leads to one of `containers` (`None` for any) by a rule that is not published any more;
/// says how many there were.
///
/// # Errors
///
/// `EOPNOTSUPP` from a kernel that cannot end connections, and what else sock_diag(7) fails with.
pub(super) fn cut(
    storage: &DetourStorage,
    publisher: &Publisher,
    containers: Option<&BTreeSet<Ipv4Addr>>,
) -> io::Result<usize> {
    let diag = SocketDiag::open()?;
    let peers: Vec<Option<Ipv4Addr>> = match containers {
        Some(few) if few.len() <= FEW => few.iter().copied().map(Some).collect(),
        _ => vec![None],
    };
    let mut cut = 0;
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut strays = Vec::new();
        for peer in &peers {
            diag.each(transport.protocol(), *peer, storage.fd(), |socket, detours| {
                if is_stray(publisher, transport, &socket, &detours) {
                    strays.push(socket);
                }
            })?;
        }
        for stray in &strays {
            cut += usize::from(diag.destroy(stray)?);
        }
    }
    Ok(cut)
}

fn is_stray(publisher: &Publisher, transport: Transport, socket: &Connected, detours: &Detours) -> bool {
    let Some(peer) = socket.peer() else { return false };
    // A socket that asked for the container itself has no detour to it.
    let Some(detour) = detours.to(Place::new((*peer.ip()).into(), Port(peer.port()))) else {
        return false;
    };
    let Place { address, port, .. } = detour.origin;
    publisher.target(transport, address.into(), port.0) != Some(peer)
}
