//! What on this host would break netmap, or be broken beside it: found, explained, and with the command that mends it.
//! Nothing is changed.
//!
//! - [`sysctl`]: forwarding, `route_localnet`, `rp_filter`, `br_netfilter`;
//! - [`netfilter`]: rules and chains that Docker, ufw and firewalld have there;
//! - [`attached`]: netmap itself: its daemon, its programs and whoever is in front of them, its containers;
//! - [`engine`]: Docker's settings.

pub mod attached;
pub mod engine;
pub mod netfilter;
pub mod sysctl;

use std::{net::IpAddr, path::PathBuf};

use serde::Serialize;

use crate::{
    api::{client::ClientError, types::DaemonStatus},
    dataplane::Attachment,
};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A word that stays the same, for scripts.
    pub id: &'static str,
    /// What was found, with names and numbers.
    pub found: String,
    /// What it means for traffic.
    pub means: &'static str,
    /// The command line that mends it.
    pub mend: String,
}

/// What is known of netmap itself, and where to look for the rest.
#[derive(Debug)]
pub struct Patient {
    /// What its daemon says.
    pub status: Result<DaemonStatus, ClientError>,
    /// Everything that is attached.
    pub attachments: Vec<Attachment>,
    /// What is published, as `netmap unpublish` takes it, with the container.
    pub published: Vec<(String, IpAddr)>,
    /// Docker's settings.
    pub daemon_json: PathBuf,
}

/// Everything that is not as it should be. What the host does not have (a program to list rules, a folder of /proc) is no
/// fault.
pub fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = attached::examine(patient);
    findings.extend(engine::examine(&patient.daemon_json));
    findings.extend(netfilter::examine());
    findings.extend(sysctl::examine(&patient.attachments));
    findings
}
