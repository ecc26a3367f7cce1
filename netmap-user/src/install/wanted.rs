//! The settings that make Docker publish by netmap, and what stands in their way.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json, value::RawValue};

use super::document::Document;

/// The key that names the program which Docker runs for every published port.
const PROXY_PATH: &str = "userland-proxy-path";
/// The last part of that program's path.
pub const PROXY_NAME: &str = "netmap-docker-proxy";
/// Where dockerd keeps what it knows, unless it is told otherwise.
const DATA_ROOT: &str = "/var/lib/docker";

/// Why Docker would not start, or not work, with netmap's settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// dockerd: "You specified --iptables=false with --icc=false".
    #[error(
        "{} says \"icc\": false, with which dockerd refuses to start without iptables: take it out, and create networks with --opt com.docker.network.bridge.enable_icc=false where containers must not talk",
        .0.display()
    )]
    NoInterContainer(PathBuf),
    /// dockerd checks the program when it starts.
    #[error("{} is no program that can be run, and dockerd would refuse to start: install it there, or name its place with --proxy-path", .0.display())]
    NoProxy(PathBuf),
    /// dockerd wants it absolute.
    #[error("{} is no absolute path, and dockerd would refuse to start", .0.display())]
    RelativeProxy(PathBuf),
    /// Ports of a rootless Docker are `RootlessKit`'s.
    #[error("{} is a rootless Docker's, whose ports netmap cannot publish", .0.display())]
    Rootless(PathBuf),
    /// dockerd refuses what stands in both.
    #[error(
        "dockerd (pid {pid}) has {flag} on its command line, which it refuses beside the same in daemon.json: take it out of its unit (`systemctl edit --full docker`)"
    )]
    Flag {
        /// The daemon.
        pid: u32,
        /// The argument.
        flag: String,
    },
}

/// Keys and values, in the order in which they are written.
fn wanted(proxy: &Path) -> [(&'static str, Value); 4] {
    [
        ("iptables", json!(false)),
        ("ip6tables", json!(false)),
        ("userland-proxy", json!(true)),
        (PROXY_PATH, json!(proxy.to_string_lossy())),
    ]
}

/// Says what netmap needs.
pub(super) fn apply(document: &mut Document, proxy: &Path) {
    for (key, value) in wanted(proxy) {
        if document.get(key).as_ref() != Some(&value)
            && let Ok(raw) = RawValue::from_string(value.to_string())
        {
            document.set(key, raw);
        }
    }
}

/// Says of netmap's keys what `original` says, and nothing else.
pub(super) fn take_back(document: &mut Document, original: &Document) {
    for (key, _) in wanted(Path::new("")) {
        match original.raw(key) {
            Some(raw) => document.set(key, raw.to_owned()),
            None => document.remove(key),
        }
    }
}

/// The keys of which `document` does not say what netmap needs, with what it should say.
pub fn differences(document: &Document, proxy: &Path) -> Vec<(&'static str, Value)> {
    let mut wanted = wanted(proxy).to_vec();
    // Docker runs its own userland proxy unless it is told not to.
    wanted.retain(|(key, value)| {
        let said = document.get(key);
        let default = (*key == "userland-proxy").then_some(Value::Bool(true));
        said.or(default).as_ref() != Some(value)
    });
    wanted
}

/// Whether it names netmap's docker-proxy.
pub fn is_ours(document: &Document) -> bool {
    proxy_of(document).is_some_and(|path| path.ends_with(PROXY_NAME))
}

/// The docker-proxy that it names.
pub fn proxy_of(document: &Document) -> Option<PathBuf> {
    Some(PathBuf::from(document.get(PROXY_PATH)?.as_str()?))
}

/// Refuses what Docker would refuse.
pub(super) fn check(document: &Document, path: &Path, proxy: &Path) -> Result<(), Obstacle> {
    if path.to_string_lossy().contains("/.config/docker/") {
        return Err(Obstacle::Rootless(path.to_owned()));
    }
    if document.get("icc") == Some(json!(false)) {
        return Err(Obstacle::NoInterContainer(path.to_owned()));
    }
    check_proxy(proxy)
}

/// Refuses a docker-proxy with which dockerd would not start.
pub fn check_proxy(proxy: &Path) -> Result<(), Obstacle> {
    if !proxy.is_absolute() {
        return Err(Obstacle::RelativeProxy(proxy.to_owned()));
    }
    let can_run =
        fs::metadata(proxy).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if can_run {
        Ok(())
    } else {
        Err(Obstacle::NoProxy(proxy.to_owned()))
    }
}

/// What goes on without netmap.
pub(super) fn remarks(document: &Document) -> Vec<String> {
    let root = document.get("data-root");
    let root = root.as_ref().and_then(Value::as_str).unwrap_or(DATA_ROOT);
    let mut remarks = Vec::new();
    if Path::new(root).join("swarm/docker-state.json").exists() {
        remarks.push(
            "this host is part of a swarm: ports of services go by Docker's own ingress network, which needs iptables; \
             netmap publishes those of plain containers alone"
                .to_owned(),
        );
    }
    if document.get("userland-proxy") == Some(json!(false)) {
        remarks.push(
            "\"userland-proxy\" was false and is true from now on: netmap's takes 100 KiB a port or less, and tells Docker \
             when a port is taken"
                .to_owned(),
        );
    }
    remarks
}
