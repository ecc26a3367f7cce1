//! UDP: one front socket for all published ports. Each datagram says where it was sent to.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd},
    sync::{Arc, Weak},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg},
};
use tokio::{io::Interest, net::UdpSocket, task::yield_now};

use super::{
    Refusal, Shared,
    reply::ReplySocket,
    session::{Session, SessionKey},
    socket::{Mark, udp_backend, udp_front},
};
use crate::binding::Transport;

/// Datagrams read in a row before others have their turn.
const BATCH: usize = 64;
/// Longer than any UDP payload over IPv4 (65,507 bytes) or IPv6 without jumbograms.
pub(super) const LONGEST: usize = 65_535;

/// The socket that published ports are steered to.
#[derive(Debug)]
pub(super) struct Front {
    socket: UdpSocket,
    pub(super) address: SocketAddr,
    /// Replies from its own address, should somebody publish that.
    own_reply: Arc<ReplySocket>,
}

/// One datagram's way.
struct Arrival {
    client: SocketAddr,
    destination: SocketAddr,
    length: usize,
}

impl Front {
    pub(super) fn bind(mark: Mark) -> io::Result<Self> {
        let socket = udp_front(mark)?;
        Ok(Self {
            address: socket.local_addr()?,
            own_reply: Arc::new(ReplySocket::from_bound(socket.try_clone()?)),
            socket: UdpSocket::from_std(socket)?,
        })
    }

    /// Forwards for ever.
    pub(super) async fn serve(self: Arc<Self>, shared: Arc<Shared>) {
        let mut buffer = vec![0; LONGEST];
        let mut control = cmsg_space!(libc::sockaddr_in);
        loop {
            if let Err(error) = self.forward_batch(&shared, &mut buffer, &mut control).await {
                tracing::warn!(%error, "cannot read proxied datagrams");
            }
            // A flood must not keep the connections and the API waiting.
            yield_now().await;
        }
    }

    /// Forwards what is there, [`BATCH`] datagrams at most.
    async fn forward_batch(
        &self,
        shared: &Arc<Shared>,
        buffer: &mut [u8],
        control: &mut [u8],
    ) -> io::Result<()> {
        self.socket.readable().await?;
        for _ in 0..BATCH {
            let received = self.socket.try_io(Interest::READABLE, || {
                receive(self.socket.as_raw_fd(), buffer, control)
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
                Ok(Some(arrival)) => self.forward(shared, &arrival, &buffer[..arrival.length]),
                Ok(None) => shared.counters.datagrams_lost.increment(),
            }
        }
        Ok(())
    }

    fn forward(&self, shared: &Arc<Shared>, arrival: &Arrival, payload: &[u8]) {
        let key = SessionKey {
            client: arrival.client,
            destination: arrival.destination,
        };
        let known = shared.sessions().live(&key);
        // A refusal is counted where it is made; nobody else is to be told.
        let Ok(session) = known.map_or_else(|| self.open(shared, key), Ok) else {
            return;
        };
        session.forward(shared, payload);
    }

    fn open(&self, shared: &Arc<Shared>, key: SessionKey) -> Result<Arc<Session>, Refusal> {
        let (route, target) = shared.route(Transport::Udp, key.destination, key.client)?;
        shared
            .sessions()
            .admit(&key, &shared.limits)
            .map_err(|refusal| shared.refuse(refusal))?;
        let session = self
            .reply(shared, key.destination)
            .and_then(|reply| Session::new(shared, key, route, udp_backend(target, shared.mark)?, reply))
            .map_err(|error| {
                tracing::debug!(%target, %error, "cannot open a UDP session");
                shared.release(key.destination);
                shared.refuse(Refusal::Resources)
            })?;
        let session = Arc::new(session);
        shared.sessions().insert(&session);
        tokio::spawn(Arc::clone(&session).serve(Arc::clone(shared)));
        Ok(session)
    }

    fn reply(&self, shared: &Shared, destination: SocketAddr) -> io::Result<Weak<ReplySocket>> {
        if destination == self.address {
            return Ok(Arc::downgrade(&self.own_reply));
        }
        shared.table().reply(destination, shared.mark)
    }
}

impl AsFd for Front {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One datagram; none when it was cut short or did not say where it was sent to.
fn receive(socket: RawFd, buffer: &mut [u8], control: &mut [u8]) -> io::Result<Option<Arrival>> {
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn>(socket, &mut slices, Some(control), MsgFlags::MSG_DONTWAIT)?;
    if message
        .flags
        .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
    {
        return Ok(None);
    }
    let destination = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4OrigDstAddr(address) => Some(SocketAddrV4::from(SockaddrIn::from(address))),
        _ => None,
    });
    let (Some(client), Some(destination)) = (message.address, destination) else {
        return Ok(None);
    };
    Ok(Some(Arrival {
        client: SocketAddrV4::from(client).into(),
        destination: destination.into(),
        length: message.bytes,
    }))
}
