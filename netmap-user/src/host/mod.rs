//! Links, addresses, bridge ports, neighbours and default routes of the host, followed by netlink.
//!
//! [`Host`] keeps a [`Snapshot`] of what the kernel says, and computes from it a [`View`]: what the maps should hold.
//! It acts in the network namespace of the thread that opened it. Both address families are one code: what differs
//! between them is in `family`.

mod addressing;
mod census;
mod change;
mod dump;
mod event;
mod family;
mod owners;
mod place;
mod resolve;
mod role;
mod snapshot;
mod tables;
mod takers;
#[cfg(feature = "testing")]
pub(crate) mod testing;
mod view;
mod watch;
mod wire;

use std::{
    collections::BTreeSet,
    future::{self, Future},
    io,
    net::IpAddr,
    pin::Pin,
    time::Duration,
};

use futures_util::StreamExt as _;
use netmap_common::maps::{Address, Address6, IfIndex, Role};
use rtnetlink::Handle;
use tokio::{task::JoinSet, time::Instant};

pub use addressing::{Addressing, DefaultRoute, Hop, HostAddress, Neighbour, Standing};
pub use place::Place;
pub use role::Selection;
pub use snapshot::{Inhabitants, Link, LinkKind, Mac, NamespaceId, Peer, Snapshot, Station};
pub use tables::FamilyView;
pub use view::{NamedInterface, View};
pub use wire::Wire;

use self::{
    census::{Answer, Census},
    change::Change,
    resolve::Resolver,
    takers::Takers,
    view::Picture,
    watch::{Heard, Watch},
};
use crate::egress::Egress;

/// The kernel's queue of events: about 10,000 links.
const QUEUE: usize = 16 << 20;

/// Pause after a resynchronisation, so that a host where events are lost all the time is not busy with nothing else.
const RESYNC_PAUSE: Duration = Duration::from_millis(200);

/// Why the host cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No netlink socket.
    #[error("cannot listen to the kernel's network events: {0}")]
    Listen(#[source] io::Error),
    /// No second netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Connect(#[source] io::Error),
    /// A request was refused.
    #[error("cannot list the host's {what}: {reason}")]
    Dump {
        /// What was listed.
        what: &'static str,
        /// The kernel's reason.
        reason: String,
    },
}

type Dumping = Pin<Box<dyn Future<Output = Result<Snapshot, HostError>> + Send>>;

/// The host's network namespace, followed.
pub struct Host {
    selection: Selection,
    wanted: BTreeSet<IpAddr>,
    snapshot: Snapshot,
    picture: Picture,
    stale: bool,
    resolver: Resolver,
    watch: Watch,
    /// None where the kernel does not tell of them.
    takers: Option<Takers>,
    census: Census,
    handle: Handle,
    dumping: Option<Dumping>,
    resync_at: Option<Instant>,
    no_resync_before: Instant,
    resyncs: u64,
    _connection: JoinSet<()>,
}

impl Host {
    /// Starts to follow the network namespace of the calling thread. Wants a tokio runtime with I/O and time.
    pub async fn open(selection: Selection) -> Result<Self, HostError> {
        Self::with_queue(selection, QUEUE).await
    }

    /// The same with room for `queue` bytes of events that were not read yet.
    pub async fn with_queue(selection: Selection, queue: usize) -> Result<Self, HostError> {
        // Listening begins before the dump, so that nothing between the two is missed.
        let watch = Watch::open(queue).map_err(HostError::Listen)?;
        let takers = Takers::open().unwrap_or_else(|error| {
            tracing::warn!("which containers take frames from XDP is not known: {error}");
            None
        });
        let census = Census::open().unwrap_or_else(|error| {
            tracing::warn!("containers' addresses are not known, so that they may send from others: {error} (it takes CAP_NET_BROADCAST)");
            Census::default()
        });
        let (handle, connection) = connect().map_err(HostError::Connect)?;
        let snapshot = dump::snapshot(handle.clone()).await?;
        let mut host = Self {
            selection,
            wanted: BTreeSet::new(),
            snapshot,
            picture: Picture::default(),
            stale: true,
            resolver: Resolver::default(),
            watch,
            takers,
            census,
            handle,
            dumping: None,
            resync_at: None,
            no_resync_before: Instant::now(),
            resyncs: 0,
            _connection: connection,
        };
        host.refresh();
        let answers = host.census.take_all(&host.handle).await;
        host.learn(answers);
        host.refresh();
        Ok(host)
    }

