//! Sockets for what the packet hooks cannot see: the host's own connections to its published ports, and whatever else
//! reaches a published port by the host's stack.
//!
//! A steering program (`sk_lookup`) hands every published port of the network namespace to one TCP listener and one
//! UDP socket an address family. The proxy asks the kernel for the destination that the client used, looks it up and carries bytes to
//! the container, which may be of the other family; the container sees the address that the kernel picks, the bridge's own.
//!
//! - `fronts`: what is steered to;
//! - `listeners`, `ports`, `reserved`: who has which ports;
//! - `hold`: keeps published ports from other programs;
//! - `table`: destination to container;
//! - `tcp`, `relay`, `pipe`: connections; `reply`, `session`, `udp`: datagrams;
//! - `worker`: the threads that carry both.
//!
//! The order that nothing is misdelivered in. Publish: [`Proxy::hold`], [`Proxy::publish`], then the steering map.
//! Unpublish: [`Proxy::unpublish`], which lets go of the ports too, then the steering map: meanwhile clients are reset.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::binding::{Binding, Published, Transport};

mod counters;
mod fronts;
mod hold;
mod limits;
mod listeners;
mod pipe;
mod ports;
mod relay;
mod reply;
mod reserved;
mod session;
mod socket;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod worker;

pub use counters::{Counter, Counters};
pub use hold::{Hold, HoldError, InUse};
pub use limits::{Limits, Timeouts};
pub use listeners::{bound, listening};
pub use ports::{PortSet, PortSetError};
pub use reserved::{Reservations, ephemeral_range, reserved_ports};
pub use socket::Mark;

use fronts::Fronts;
use pipe::Pipes;
use session::Sessions;
use table::{Route, Table};
use worker::Worker;

/// Tells whether an address is one of this host's.
pub type IsLocal = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What a proxy is started with.
#[derive(Clone)]
pub struct Config {
    /// The mark of its sockets.
    pub mark: Mark,
    /// Whose addresses no allow-list applies to, beside loopback.
    pub is_local: IsLocal,
    /// Upper bounds.
    pub limits: Limits,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("mark", &self.mark)
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No listener.
    #[error("cannot open the proxy's TCP listener: {0}")]
    Tcp(#[source] io::Error),
    /// No UDP socket.
    #[error("cannot open the proxy's UDP socket: {0}")]
    Udp(#[source] io::Error),
}

/// A running proxy. Dropping it resets its connections and lets go of all ports.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    fronts: Fronts,
    workers: Vec<Worker>,
}

impl Proxy {
    /// Opens its sockets and starts serving them. Call it in the network namespace whose ports are published. A kernel
    /// without IPv6 has clients of IPv4 only.
    pub fn start(config: Config) -> Result<Self, ProxyError> {
        let shared = Arc::new(Shared::new(config));
        let fronts = Fronts::open(shared.mark, Worker::for_connections())?;
        let mut workers = Vec::new();
        for listeners in fronts.listeners() {
            let worker = Worker::start("proxy-tcp", || tcp::serve(&shared, &listeners));
            workers.push(worker.map_err(ProxyError::Tcp)?);
        }
        let worker = Worker::start("proxy-udp", || udp::serve(&shared, fronts.udp()));
        workers.push(worker.map_err(ProxyError::Udp)?);
        Ok(Self {
            shared,
            fronts,
            workers,
        })
    }

    /// Its sockets for the steering program's map, with their indexes there ([`netmap_common::maps::socket`]).
    pub fn sockets(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.fronts.sockets()
    }

    /// Keeps the ports of `published` from other programs, or names the program that has one; an answer for each.
    /// What is published at every address of both families is kept by one socket a port.
    pub fn hold(&self, published: &[Published]) -> Vec<Result<Hold, HoldError>> {
        Hold::take_all(published, self.shared.mark, &self.fronts.addresses())
    }

    /// Keeps the port of `published` by a socket that its owner has bound there, and has handed over: a listener of TCP, or
    /// a socket of UDP that answers will leave from.
    pub fn keep(&self, published: &Published, socket: OwnedFd) -> Result<Hold, HoldError> {
        Hold::of_socket(published, socket, self.shared.mark)
    }

    /// Whether a published port is kept by a socket of the proxy's, not by somebody else.
    pub fn is_held(&self, published: &Published) -> bool {
        self.shared.table().is_held(published)
    }

    /// Closes the sockets from which answers leave where somebody else keeps the ports, so that those can be kept now. The next
    /// answers have new ones.
    pub fn forget_replies(&self, published: &[Published]) {
        self.shared.table().forget_replies(published);
    }

    /// Exchanges what keeps the ports of a published range; what it carries goes on. False if it is not published.
    pub fn rehold(&self, published: &Published, hold: Hold) -> bool {
        hold.drain();
        self.shared.table().rehold(published, hold)
    }

    /// Serves `binding` from now on. It replaces one with the same published side, whose flows are cut. That it overlaps
    /// no other one is the caller's business, and [`Proxy::hold`] sees to it for ports that are kept by sockets.
    pub fn publish(&self, binding: Binding, hold: Hold) {
        hold.drain();
        self.shared.table().insert(binding, hold);
    }

    /// Stops serving a range, lets go of its ports and cuts its flows. False if it was not published.
    pub fn unpublish(&self, published: &Published) -> bool {
        self.shared.table().remove(published, self.shared.mark)
    }

    /// What it has carried and refused.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Ends every connection and session.
        self.shared.table().clear();
        self.workers.clear();
    }
}

/// Why a connection or datagram is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Unpublished,
    Source,
    Full,
    ClientFull,
    Resources,
}

/// What all tasks of one proxy have in common.
struct Shared {
    mark: Mark,
    is_local: IsLocal,
    limits: Limits,
    timeouts: Timeouts,
    counters: Arc<Counters>,
    epoch: Instant,
    table: Mutex<Table>,
    sessions: Mutex<Sessions>,
    pipes: Pipes,
}

impl Shared {
    fn new(config: Config) -> Self {
        Self {
            mark: config.mark,
            is_local: config.is_local,
            limits: config.limits,
            timeouts: config.timeouts,
            counters: Arc::default(),
            epoch: Instant::now(),
            table: Mutex::default(),
            sessions: Mutex::default(),
            pipes: Pipes::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `peer` gets to by `destination`, if it may. Refusals are counted.
    fn route(
        &self,
        transport: Transport,
        destination: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(Route, SocketAddr), Refusal> {
        let route = self.table().route(transport, destination);
        let target = route.as_ref().and_then(|route| route.target(destination.port()));
        let (Some(route), Some(target)) = (route, target) else {
            return Err(self.refuse(Refusal::Unpublished));
        };
        let source = peer.ip();
        if source.is_loopback() || route.allows(source) || (self.is_local)(source) {
            Ok((route, target))
        } else {
            Err(self.refuse(Refusal::Source))
        }
    }

    /// Counts a refusal, and hands it back.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        let counter = match refusal {
            Refusal::Unpublished => &self.counters.refused_unpublished,
            Refusal::Source => &self.counters.refused_source,
            Refusal::Full => &self.counters.refused_full,
            Refusal::ClientFull => &self.counters.refused_client_full,
            Refusal::Resources => &self.counters.refused_resources,
        };
        counter.increment();
        refusal
    }

    /// Closes the reply socket of `destination` if no session needs it any more.
    fn release(&self, destination: SocketAddr) {
        self.table().release_reply(destination);
    }

    /// Since the start.
    fn milliseconds(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
