//! The socket hooks: attached at the start, and what has to be done about the sockets that they have led to containers.

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use netmap_common::maps::socket;
use tracing::{debug, info, warn};

use super::{
    Daemon,
    strays::{self, StrayError},
};
use crate::{
    dataplane::{CURRENT_NETNS, DataplaneError},
    options::RunOptions,
    sys,
};

impl Daemon {
    pub(super) fn attach_sockets(&mut self, options: &RunOptions) -> anyhow::Result<()> {
        self.maps.sockets.set(socket::TCP4, self.proxy.tcp4())?;
        self.maps.sockets.set(socket::UDP4, self.proxy.udp4())?;
        self.dataplane.attach_steer(Path::new(CURRENT_NETNS))?;
        let cgroup = match &options.cgroup {
            Some(cgroup) => Some(cgroup.clone()),
            None => sys::cgroup2_root().context("/proc/self/mounts cannot be read")?,
        };
        let Some(cgroup) = cgroup else {
            warn!(
                "there is no cgroup2 hierarchy: ports of large ranges are not kept from other programs, and the proxy \
                 carries all connections of this host's own processes"
            );
            return Ok(());
        };
        match self.dataplane.attach_hold(&cgroup) {
            Err(error @ DataplaneError::Unavailable { .. }) => {
                warn!("ports of large ranges are not kept from other programs: {error}");
            }
            result => drop(result?),
        }
        if !options.socket_hooks {
            return Ok(self.dataplane.detach_detours()?);
        }
        match self.dataplane.attach_detours(&cgroup) {
            Err(error @ DataplaneError::Unavailable { .. }) => {
                warn!("the proxy carries all connections of this host's own processes: {error}");
            }
            result => drop(result?),
        }
        // What lost its port between two daemons.
        if self.dataplane.adopted()
            && let Err(error) = strays::cut(&self.maps, &self.publisher, None)
        {
            debug!("connections of this host's own processes: {error}");
        }
        Ok(())
    }

    /// Ends connections of this host's own that lead to a container by a rule that is no more. One that was about to be
    /// made when its rule went is found at the next sweep.
    pub(super) fn cut_strays(&mut self, containers: &BTreeSet<Ipv4Addr>) -> Result<(), StrayError> {
        self.stray_containers.extend(containers);
        let cut = strays::cut(&self.maps, &self.publisher, Some(containers))?;
        if cut > 0 {
            info!("ended {cut} connections of this host's own processes whose port is no longer published");
        }
        Ok(())
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