    /// Waits until the view has changed. Loss of events is made good by listing everything anew.
    ///
    /// Cancel safe. Must be polled for anything to happen: the questions of [`Self::want`] are repeated here, too.
    /// After an error it may be called again, and tries again.
    pub async fn changed(&mut self) -> Result<(), HostError> {
        loop {
            self.step().await?;
            if self.refresh() {
                return Ok(());
            }
        }
    }

    /// Container addresses that are published. The view has endpoints for these only, and covers them at once;
    /// the kernel is asked to resolve those whose place is not known.
    pub fn want(&mut self, addresses: BTreeSet<IpAddr>) -> bool {
        if self.wanted == addresses {
            return false;
        }
        self.wanted = addresses;
        self.stale = true;
        self.refresh();
        self.ask();
        true
    }

    /// The addresses of [`Self::want`].
    pub fn wanted(&self) -> &BTreeSet<IpAddr> {
        &self.wanted
    }

    /// Bridges that a container engine has: managed from now on, and others that it had no longer.
    pub fn set_engine_bridges(&mut self, bridges: BTreeSet<String>) {
        let bridges = Some(bridges);
        if self.selection.engine == bridges {
            return;
        }
        self.selection.engine = bridges;
        self.stale = true;
        self.refresh();
    }

    /// Works on what another selection names, beside the engine's bridges, if `check` has nothing against what comes of it.
    /// The view covers it at once.
    ///
    /// # Errors
    ///
    /// What `check` says; then nothing has changed.
    pub fn select<E>(
        &mut self,
        selection: Selection,
        check: impl Fn(&View) -> Result<(), E>,
    ) -> Result<(), E> {
        let selection = Selection {
            engine: self.selection.engine.clone(),
            ..selection
        };
        let mut last = self.picture.clone();
        if selection.uplinks != self.selection.uplinks {
            // Nobody's uplink only because it was one.
            let interfaces = &mut last.view.interfaces;
            interfaces.retain(|_, interface| interface.role != Role::Uplink);
        }
        check(&view::picture(&self.snapshot, &selection, &self.wanted, &last).view)?;
        self.selection = selection;
        self.picture = last;
        self.stale = true;
        self.refresh();
        Ok(())
    }

    /// By which addresses containers leave.
    pub fn egress(&self) -> &Egress {
        &self.selection.egress
    }

    /// Has them leave by others from now on. The view covers it at once; flows keep the address that they began with.
    pub fn set_egress(&mut self, egress: Egress) {
        if self.selection.egress == egress {
            return;
        }
        self.selection.egress = egress;
        self.stale = true;
        self.refresh();
    }

    /// Who was found to own an address before, by a former daemon, and still has it, goes on to.
    pub fn remember_owners(
        &mut self,
        v4: impl IntoIterator<Item = (Address, IfIndex)>,
        v6: impl IntoIterator<Item = (Address6, IfIndex)>,
    ) {
        let View {
            v4: view4, v6: view6, ..
        } = &mut self.picture.view;
        view4.owners = v4.into_iter().collect();
        view6.owners = v6.into_iter().collect();
        self.stale = true;
        self.refresh();
    }

    /// What the maps should hold now.
    pub fn view(&self) -> &View {
        &self.picture.view
    }

    /// What the kernel said.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where a published container was found: its bridge, port and link-layer address.
    pub fn place_of(&self, address: IpAddr) -> Option<Place> {
        self.picture.places.get(&address).copied()
    }

