//! What the engine's proxies ask for.

use std::path::Path;

use netmap_docker_proxy::note;
use nix::unistd::geteuid;
use tracing::{debug, info, warn};

use super::Daemon;
use crate::docker::{Claimant, ShimRequest, binding_of};

impl Daemon {
    pub(super) async fn obey_shim(&mut self, request: ShimRequest) {
        // Who has hung up does not wait for an answer.
        match request {
            ShimRequest::Publish {
                shim,
                binding,
                socket,
                answer,
            } => {
                let claimed = self.claim(Claimant::Shim(shim), &binding, socket);
                self.find_sought().await;
                if let Err(error) = &claimed {
                    warn!("docker's {binding} is refused: {error:#}");
                }
                drop(answer.send(claimed.map_err(|error| format!("{error:#}"))));
            }
            ShimRequest::Unpublish { binding, answer } => {
                let released = self.release(&binding);
                match &released {
                    Ok(true) => {}
                    Ok(false) => debug!("docker takes {binding} back, which is not published"),
                    Err(error) => warn!("docker's {binding} stays published: {error:#}"),
                }
                drop(answer.send(released.map(drop).map_err(|error| format!("{error:#}"))));
            }
            ShimRequest::Gone(shim) => self.abandon(shim),
        }
    }

    /// Takes back what the engine took back while there was no daemon.
    pub(super) fn read_notes(&mut self, socket: &Path) {
        for binding in note::take(socket).into_iter().filter_map(binding_of) {
            match self.release(&binding) {
                Ok(true) => info!("docker took {binding} back while netmap was away"),
                Ok(false) => {}
                Err(error) => warn!("docker's {binding} stays published: {error:#}"),
            }
        }
        // The proxies are root's, and make it themselves where the daemon is too.
        if !geteuid().is_root()
            && let Err(error) = note::prepare(socket)
        {
            warn!("what docker takes back while netmap is away will not be heard of: {error}");
        }
    }
}
