//! Docker: whether its settings are netmap's, and whether it has read them.

use std::{fs, path::Path};

use super::Finding;
use crate::install::{
    self,
    daemons::{self, Daemon},
    wanted,
};

/// What of them does not fit. Where there is no Docker, nothing does harm.
pub(super) fn examine(daemon_json: &Path) -> Vec<Finding> {
    let daemons: Vec<_> = daemons::reading(daemon_json)
        .into_iter()
        .filter(|daemon| is_here(daemon.pid))
        .collect();
    let text = match install::read(daemon_json) {
        Ok(text) => text,
        Err(error) => return vec![unreadable(&error.to_string(), daemon_json)],
    };
    if daemons.is_empty() && text.is_none() {
        return Vec::new();
    }
    let document = match install::parse(daemon_json, text.as_deref()) {
        Ok(document) => document,
        Err(error) => return vec![unreadable(&error.to_string(), daemon_json)],
    };
    let mut findings = Vec::new();
    let proxy = wanted::proxy_of(&document).filter(|_| wanted::is_ours(&document));
    let usual = std::env::current_exe()
        .unwrap_or_default()
        .with_file_name(wanted::PROXY_NAME);
    let differences = wanted::differences(&document, proxy.as_deref().unwrap_or(&usual));
    if !differences.is_empty() {
        let keys: Vec<_> = differences
            .iter()
            .map(|(key, value)| format!("{key} is not {value}"))
            .collect();
        findings.push(Finding {
            id: "docker-settings",
            found: format!("{}: {}", daemon_json.display(), keys.join(", ")),
            means: "Docker publishes by itself, with iptables and a process a port, beside netmap or in its way",
            mend: format!("netmap docker install --daemon-json {} && systemctl restart docker", daemon_json.display()),
        });
    } else if let Some(daemon) = daemons.iter().find(|daemon| is_older(daemon, daemon_json)) {
        findings.push(Finding {
            id: "docker-restart",
            found: format!(
                "dockerd, pid {}, runs since before {} was written",
                daemon.pid,
                daemon_json.display()
            ),
            means: "it has the settings of then",
            mend: "systemctl restart docker".to_owned(),
        });
    }
    if let Some(proxy) = proxy
        && let Err(obstacle) = wanted::check_proxy(&proxy)
    {
        findings.push(Finding {
            id: "docker-proxy",
            found: obstacle.to_string(),
            means: "dockerd does not start, or starts no container with published ports",
            mend: format!("install -m 0755 netmap-docker-proxy {}", proxy.display()),
        });
    }
    if let Some((daemon, flag)) = daemons
        .iter()
        .find_map(|daemon| Some((daemon, daemon.conflict()?)))
    {
        findings.push(Finding {
            id: "docker-flag",
            found: format!("dockerd, pid {}, has {flag} on its command line", daemon.pid),
            means: "dockerd does not start when daemon.json says the same: what is set must stand in one place",
            mend: "systemctl edit --full docker".to_owned(),
        });
    }
    findings
}

fn unreadable(error: &str, daemon_json: &Path) -> Finding {
    Finding {
        id: "docker-settings",
        found: error.to_owned(),
        means: "dockerd does not start",
        mend: format!("${{EDITOR:-vi}} {}", daemon_json.display()),
    }
}

/// Whether it lives in this network namespace.
fn is_here(pid: u32) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    namespace(&pid.to_string()) == namespace("thread-self")
}

fn is_older(daemon: &Daemon, daemon_json: &Path) -> bool {
    let written = fs::metadata(daemon_json).and_then(|file| file.modified()).ok();
    daemon.since < written
}
