//! `netmap run`: ties the parts together, and is the one writer of the maps.
//!
//! Everything happens in one loop on one thread: an event of the host, a command of the API, a tick, a signal. What it
//! leaves in the kernel outlives it: stopping it stops the proxy and the API, and no packet.

mod commands;
mod ports;
mod sockets;
mod strays;
mod topology;

use std::{
    collections::BTreeSet,
    future::pending,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use netmap_common::maps::IfIndex;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

use self::topology::Topology;
use crate::{
    api::server::{Command, Server},
    dataplane::{Dataplane, LoadOptions},
    expiry,
    host::{Host, Selection},
    maps::{self, Maps},
    options::RunOptions,
    proxy::{self, Hold, Limits, Mark, Proxy, Reservations, Timeouts},
    publish::Publisher,
};

/// The mark of the daemon's own sockets, which may bind published ports.
const SOCKET_MARK: Mark = Mark(0x6e6d_0001);
/// How often idle flows are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How often the host's own ports are looked at.
const REFRESH: Duration = Duration::from_secs(10);

/// Attaches, serves the API until SIGTERM or SIGINT, and leaves the data plane up.
///
/// # Errors
///
/// One sentence that says why it cannot run.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    raise_file_limit();
    runtime.block_on(async {
        // The socket first: a second daemon must not touch anything.
        let server = Server::bind(&options.socket)?;
        let mut daemon = Daemon::start(&options).await?;
        let (commands, inbox) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(commands, async {
            // A sender that is gone says the same.
            stopped.await.unwrap_or(());
        }));
        daemon.announce(&options)?;
        let result = daemon.serve(inbox).await;
        drop(stop);
        serving.await?;
        result
    })
}

/// Gives back what the kernel reserves for the ranges that are published below `pin_dir`: the one thing outside it that a
/// data plane leaves behind.
pub fn release_ports(pin_dir: &Path) {
    let released = Maps::open(pin_dir)
        .map_err(Into::into)
        .and_then(|maps| ports::release(&maps));
    // Where there are no maps there is nothing to give back.
    released.unwrap_or_else(|error| debug!("no reserved ports to release: {error:#}"));
}

struct Daemon {
    host: Host,
    topology: Topology,
    dataplane: Dataplane,
    maps: Maps,
    publisher: Publisher,
    proxy: Proxy,
    reservations: Reservations,
    /// Addresses of this host, for the proxy.
    locals: Arc<ArcSwap<BTreeSet<IpAddr>>>,
    /// Containers to which a published port led until a moment ago.
    stray_containers: BTreeSet<Ipv4Addr>,
    started: Instant,
}

impl Daemon {
    async fn start(options: &RunOptions) -> anyhow::Result<Self> {
        let selection = Selection {
            uplinks: options.uplinks.iter().map(ToString::to_string).collect(),
            bridges: options.bridges.iter().map(ToString::to_string).collect(),
        };
        let host = Host::open(selection)
            .await
            .context("the host's interfaces cannot be read")?;
        check_uplinks(&host, options)?;
        let dataplane = Dataplane::load(&LoadOptions {
            pin_dir: options.pin_dir.clone(),
            flow_entries: options.flow_entries,
            mark: options.mark(),
            force_clsact: false,
        })?;
        let mut maps = Maps::open(&options.pin_dir)?;
        let publisher = Publisher::adopt(&mut maps)?;
        ports::write_settings(&mut maps, SOCKET_MARK)?;
        let locals = Arc::new(ArcSwap::default());
        let proxy = start_proxy(Arc::clone(&locals))?;
        let reservations = Reservations::new(ports::ranges(&publisher));
        let mut daemon = Self {
            host,
            topology: Topology::default(),
            dataplane,
            maps,
            publisher,
            proxy,
            reservations,
            locals,
            stray_containers: BTreeSet::new(),
            started: Instant::now(),
        };
        daemon.hold_adopted();
        daemon.want();
        daemon.follow_host()?;
        daemon.attach_sockets(options)?;
        daemon.refresh_ports();
        Ok(daemon)
    }

