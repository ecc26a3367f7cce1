//! From nothing, or from what a former daemon left, to a data plane that carries packets.

use std::{collections::BTreeSet, net::IpAddr, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use netmap_common::maps::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use super::{
    Daemon, SOCKET_MARK, closing::Closings, down, engine::Followed, fragments::WaitingRoom, limits, ports,
    record::Record, reload::Settings, topology::Topology, uses::LastUses, watch::Watchers, xdp::Accelerator,
};
use crate::{
    dataplane::{CURRENT_NETNS, Dataplane, LoadOptions},
    docker::Claims,
    expiry::{Purge, Sweeper},
    host::{Host, Selection, View},
    maps::Maps,
    options::RunOptions,
    proxy::{self, Hold, Limits, Proxy, Reservations, Timeouts},
    publish::Publisher,
};

impl Daemon {
    pub(super) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let options = &settings.in_force().options.clone();
        let host = Host::open(selection(options))
            .await
            .context("the host's interfaces cannot be read")?;
        let view = host.view();
        for note in view.notes.iter().chain(&closed_names(view, options)) {
            warn!("{note}");
        }
        check_uplinks(view, options)?;
        let dataplane = Dataplane::load(&LoadOptions {
            pin_dir: options.pin_dir.clone(),
            flow_entries: options.flow_entries,
            mark: options.mark(),
            force_clsact: false,
        })?;
        let adopted = dataplane.adopted();
        let engine = Followed::start(options.docker.as_deref()).await;
        let started = Self::attach(host, engine, dataplane, options, settings);
        if started.is_err() && !adopted {
            // What is half attached would carry packets that nobody looks after.
            for error in down(&options.pin_dir).err().into_iter().flatten() {
                warn!("cleaning up: {error}");
            }
        }
        started
    }

    fn attach(
        mut host: Host,
        engine: Followed,
        dataplane: Dataplane,
        options: &RunOptions,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let mut maps = Maps::open(&options.pin_dir)?;
        let mut publisher = Publisher::adopt(&mut maps)?;
        let mut record = Record::new(options.state.clone());
        let is_restored = dataplane.is_restored();
        record.restore(&mut publisher, &mut maps, is_restored);
        if !is_restored {
            // From now on the pins say what is published, whatever becomes of this process.
            dataplane.set_restored()?;
        }
        host.remember_owners(maps.v4.owners.all()?, maps.v6.owners.all()?);
        ports::write_settings(&mut maps, SOCKET_MARK, &options.mappings)?;
        limits::write(&mut maps, options.shares)?;
        ports::refresh(&mut maps, &publisher)?;
        let locals = Arc::new(ArcSwap::default());
        let proxy = start_proxy(Arc::clone(&locals))?;
        // Before any port is held: what a former daemon's socket hook steers waits here, not in a hold that nobody
        // accepts from.
        for (index, socket) in proxy.sockets() {
            maps.sockets.set(index, socket)?;
        }
        let reservations = Reservations::new(ports::ranges(&publisher));
        let mut daemon = Self {
            settings,
            host,
            engine,
            topology: Topology::adopt(&maps, options.direct.clone(), options.outlets.clone())?,
            accelerator: Accelerator::new(options.xdp),
            dataplane,
            maps,
            publisher,
            claims: Claims::default(),
            proxy,
            reservations,
            record,
            locals,
            sought: BTreeSet::new(),
            stray_containers: BTreeSet::new(),
            next_cut: None,
            sweeper: Sweeper::new(options.lifetimes, options.mappings.has_any_for_all()),
            next_slice: Instant::now(),
            purge: Purge::default(),
            closings: Closings::default(),
            uses: LastUses::default(),
            waiting_room: WaitingRoom::open(&options.pin_dir)?,
            watchers: Watchers::open(&options.pin_dir)?,
            started: Instant::now(),
        };
        if daemon.engine.is_wanted() {
            let bridges = daemon.engine.bridges(&daemon.host, &daemon.maps)?;
            daemon.manage(bridges);
        }
        daemon.record_again();
        daemon.hold_adopted()?;
        daemon.read_notes(&options.shim_socket());
        daemon.want();
        daemon.follow_host()?;
        if let Some(reason) = daemon.accelerator.unfulfilled() {
            bail!("{reason}; --xdp auto carries it by TC");
        }
        daemon.dataplane.attach_steer(Path::new(CURRENT_NETNS))?;
        daemon.attach_sockets(options);
        daemon.confirm_engine();
        Ok(daemon)
    }

    /// Takes the ports of what a former daemon published. A port that another program has taken meanwhile stays that
    /// program's on this host, and the container's for everybody else.
    fn hold_adopted(&mut self) -> anyhow::Result<()> {
        let (engines, bindings) = self
            .publisher
            .bindings()
            .cloned()
            .partition::<Vec<_>, _>(|binding| {
                self.publisher
                    .get(&binding.published)
                    .is_some_and(|(_, owner)| owner.is_docker())
            });
        for binding in engines {
            // Its engine keeps the port, or somebody who comes for the rule will.
            self.set_unclaimed(&binding.published);
            self.proxy.publish(binding, Hold::elsewhere());
        }
        let published: Vec<_> = bindings.iter().map(|binding| binding.published).collect();
        let holds = self.proxy.hold(&published);
        for (binding, hold) in bindings.into_iter().zip(holds) {
            if ports::is_range(&binding)
                && let Err(error) = self.reservations.reserve(binding.published.ports)
            {
                warn!("the ports of {binding} are not reserved: {error}");
            }
            self.publisher
                .set_yields(&mut self.maps, &binding.published, hold.is_err())?;
            match hold {
                Ok(hold) => self.proxy.publish(binding, hold),
                Err(error) => warn!("{binding} is published for other hosts and containers only: {error}"),
            }
        }
        if let Err(error) = self.reservations.tidy() {
            warn!("ports of a former netmap stay reserved: {error}");
        }
        Ok(())
    }
}

/// A published port takes a file, and a proxied connection six: as many as the kernel lets us have.
pub(super) fn raise_file_limit() {
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

/// What the host is asked to work on.
pub(super) fn selection(options: &RunOptions) -> Selection {
    Selection {
        uplinks: options.uplinks.iter().map(ToString::to_string).collect(),
        bridges: options.bridges.iter().map(ToString::to_string).collect(),
        engine: options.docker.as_ref().map(|_| BTreeSet::new()),
        mappings: options.mappings.clone(),
        egress: options.egress.clone(),
        ownership: options.ownership.clone(),
    }
}

/// What netmap cannot do without.
pub(super) fn check_uplinks(view: &View, options: &RunOptions) -> anyhow::Result<()> {
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

/// Interfaces that are to be open and are no uplinks, a sentence each.
pub(super) fn closed_names(view: &View, options: &RunOptions) -> Vec<String> {
    let is_uplink = |name: &str| {
        let mut interfaces = view.interfaces.values();
        interfaces.any(|interface| interface.role == Role::Uplink && interface.name == name)
    };
    let names = options.outlets.uplinks().filter(|name| !is_uplink(name.as_str()));
    names
        .map(|name| format!("{name} is no uplink (yet): nothing is reached by it that --publish-on opens"))
        .collect()
}
