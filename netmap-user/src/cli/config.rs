//! `netmap run`'s configuration file.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::args::{Instance, RunArgs};
use crate::egress::EgressChoice;
use crate::mappings::MappingChoice;
use crate::options::{
    self, DEFAULT_ENGINE, Direct, DirectRule, InterfaceName, OptionError, RunOptions, Shares, Timeout,
    XdpMode,
};
use crate::outlets::Outlet;
use crate::ownership::OwnershipChoice;

/// What the file may say. Everything is optional, nothing else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Interfaces to the outside.
    pub uplinks: Vec<InterfaceName>,
    /// Bridges whose ports are containers.
    pub bridges: Vec<InterfaceName>,
    /// `auto` or `off`.
    #[serde(deserialize_with = "xdp")]
    pub xdp: Option<XdpMode>,
    /// Where the API listens.
    pub socket: Option<PathBuf>,
    /// Where docker's proxies come in.
    pub shim_socket: Option<PathBuf>,
    /// Where programs and maps are pinned.
    pub pin_dir: Option<PathBuf>,
    /// Where what outlives a reboot is kept.
    pub state: Option<PathBuf>,
    /// The cgroup whose processes go straight to containers and may not bind published ports.
    pub cgroup: Option<PathBuf>,
    /// Whether they go straight to containers.
    pub socket_hooks: Option<bool>,
    /// Entries of the flow table.
    #[serde(deserialize_with = "flow_entries")]
    pub flow_entries: Option<u32>,
    /// Number of the mark's bit.
    #[serde(deserialize_with = "mark_bit")]
    pub mark_bit: Option<u8>,
    /// Who outside may go straight to containers' own addresses.
    pub direct: Vec<DirectRule>,
    /// Uplinks that this may mean.
    pub trusted: Vec<InterfaceName>,
    /// How long flows of a kind may idle, in seconds.
    #[serde(deserialize_with = "timeouts")]
    pub timeouts: Vec<Timeout>,
    /// Flows that one container may have at once.
    pub max_flows: Option<u32>,
    /// Flows that one container may open in a second.
    pub max_new_flows: Option<u32>,
    /// Flows that one client outside may have to published ports at once.
    pub max_source_flows: Option<u32>,
    /// How containers' ports become this host's.
    pub nat: Vec<MappingChoice>,
    /// The socket of the container engine that is followed, or `true` for where it usually is.
    #[serde(deserialize_with = "engine")]
    pub docker: Option<PathBuf>,
    /// By which of this host's addresses containers leave.
    pub egress: Vec<EgressChoice>,
    /// Where what is published is reached from outside.
    pub publish_on: Vec<Outlet>,
    /// Whether containers are held to their own addresses.
    pub own_addresses: Vec<OwnershipChoice>,
    /// Where metrics are served over TCP.
    #[serde(deserialize_with = "metrics")]
    pub metrics: Option<SocketAddr>,
}

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {} cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// It says something that is not understood.
    #[error("the configuration file {}, line {line}: {why}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read, is not TOML, has a key that is not known or a value that is refused.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file that is at `path`.
    ///
    /// # Errors
    ///
    /// It is not TOML, has a key that is not known or a value that is refused.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.bytes().take(at);
            ConfigError::Invalid {
                path: path.to_owned(),
                line: 1 + before.filter(|byte| *byte == b'\n').count(),
                why: error.message().replace('\n', " "),
            }
        })
    }

    /// This, with everything that flags say put in its place.
    pub fn overridden(self, args: RunArgs, instance: Instance) -> RunOptions {
        let default = RunOptions::default();
        RunOptions {
            uplinks: or(args.uplinks, self.uplinks),
            bridges: or(args.bridges, self.bridges),
            xdp: args.xdp.or(self.xdp).unwrap_or(default.xdp),
            socket: instance.socket.or(self.socket).unwrap_or(default.socket),
            shim_socket: args.shim_socket.or(self.shim_socket),
            pin_dir: instance.pin_dir.or(self.pin_dir).unwrap_or(default.pin_dir),
            state: instance.state.or(self.state).unwrap_or(default.state),
            cgroup: args.cgroup.or(self.cgroup).or(default.cgroup),
            socket_hooks: !args.no_socket_hooks && self.socket_hooks.unwrap_or(default.socket_hooks),
            flow_entries: args.flow_entries.or(self.flow_entries),
            mark_bit: args.mark_bit.or(self.mark_bit).unwrap_or(default.mark_bit),
            direct: Direct {
                rules: self.direct.into_iter().chain(args.direct).collect(),
                trusted: or(args.trusted, self.trusted),
            },
            outlets: or(args.publish_on, self.publish_on).into(),
            ownership: self.own_addresses.into_iter().chain(args.own_addresses).collect(),
            lifetimes: options::lifetimes(self.timeouts.into_iter().chain(args.timeouts)),
            docker: args.docker.or(self.docker),
            metrics: args.metrics.or(self.metrics),
            mappings: self.nat.into_iter().chain(args.mappings).collect(),
            egress: self.egress.into_iter().chain(args.egress).collect(),
            shares: Shares {
                container_flows: args.max_flows.or(self.max_flows),
                container_rate: args.max_new_flows.or(self.max_new_flows),
                source_flows: args.max_source_flows.or(self.max_source_flows),
            },
        }
    }
}