    /// Takes the ports of what a former daemon published.
    fn hold_adopted(&mut self) {
        for binding in self.publisher.bindings() {
            let hold = self.proxy.hold(&binding.published).unwrap_or_else(|error| {
                warn!("{binding} stays published for other hosts and containers, but {error}");
                Hold::without_sockets()
            });
            if ports::is_range(binding)
                && let Err(error) = self.reservations.reserve(binding.published.ports)
            {
                warn!("the ports of {binding} are not reserved: {error}");
            }
            self.proxy.publish(binding.clone(), hold);
        }
        if let Err(error) = self.reservations.tidy() {
            warn!("ports of a former netmap stay reserved: {error}");
        }
    }

    /// Tells systemd and whoever reads the output that packets are carried.
    fn announce(&self, options: &RunOptions) -> anyhow::Result<()> {
        sd_notify::notify(&[NotifyState::Ready])
            .unwrap_or_else(|error| warn!("systemd was not notified: {error}"));
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "netmap {} is ready: {}; {} rules; API at {}",
            env!("CARGO_PKG_VERSION"),
            self.topology,
            self.publisher.bindings().count(),
            options.socket.display()
        )?;
        out.flush()?;
        Ok(())
    }

    async fn serve(&mut self, mut inbox: mpsc::Receiver<Command>) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (mut sweep, mut refresh) = (interval(SWEEP), interval(REFRESH));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.host.changed() => {
                    changed.context("the host's interfaces can no longer be followed")?;
                    self.follow_host()?;
                }
                command = receive(&mut inbox) => self.obey(command),
                _ = sweep.tick() => self.sweep(),
                _ = refresh.tick() => self.refresh_ports(),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        info!("stopping; packets are carried on, `netmap down` ends that");
        sd_notify::notify(&[NotifyState::Stopping]).unwrap_or_default();
        Ok(())
    }

    fn sweep(&mut self) {
        if let Err(error) = expiry::sweep(&mut self.maps, maps::now()) {
            warn!("idle flows cannot be ended: {error}");
        }
        self.sweep_sockets();
    }

    fn refresh_ports(&mut self) {
        let default_uplink = self.host.view().default_uplink.unwrap_or(IfIndex(0));
        if let Err(error) = ports::refresh(&mut self.maps, &self.publisher, default_uplink) {
            warn!("ports for masquerading cannot be brought up to date: {error:#}");
        }
    }

    /// Has the containers of all rules looked for.
    fn want(&mut self) {
        let targets: BTreeSet<Ipv4Addr> = self.publisher.bindings().map(|binding| binding.target).collect();
        self.host.want(targets);
    }

    fn follow_host(&mut self) -> anyhow::Result<()> {
        let view = self.host.view();
        self.topology.follow(view, &mut self.maps, &mut self.dataplane)?;
        let locals = view
            .locals
            .keys()
            .map(|address| IpAddr::V4((*address).into()))
            .collect();
        self.locals.store(Arc::new(locals));
        Ok(())
    }
}

async fn receive(inbox: &mut mpsc::Receiver<Command>) -> Command {
    match inbox.recv().await {
        Some(command) => command,
        None => pending().await,
    }
}

/// A published port takes a file, and a proxied connection six: as many as the kernel lets us have.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    raised.unwrap_or_else(|error| warn!("the limit of open files stays as it is: {error}"));
}

fn start_proxy(locals: Arc<ArcSwap<BTreeSet<IpAddr>>>) -> anyhow::Result<Proxy> {
    Ok(Proxy::start(proxy::Config {
        mark: SOCKET_MARK,
        is_local: Arc::new(move |address| locals.load().contains(&address)),
        limits: Limits::for_this_process().context("the limit of open files cannot be read")?,
        timeouts: Timeouts::default(),
    })?)
}

fn check_uplinks(host: &Host, options: &RunOptions) -> anyhow::Result<()> {
    let view = host.view();
    for note in &view.notes {
        warn!("{note}");
    }
    if let Some(uplink) = options
        .uplinks
        .iter()
        .find(|uplink| view.missing.iter().any(|name| name == uplink.as_str()))
    {
        bail!("there is no interface {uplink} to take as uplink");
    }
    if view.default_uplink.is_none() {
        bail!("no interface has a default route; name the uplink with --uplink");
    }
    Ok(())
}
