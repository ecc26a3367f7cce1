//! TCP: one listener a family for all published ports, one task a connection.

use std::{
    future::pending,
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use socket2::Socket;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{
    Refusal, Shared,
    relay::{relay, with_opening, write, write_all},
    socket::{keep_alive, tcp_backend},
    table::Route,
};
use crate::binding::Transport;

/// How long to wait for files or memory to become free before accepting again.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection that is older is asked now and then whether its container is still there.
const LASTING: Duration = Duration::from_secs(1);

/// Accepts from each for ever.
pub(super) fn serve(
    shared: &Arc<Shared>,
    listeners: &[Arc<net::TcpListener>],
) -> io::Result<impl Future<Output = ()> + use<>> {
    let serving = listeners.iter().map(|listener| {
        let listener = TcpListener::from_std(listener.try_clone()?)?;
        Ok(accept(Arc::clone(shared), listener))
    });
    let serving: Vec<_> = serving.collect::<io::Result<_>>()?;
    Ok(join_all(serving).map(drop))
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((client, peer)) => admit(&shared, client, peer),
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                shared.counters.refused_resources.increment();
                tracing::warn!(%error, "cannot accept proxied connections for the moment");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Starts to carry a connection, or resets it: dropping it does.
fn admit(shared: &Arc<Shared>, client: TcpStream, peer: SocketAddr) {
    if let Ok((route, target, open)) = prepare(shared, &client, peer) {
        tokio::spawn(carry(open, route, client, target));
    }
}

fn prepare(
    shared: &Arc<Shared>,
    client: &TcpStream,
    peer: SocketAddr,
) -> Result<(Route, SocketAddr, Open), Refusal> {
    let destination = client
        .local_addr()
        .map_err(|_| shared.refuse(Refusal::Resources))?;
    let (route, target) = shared.route(Transport::Tcp, destination, peer)?;
    let open = Open::new(shared).ok_or_else(|| shared.refuse(Refusal::Full))?;
    Ok((route, target, open))
}

/// Carries one connection until it ends or its port is unpublished, which resets both sides.
async fn carry(open: Open, mut route: Route, client: TcpStream, target: SocketAddr) {
    tokio::select! {
        biased;
        () = route.ended() => {}
        () = converse(&open.0, &client, target) => {}
    }
}

async fn converse(shared: &Shared, client: &TcpStream, target: SocketAddr) {
    let opened = with_opening(client, |opening| {
        (opening.len() as u64, Opened::new(shared, target, opening))
    });
    let Ok((opening, opened)) = opened else {
        // The client has reset the connection already.
        return;
    };
    let reached = match opened {
        Ok(opened) => opened.finish(shared).await,
        Err(error) => Err(error),
    };
    let container = match reached {
        Ok(container) => container,
        Err(error) => {
            if is_shortage(&error) {
                shared.refuse(Refusal::Resources);
            } else {
                shared.counters.connect_failures.increment();
            }
            tracing::debug!(%target, %error, "container does not accept a proxied connection");
            return;
        }
    };
    shared.counters.connections.increment();
    shared.counters.bytes_in.add(opening);
    let relayed = tokio::select! {
        biased;
        relayed = relay(client, &container, &shared.pipes, &shared.counters) => relayed,
        error = lasting(&container) => Err(error),
    };
    if let Err(error) = relayed {
        if is_shortage(&error) {
            shared.refuse(Refusal::Resources);
        }
        tracing::debug!(%target, %error, "proxied connection failed");
    }
}

/// Gives a connection that lasts what one that is over at once need not have. Returns if that fails.
async fn lasting(container: &TcpStream) -> io::Error {
    sleep(LASTING).await;
    match keep_alive(container) {
        Ok(()) => pending().await,
        Err(error) => error,
    }
}

/// A connection to a container that is being made.
struct Opened {
    socket: Socket,
    /// Whether the container has accepted it already: the handshake with one of this host is mostly over at once.
    is_made: bool,
    /// What the client has said and could not be passed on yet.
    rest: Vec<u8>,
}

impl Opened {
    /// Connects, and says `opening`.
    fn new(shared: &Shared, target: SocketAddr, opening: &[u8]) -> io::Result<Self> {
        let socket = tcp_backend(target, shared.mark, !opening.is_empty())?;
        let written = write(&socket, opening, 0)?;
        Ok(Self {
            socket,
            is_made: written > 0,
            rest: opening.get(written..).unwrap_or_default().to_vec(),
        })
    }

    /// Waits until all of that is done.
    async fn finish(self, shared: &Shared) -> io::Result<TcpStream> {
        let container = TcpStream::from_std(self.socket.into())?;
        if !self.is_made {
            timeout(shared.timeouts.connect, container.writable()).await??;
            if let Some(error) = container.take_error()? {
                return Err(error);
            }
        }
        write_all(&container, &self.rest).await?;
        Ok(container)
    }
}

/// Whether it is the system's fault, not the container's.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
    error.raw_os_error().is_some_and(|code| shortages.contains(&code))
}

/// Counts a connection as open until it is dropped.
struct Open(Arc<Shared>);

impl Open {
    /// None when as many are open as may be.
    fn new(shared: &Arc<Shared>) -> Option<Self> {
        let most = u64::try_from(shared.limits.connections).unwrap_or(u64::MAX);
        let is_one_more = shared.counters.connections_open.increment_below(most);
        is_one_more.then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections_open.decrement();
    }
}
