//! The socket hooks: attached at the start, and what has to be done about the sockets that they have led to containers.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    Daemon,
    strays::{self, StrayError},
};
use crate::{options::RunOptions, sys};

/// For how long ports that are taken back are collected.
const COLLECTION: Duration = Duration::from_millis(20);

/// What is missing without a cgroup to attach to.
const WITHOUT_CGROUP: &str = "other programs can bind ports of large published ranges, and the proxy carries this host's own connections";

impl Daemon {
    /// Attaches what a cgroup's processes meet, and ends what lost its port between two daemons.
    pub(super) fn attach_sockets(&mut self, options: &RunOptions) {
        self.attach_cgroup(options);
        if self.dataplane.adopted()
            && let Err(error) = strays::cut(&self.maps, &self.publisher, None)
        {
            debug!("connections of this host's own processes: {error}");
        }
    }

    /// Keeps the ports of large ranges from other programs, and takes the host's own processes straight to containers,
    /// where the kernel can.
    fn attach_cgroup(&mut self, options: &RunOptions) {
        let cgroup = match &options.cgroup {
            Some(cgroup) => Ok(Some(cgroup.clone())),
            None => sys::cgroup2_root(),
        };
        let cgroup = match cgroup {
            Ok(Some(cgroup)) => cgroup,
            Ok(None) => return warn!("{WITHOUT_CGROUP}: there is no cgroup2 hierarchy"),
            Err(error) => return warn!("{WITHOUT_CGROUP}: /proc/self/mounts cannot be read: {error}"),
        };
        if let Err(error) = self.dataplane.attach_hold(&cgroup) {
            warn!("other programs can bind ports of large published ranges: {error}");
        }
        let detours = if options.socket_hooks {
            self.dataplane.attach_detours(&cgroup).map(drop)
        } else {
            self.dataplane.detach_detours().map(drop)
        };
        detours.unwrap_or_else(|error| warn!("the proxy carries this host's own connections: {error}"));
    }

    /// Ends connections of this host's own that lead to a container by a rule that is no more. One that was about to be
    /// made when its rule went is found at the next sweep.
    pub(super) fn cut_strays(&mut self, containers: &BTreeSet<IpAddr>) -> Result<(), StrayError> {
        self.stray_containers.extend(containers);
        let cut = strays::cut(&self.maps, &self.publisher, Some(containers))?;
        if cut > 0 {
            info!("ended {cut} connections of this host's own processes whose port is no longer published");
        }
        Ok(())
    }

    /// Has them ended in a moment, all at once: an engine takes back port after port, and a look takes as long as that.
    pub(super) fn cut_strays_soon(&mut self, containers: &BTreeSet<IpAddr>) {
        self.stray_containers.extend(containers);
        self.next_cut.get_or_insert_with(|| Instant::now() + COLLECTION);
    }

    pub(super) fn cut_collected(&mut self) {
        self.next_cut = None;
        let containers = self.stray_containers.clone();
        if let Err(error) = self.cut_strays(&containers) {
            warn!("connections of this host's own processes to ports that docker took back go on: {error}");
        }
    }

    /// What is left to be done about them from time to time.
    pub(super) fn sweep_sockets(&mut self) {
        let containers = std::mem::take(&mut self.stray_containers);
        if !containers.is_empty()
            && let Err(error) = strays::cut(&self.maps, &self.publisher, Some(&containers))
        {
            debug!("connections of this host's own processes: {error}");
        }
        if let Err(error) = strays::sweep(&mut self.maps) {
            debug!("connected UDP sockets of this host's own processes: {error}");
        }
    }
}