    /// How often events were lost and everything was listed anew.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    async fn step(&mut self) -> Result<(), HostError> {
        if let Some(dumping) = &mut self.dumping {
            // Events wait meanwhile: what they say is newer than the dump, or the same.
            let dumped = dumping.await;
            self.dumping = None;
            self.no_resync_before = Instant::now() + RESYNC_PAUSE;
            match dumped {
                Ok(snapshot) => {
                    let Snapshot {
                        takers, inhabitants, ..
                    } = std::mem::take(&mut self.snapshot);
                    self.snapshot = Snapshot {
                        takers,
                        inhabitants,
                        ..snapshot
                    };
                    self.stale = true;
                    self.resyncs += 1;
                }
                Err(error) => {
                    self.resync_at = Some(self.no_resync_before);
                    return Err(error);
                }
            }
            return Ok(());
        }
        tokio::select! {
            heard = self.watch.hear() => self.take(heard.map_err(HostError::Listen)?),
            takers = hear(&mut self.takers) => {
                let takers = takers.unwrap_or_else(|error| {
                    // Without its word none may be sent frames.
                    tracing::warn!("containers no longer take frames from XDP: {error}");
                    self.takers = None;
                    BTreeSet::new()
                });
                self.stale |= self.snapshot.takers != takers;
                self.snapshot.takers = takers;
            }
            answers = self.census.answers(&self.handle) => self.learn(answers),
            () = until(self.resolver.next()) => self.ask(),
            () = until(self.resync_at) => {
                self.resync_at = None;
                self.dumping = Some(Box::pin(dump::snapshot(self.handle.clone())));
            }
        }
        Ok(())
    }

    fn take(&mut self, heard: Heard) {
        let now = Instant::now();
        for event in heard.events {
            let Some(change) = self.snapshot.apply(event) else {
                continue;
            };
            self.stale |= match change {
                Change::Topology => true,
                // Without an address that is verified, a bridge asks for none of IPv6.
                Change::Port(bridge) | Change::Address(bridge) => {
                    for (address, ask) in self.resolver.hurry(bridge, now) {
                        if let Err(error) = self.handle.notify(resolve::forget(address, &ask)) {
                            tracing::debug!(%address, %error, "cannot make the kernel ask anew");
                        }
                    }
                    true
                }
                Change::Neighbour(address) => self.wanted.contains(&address),
                Change::Station => !self.wanted.is_empty(),
            };
        }
        if heard.settings {
            let forwarding = (dump::forwarding::<Address>(), dump::forwarding::<Address6>());
            let Snapshot { v4, v6, .. } = &mut self.snapshot;
            self.stale |= (v4.forwarding, v6.forwarding) != forwarding;
            (v4.forwarding, v6.forwarding) = forwarding;
        }
        if heard.loss && self.resync_at.is_none() {
            tracing::debug!("events of the kernel were lost: listing everything anew");
            self.resync_at = Some(self.no_resync_before);
        }
    }

    fn learn(&mut self, answers: Vec<Answer>) {
        let known = &mut self.snapshot.inhabitants;
        for (namespace, answer) in answers {
            let differs = known.get(&namespace) != answer.as_ref();
            match answer {
                Some(inhabitants) => known.insert(namespace, inhabitants),
                None => known.remove(&namespace),
            };
            self.stale |= differs;
        }
    }

    /// Brings the view up to date, and says whether it differs from before.
    fn refresh(&mut self) -> bool {
        if !self.stale {
            return false;
        }
        self.stale = false;
        let picture = view::picture(&self.snapshot, &self.selection, &self.wanted, &self.picture);
        self.resolver.follow(&picture.asks, Instant::now());
        let homes = &picture.homes;
        self.snapshot
            .inhabitants
            .retain(|namespace, _| homes.iter().any(|(_, home)| home == namespace));
        self.census.follow(homes.clone());
        let differs = picture.view != self.picture.view;
        self.picture = picture;
        differs
    }

    fn ask(&mut self) {
        for (address, ask) in self.resolver.due(Instant::now()) {
            tracing::trace!(%address, ?ask, "asking the kernel to resolve");
            if let Err(error) = self.handle.notify(resolve::question(address, &ask)) {
                tracing::debug!(%address, %error, "cannot ask the kernel to resolve");
            }
        }
    }
}

/// Opens a connection for requests; it ends when the returned set is dropped.
fn connect() -> io::Result<(Handle, JoinSet<()>)> {
    let (mut connection, handle, mut others) = rtnetlink::new_connection_with_strict_check()?;
    // Without this, a dump that broke off looks like one that is complete.
    connection.set_forward_done(true);
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    tasks.spawn(async move {
        while let Some((message, _)) = others.next().await {
            tracing::debug!(?message, "the kernel refused a request");
        }
    });
    Ok((handle, tasks))
}

async fn hear(takers: &mut Option<Takers>) -> io::Result<BTreeSet<IfIndex>> {
    match takers {
        Some(takers) => takers.hear().await,
        None => future::pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => future::pending().await,
    }
}
