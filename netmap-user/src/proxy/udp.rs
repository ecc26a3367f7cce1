//! UDP: one front socket a family for all published ports. Each datagram says where it was sent to.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Weak},
};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{io::Interest, net::UdpSocket, task::yield_now};

use super::{
    Refusal, Shared,
    reply::ReplySocket,
    session::{Session, SessionKey},
    socket::{Mark, udp_backend, udp_front},
};
use crate::{
    binding::Transport,
    sys::{Datagram, Inbox},
};

/// Datagrams read at a time, before others have their turn.
const BATCH: usize = 64;

/// Forwards what comes to each for ever.
pub(super) fn serve(
    shared: &Arc<Shared>,
    fronts: Vec<Arc<Front>>,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let serving = fronts.into_iter().map(|front| {
        let socket = UdpSocket::from_std(front.socket.try_clone()?)?;
        Ok(front.forward_for_ever(Arc::clone(shared), socket))
    });
    let serving: Vec<_> = serving.collect::<io::Result<_>>()?;
    Ok(join_all(serving).map(drop))
}

/// The socket that published ports of one family are steered to.
#[derive(Debug)]
pub(super) struct Front {
    socket: net::UdpSocket,
    pub(super) address: SocketAddr,
    /// Replies from its own address, should somebody publish that.
    own_reply: Arc<ReplySocket>,
}

impl Front {
    pub(super) fn bind(address: SocketAddr, mark: Mark) -> io::Result<Self> {
        let socket = udp_front(address, mark)?;
        Ok(Self {
            address: socket.local_addr()?,
            own_reply: Arc::new(ReplySocket::from_bound(socket.try_clone()?)),
            socket,
        })
    }

    async fn forward_for_ever(self: Arc<Self>, shared: Arc<Shared>, socket: UdpSocket) {
        let mut inbox = Inbox::new(BATCH);
        loop {
            match receive(&socket, &mut inbox).await {
                Ok(received) => self.forward_all(&shared, &inbox, received),
                Err(error) => tracing::warn!(%error, "cannot read proxied datagrams"),
            }
            // A flood must not keep the connections and the API waiting.
            yield_now().await;
        }
    }

    /// Forwards each, those of a session together and in their order.
    fn forward_all(&self, shared: &Arc<Shared>, inbox: &Inbox, received: usize) {
        let mut datagrams: Vec<Datagram<'_>> = (0..received).filter_map(|index| inbox.get(index)).collect();
        let lost = received - datagrams.len();
        shared
            .counters
            .datagrams_lost
            .add(u64::try_from(lost).unwrap_or(0));
        // Stable, and quick for a flood from one client.
        datagrams.sort_by_key(|datagram| (datagram.from, datagram.to));
        for together in datagrams.chunk_by(|one, next| (one.from, one.to) == (next.from, next.to)) {
            self.forward(shared, together);
        }
    }

    /// Forwards datagrams of one session.
    fn forward(&self, shared: &Arc<Shared>, datagrams: &[Datagram<'_>]) {
        let Some(first) = datagrams.first() else {
            return;
        };
        let key = SessionKey {
            client: first.from,
            destination: first.to,
        };
        let mut rest = datagrams;
        let session = loop {
            if rest.is_empty() {
                return;
            }
            let known = shared.sessions().live(&key);
            match known.map_or_else(|| self.open(shared, key), Ok) {
                Ok(session) => break session,
                // Counted where it is refused, each; nobody else is to be told.
                Err(_) => rest = rest.get(1..).unwrap_or_default(),
            }
        };
        session.forward(shared, rest);
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

/// Waits for datagrams and takes what is there.
async fn receive(socket: &UdpSocket, inbox: &mut Inbox) -> io::Result<usize> {
    socket.readable().await?;
    let mut received = 0;
    let emptied = socket.try_io(Interest::READABLE, || {
        received = inbox.receive(socket)?;
        // The rest of the room says that there is no more, without another call.
        if received < inbox.room() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match emptied {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Ok(received),
    }
}