/// The flags' word, or else the file's.
fn or<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

fn xdp<'de, D: Deserializer<'de>>(value: D) -> Result<Option<XdpMode>, D::Error> {
    checked::<String, _, _>(value, XdpMode::from_str)
}

fn engine<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the path of a socket, or true or false, is expected")]
    enum Engine {
        Usual(bool),
        At(PathBuf),
    }
    Ok(match Engine::deserialize(value)? {
        Engine::Usual(true) => Some(DEFAULT_ENGINE.into()),
        Engine::Usual(false) => None,
        Engine::At(socket) => Some(socket),
    })
}

fn flow_entries<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    checked::<i64, _, _>(value, options::parse_flow_entries)
}

fn mark_bit<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u8>, D::Error> {
    checked::<i64, _, _>(value, options::parse_mark_bit)
}

fn metrics<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    checked::<String, _, _>(value, options::parse_metrics)
}

fn timeouts<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Timeout>, D::Error> {
    let timeouts = BTreeMap::<String, i64>::deserialize(value)?;
    let timeouts = timeouts
        .iter()
        .map(|(kind, seconds)| Timeout::new(kind, &seconds.to_string()));
    timeouts.collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// A value under the same check as its flag.
fn checked<'de, V, T, D>(
    value: D,
    check: impl FnOnce(&str) -> Result<T, OptionError>,
) -> Result<Option<T>, D::Error>
where
    V: Deserialize<'de> + fmt::Display,
    D: Deserializer<'de>,
{
    let value = V::deserialize(value)?;
    check(&value.to_string()).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netmap.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| {
            let text = error.to_string();
            text.replace(&path.display().to_string(), "FILE")
        })
    }

    const WHOLE: &str = r#"
        uplinks = ["eth0", "eth1"]
        bridges = ["br0"]
        xdp = "off"
        socket = "/run/x.sock"
        shim_socket = "/run/x-shim.sock"
        pin_dir = "/sys/fs/bpf/x"
        state = "/var/lib/x"
        cgroup = "/sys/fs/cgroup/x"
        socket_hooks = false
        flow_entries = 1000
        mark_bit = 3
        direct = ["br0=allow"]
        trusted = ["eth0"]
        timeouts = { udp-answered = 200, tcp-established = 7440 }
        max_flows = 7
        max_new_flows = 8
        max_source_flows = 0
        nat = ["eim", "br0=edm"]
        docker = "/run/other/docker.sock"
        egress = ["192.0.2.1", "br0=2001:db8::7"]
        publish_on = ["eth0", "203.0.113.5"]
        own_addresses = ["br0=off"]
        metrics = "[::1]:9469"
    "#;

    fn names(names: &[&str]) -> Vec<InterfaceName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    const NO_INSTANCE: Instance = Instance {
        socket: None,
        pin_dir: None,
        state: None,
    };

    #[test]
    fn every_key_is_read() {
        let options = read(WHOLE).unwrap().overridden(RunArgs::default(), NO_INSTANCE);
        let expected = RunOptions {
            uplinks: names(&["eth0", "eth1"]),
            bridges: names(&["br0"]),
            xdp: XdpMode::Off,
            socket: "/run/x.sock".into(),
            shim_socket: Some("/run/x-shim.sock".into()),
            pin_dir: "/sys/fs/bpf/x".into(),
            state: "/var/lib/x".into(),
            cgroup: Some("/sys/fs/cgroup/x".into()),
            socket_hooks: false,
            flow_entries: Some(1000),
            mark_bit: 3,
            direct: Direct {
                rules: vec!["br0=allow".parse().unwrap()],
                trusted: names(&["eth0"]),
            },
            lifetimes: options::lifetimes([
                "udp-answered=200".parse().unwrap(),
                "tcp-established=7440".parse().unwrap(),
            ]),
            docker: Some("/run/other/docker.sock".into()),
            mappings: ["eim", "br0=edm"]
                .map(|choice| choice.parse().unwrap())
                .into_iter()
                .collect(),
            egress: ["192.0.2.1", "br0=2001:db8::7"]
                .map(|choice| choice.parse().unwrap())
                .into_iter()
                .collect(),
            shares: Shares {
                container_flows: Some(7),
                container_rate: Some(8),
                source_flows: Some(0),
            },
            outlets: vec!["eth0".parse().unwrap(), "203.0.113.5".parse().unwrap()].into(),
            ownership: ["br0=off".parse().unwrap()].into_iter().collect(),
            metrics: Some("[::1]:9469".parse().unwrap()),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let options = read("").unwrap().overridden(RunArgs::default(), NO_INSTANCE);
        assert_eq!(options, RunOptions::default());
        let args = RunArgs {
            no_socket_hooks: true,
            ..RunArgs::default()
        };
        let options = read("socket_hooks = true").unwrap().overridden(args, NO_INSTANCE);
        assert!(!options.socket_hooks && RunOptions::default().socket_hooks);
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = RunArgs {
            uplinks: names(&["wan"]),
            xdp: Some(XdpMode::Auto),
            flow_entries: Some(64),
            ..RunArgs::default()
        };
        let instance = Instance {
            socket: Some("/flag.sock".into()),
            ..NO_INSTANCE
        };
        let options = read(WHOLE).unwrap().overridden(args, instance);
        assert_eq!(options.uplinks, names(&["wan"]));
        assert_eq!(options.bridges, names(&["br0"]));
        assert_eq!(options.xdp, XdpMode::Auto);
        assert_eq!((options.flow_entries, options.mark_bit), (Some(64), 3));
        assert_eq!(options.socket, Path::new("/flag.sock"));
        assert!(!options.socket_hooks);
        assert_eq!(options.pin_dir, Path::new("/sys/fs/bpf/x"));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_its_line() {
        let error = |text| read(text).unwrap_err();
        assert_eq!(
            error("xdp = \"auto\"\nxdp2 = 1\n"),
            "the configuration file FILE, line 2: unknown field `xdp2`, expected one of `uplinks`, `bridges`, `xdp`, \
             `socket`, `shim_socket`, `pin_dir`, `state`, `cgroup`, `socket_hooks`, `flow_entries`, `mark_bit`, `direct`, `trusted`, `timeouts`, `max_flows`, `max_new_flows`, \
             `max_source_flows`, `nat`, `docker`, `egress`, `publish_on`, `own_addresses`, `metrics`"
        );
        assert_eq!(
            error("\n\nxdp = \"generic\""),
            "the configuration file FILE, line 3: \"generic\" is not an XDP mode; use auto, native or off"
        );
        assert_eq!(
            error("mark_bit = 32"),
            "the configuration file FILE, line 1: \"32\" is not a bit of the packet mark; give 0 to 31"
        );
        assert_eq!(
            error("flow_entries = 1"),
            "the configuration file FILE, line 1: \"1\" is not a number of flow entries; give 64 to 16777216"
        );
        assert_eq!(
            error("metrics = \"9469\""),
            "the configuration file FILE, line 1: \"9469\" is no place to serve metrics at; give an address and a port, as \
             in 127.0.0.1:9469 or [::1]:9469"
        );
        assert!(error("uplinks = [\"a b\"]").contains("line 1: \"a b\" is not an interface name"));
        assert!(
            error("bridges = \"br0\"").contains("line 1: invalid type: string \"br0\", expected a sequence")
        );
        assert!(error("uplinks = [").contains("FILE, line 1: "));
    }

    #[test]
    fn an_engine_is_where_it_usually_is_unless_told_otherwise() {
        let docker = |text: &str| read(text).map(|config| config.docker);
        assert_eq!(docker("docker = true"), Ok(Some(DEFAULT_ENGINE.into())));
        assert_eq!(docker("docker = false"), Ok(None));
        assert_eq!(docker("docker = \"/x\""), Ok(Some("/x".into())));
        assert!(
            docker("docker = 1")
                .unwrap_err()
                .ends_with("line 1: the path of a socket, or true or false, is expected")
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Config::read(Path::new("/nowhere/netmap.toml")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the configuration file /nowhere/netmap.toml cannot be read: No such file"));
    }
}
