//! `netmap run`: ties the parts together, and is the one writer of the maps.
//!
//! Everything happens in one loop on one thread: an event of the host, a command of the API, a tick, a signal. What it
//! leaves in the kernel outlives it: stopping it stops the proxy and the API, and no packet.

mod claims;
mod closing;
mod closures;
mod commands;
mod direct;
mod engine;
mod fragments;
mod limits;
mod metrics;
mod ports;
mod record;
mod reload;
mod shims;
mod sockets;
mod start;
mod strays;
mod surroundings;
mod topology;
mod uses;
mod watch;
mod xdp;

use std::{
    collections::BTreeSet,
    future::pending,
    io::{self, Write as _},
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use self::{
    closing::Closings, engine::Followed, fragments::WaitingRoom, record::Record, reload::Settings,
    topology::Topology, uses::LastUses, watch::Watchers, xdp::Accelerator,
};
use crate::{
    api::server::{Command, Server},
    config::{Effective, Source},
    dataplane::{self, Dataplane, DataplaneError, Removed},
    docker::{Claims, Door, ShimRequest},
    expiry::{Gone, Purge, Slice, Sweeper, Swept},
    host::{Host, HostError},
    log::Logs,
    maps::{self, Maps},
    metrics::{Metrics, Word},
    options::RunOptions,
    proxy::{Mark, Proxy, Reservations},
    publish::Publisher,
    sandbox,
};

/// The mark of the daemon's own sockets, which may bind published ports.
const SOCKET_MARK: Mark = Mark(0x6e6d_0001);
/// How often the sockets of this host's own processes are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// How often the host's own ports are looked at.
const REFRESH: Duration = Duration::from_secs(10);
/// How long who publishes waits for a container that was never looked for before: until it is found, the proxy serves its
/// clients, and it does not see their addresses. It may not be up yet.
const SOUGHT_FOR: Duration = Duration::from_millis(50);

/// Attaches, serves the API until SIGTERM or SIGINT, and leaves the data plane up.
///
/// # Errors
///
/// One sentence that says why it cannot run.
pub fn run(source: Source, settings: Effective, logs: Logs) -> anyhow::Result<()> {
    let options = &settings.options.clone();
    // What takes more than the rest of the daemon may do, and then no thread that could keep more than that.
    dataplane::provide(&options.pin_dir)?;
    sandbox::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    start::raise_file_limit();
    runtime.block_on(async {
        // The socket first: a second daemon must not touch anything.
        let server = Server::bind(&options.socket)?;
        let door = Door::bind(&options.shim_socket())?;
        let listener = options.metrics.map(crate::metrics::listen).transpose()?;
        let mut signals = Signals::new()?;
        let mut daemon = Daemon::start(Settings::new(source, settings, logs)).await?;
        let (commands, inbox) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel::<()>();
        let (words, mut asked) = mpsc::channel(1);
        let metrics = Metrics::start(&options.pin_dir, listener, words)?;
        let serving = tokio::spawn(server.with_paths(metrics.paths()).serve(commands, async {
            // A sender that is gone says the same.
            stopped.await.unwrap_or(());
        }));
        let (requests, mut shims) = mpsc::channel(64);
        let door = tokio::spawn(door.serve(requests));
        daemon.find_sought().await;
        daemon.announce(options);
        daemon.serve(inbox, &mut shims, &mut asked, &mut signals).await;
        drop((stop, asked));
        // Proxies hear of it by the end of their connections, and come back when the next daemon is there.
        door.abort();
        serving.await?;
        drop(metrics);
        Ok(())
    })
}

/// Removes every trace of what `netmap run` left below `pin_dir`, also what the kernel reserves for published ranges.
///
/// # Errors
///
/// What could not be removed, a sentence each; the rest is.
pub fn down(pin_dir: &Path) -> Result<Removed, Vec<DataplaneError>> {
    dataplane::down(pin_dir, || {
        let released = Maps::open(pin_dir)
            .map_err(Into::into)
            .and_then(|maps| ports::release(&maps));
        // Where there are no maps there is nothing to give back.
        released.unwrap_or_else(|error| debug!("no reserved ports to release: {error:#}"));
    })
}

struct Daemon {
    settings: Settings,
    host: Host,
    engine: Followed,
    topology: Topology,
    accelerator: Accelerator,
    dataplane: Dataplane,
    maps: Maps,
    publisher: Publisher,
    /// Who of an engine stands for what is published.
    claims: Claims,
    proxy: Proxy,
    reservations: Reservations,
    record: Record,
    /// Addresses of this host, for the proxy.
    locals: Arc<ArcSwap<BTreeSet<IpAddr>>>,
    /// Containers that are looked for since the command in hand.
    sought: BTreeSet<IpAddr>,
    /// Containers to which a published port led until a moment ago.
    stray_containers: BTreeSet<IpAddr>,
    /// When the connections that lead to those by rules of the engine's are ended.
    next_cut: Option<Instant>,
    sweeper: Sweeper,
    /// When the sweeper's rest is over.
    next_slice: Instant,
    purge: Purge,
    /// What the operator closes.
    closings: Closings,
    uses: LastUses,
    waiting_room: WaitingRoom,
    watchers: Watchers,
    started: Instant,
}

impl Daemon {
    /// Tells systemd and whoever reads the output that packets are carried.
    fn announce(&self, options: &RunOptions) {
        sd_notify::notify(&[NotifyState::Ready])
            .unwrap_or_else(|error| warn!("systemd was not notified: {error}"));
        let mut out = io::stdout().lock();
        let written = writeln!(
            out,
            "netmap {} is ready: {}; {}; API at {}",
            env!("CARGO_PKG_VERSION"),
            self.topology,
            counted(self.publisher.bindings().count(), "rule"),
            options.socket.display()
        );
        written
            .and_then(|()| out.flush())
            .unwrap_or_else(|error| warn!("nobody reads that netmap is ready: {error}"));
    }

    async fn serve(
        &mut self,
        mut inbox: mpsc::Receiver<Command>,
        shims: &mut mpsc::Receiver<ShimRequest>,
        asked: &mut mpsc::Receiver<oneshot::Sender<Word>>,
        signals: &mut Signals,
    ) {
        let (mut sweep, mut refresh) = (interval(SWEEP), interval(REFRESH));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.host.changed() => self.take_host(changed),
                command = receive(&mut inbox) => self.obey(command).await,
                picture = self.engine.changed() => self.take_engine(&picture),
                request = receive(shims) => self.obey_shim(request).await,
                answer = receive(asked) => drop(answer.send(self.word())),
                () = sleep_until(self.next_slice.into()) => self.sweep(),
                () = yield_now(), if self.purge.is_running() => self.purge(),
                () = yield_now(), if self.closings.are_some() => self.close_slice(),
                Ok(()) = self.waiting_room.ready() => self.waiting_room.serve(&self.maps, &self.dataplane),
                Ok(()) = self.watchers.ready() => self.watchers.serve(self.host.view()),
                _ = sweep.tick() => self.sweep_sockets(),
                () = due(self.next_cut) => self.cut_collected(),
                _ = refresh.tick() => self.refresh(),
                told = signals.next() => match told {
                    Told::Stop => break,
                    // Its terminal is gone, and there is nothing to read again.
                    Told::Reload if !self.settings.has_file() => break,
                    Told::Reload => self.reload_for_signal(),
                },
            }
        }
        if let Err(error) = limits::hold_none(&mut self.maps) {
            warn!("fragments that come before their first are lost: {error}");
        }
        self.waiting_room.serve(&self.maps, &self.dataplane);
        self.waiting_room.clear(&self.dataplane);
        self.watchers.clear();
        self.closings = Closings::default();
        // Nobody would hear when a container takes no frames from XDP any more: until then TC carries them.
        if let Err(error) = self.maps.redirects.replace(&BTreeSet::new()) {
            warn!("XDP goes on to send frames to containers: {error}");
        }
        info!("stopping; packets are carried on, `netmap down` ends that");
        sd_notify::notify(&[NotifyState::Stopping]).unwrap_or_default();
    }

    /// Ends what is over in a slice of the flow table: a millisecond or two, so that nobody waits.
    fn sweep(&mut self) {
        self.sweeper.note(self.watchers.is_watched());
        let rest = match self.sweeper.slice(&mut self.maps, maps::now()) {
            Ok(Slice { lap, rest, .. }) => {
                if let Some(Swept {
                    entries,
                    ended,
                    orphans,
                }) = lap
                {
                    debug!("looked at {entries} flow entries: ended {ended} flows and {orphans} halves");
                }
                rest
            }
            Err(error) => {
                warn!("idle flows cannot be ended: {error}");
                SWEEP
            }
        };
        let ended = self.sweeper.ended();
        self.take_ended(ended);
        self.next_slice = Instant::now() + rest;
    }

    /// Ends flows whose way is gone, in a slice of the table as well.
    fn purge(&mut self) {
        let (topology, view) = (&self.topology, self.host.view());
        let gone = Gone {
            v4: &|key, flow| topology.is_gone4(view, key, flow),
            v6: &|key, flow| topology.is_gone6(view, key, flow),
        };
        self.purge.note(self.watchers.is_watched());
        match self.purge.slice(&mut self.maps, &gone) {
            Ok(None) => {}
            Ok(Some(ended)) => {
                self.topology.forget_lost();
                if ended > 0 {
                    info!("ended {ended} flows whose way is gone");
                }
            }
            Err(error) => warn!("flows whose way is gone cannot be ended, trying again: {error}"),
        }
        self.sweeper.count_purged(self.purge.take_count());
        let ended = self.purge.ended();
        self.take_ended(ended);
    }

    /// What nobody tells of: the host's own ports. And what went wrong last time.
    fn refresh(&mut self) {
        if self.record.is_behind() {
            self.record_again();
        }
        let refreshed = ports::refresh(&mut self.maps, &self.publisher).and_then(|()| self.follow_host());
        refreshed
            .unwrap_or_else(|error| warn!("tables cannot be brought up to date, trying again: {error:#}"));
    }

    /// Has the containers of all rules looked for; says whether they are others than before.
    fn want(&mut self) -> bool {
        let targets: BTreeSet<IpAddr> = self.publisher.bindings().map(|binding| binding.target).collect();
        self.sought.extend(targets.difference(self.host.wanted()));
        self.host.want(targets)
    }

    /// Waits for the containers that are looked for since the command in hand, each once: one that does not answer does not
    /// hold up whoever publishes its other ports.
    async fn find_sought(&mut self) {
        let sought = std::mem::take(&mut self.sought);
        let found = async {
            while self
                .host
                .view()
                .unresolved
                .iter()
                .any(|address| sought.contains(address))
            {
                let changed = self.host.changed().await;
                self.take_host(changed);
            }
        };
        if !sought.is_empty() && timeout(SOUGHT_FOR, found).await.is_err() {
            debug!("published before its container was found: {sought:?}");
        }
    }

    fn take_host(&mut self, changed: Result<(), HostError>) {
        let followed = changed.map_err(Into::into).and_then(|()| self.follow_host());
        followed.unwrap_or_else(|error| warn!("the host cannot be followed, trying again: {error:#}"));
    }

    fn follow_host(&mut self) -> anyhow::Result<()> {
        let view = self.host.view();
        let has_lost = self.topology.follow(view, &mut self.maps, &mut self.dataplane)?;
        if has_lost || self.topology.has_lost() && !self.purge.is_running() {
            self.purge.begin();
        }
        self.accelerator.follow(view, &mut self.dataplane);
        let locals = view.locals().collect();
        self.locals.store(Arc::new(locals));
        self.tell_places();
        Ok(())
    }
}

/// What the daemon is told by signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What to do.
enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// As in "1 rule" and "2 rules".
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Never, if nothing is to come.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

async fn receive<T>(inbox: &mut mpsc::Receiver<T>) -> T {
    match inbox.recv().await {
        Some(message) => message,
        None => pending().await,
    }
}
