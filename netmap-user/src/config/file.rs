//! What the configuration file may say, and what is wrong with one.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use netmap_common::nat::LifetimeClass;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::de::{DeTable, DeValue};

use super::{Key, key, nearest};
use crate::{
    egress::EgressChoice,
    mappings::MappingChoice,
    options::{
        self, DEFAULT_ENGINE, DirectRule, InterfaceName, LogFormat, LogLevel, OptionError, Timeout, XdpMode,
    },
    outlets::Outlet,
    ownership::OwnershipChoice,
};

/// What the file, or the flags, may say. Everything is optional, nothing else is allowed.
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
    /// How much is logged.
    #[serde(deserialize_with = "log_level")]
    pub log_level: Option<LogLevel>,
    /// How it is written.
    #[serde(deserialize_with = "log_format")]
    pub log_format: Option<LogFormat>,
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
        let invalid = |Fault { at, why }| ConfigError::Invalid {
            path: path.to_owned(),
            line: 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count(),
            why,
        };
        let table = DeTable::parse(text).map_err(|error| invalid(Fault::of(&error)))?;
        let table = table.get_ref();
        // What comes first is mended first.
        if let Some(fault) = faults(table).into_iter().min_by_key(|fault| fault.at) {
            return Err(invalid(fault));
        }
        toml::from_str(text).map_err(|error| {
            let mut fault = Fault::of(&error);
            if let Some(key) = owner(table, fault.at)
                && fault.why.starts_with("invalid ")
            {
                fault.why = format!("`{}` takes {}", key.name, key.takes);
            }
            invalid(fault)
        })
    }
}

/// What is wrong, and at which byte.
struct Fault {
    at: usize,
    why: String,
}

impl Fault {
    fn of(error: &toml::de::Error) -> Self {
        Self {
            at: error.span().map_or(0, |span| span.start),
            why: error.message().replace('\n', " "),
        }
    }

    fn at(span: &Range<usize>, why: &impl ToString) -> Self {
        Self {
            at: span.start,
            why: why.to_string(),
        }
    }
}

/// Keys that there are not, and what stands in lists and timeouts and is refused: each has a line of its own.
fn faults(table: &DeTable<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in table {
        let at = name.span();
        let name = name.get_ref();
        if !key::is_known(name) {
            faults.push(Fault::at(&at, &key::unknown(name)));
        }
        if value.get_ref().as_str() == Some("")
            && let Some(key) = Key::named(name)
        {
            let why = format!("`{name}` takes {}", key.takes);
            faults.push(Fault::at(&value.span(), &why));
        }
        let places = value.get_ref().as_array().into_iter().flatten();
        faults.extend(places.filter_map(|place| {
            let refused = refusal(name, place.get_ref().as_str()?)?;
            Some(Fault::at(&place.span(), &refused))
        }));
        if name == "timeouts"
            && let Some(timeouts) = value.get_ref().as_table()
        {
            faults.extend(timeouts.iter().filter_map(|(kind, seconds)| {
                timeout_fault((kind.span(), kind.get_ref()), (seconds.span(), seconds.get_ref()))
            }));
        }
    }
    faults
}

/// Why this is nothing for the list of that name.
fn refusal(list: &str, text: &str) -> Option<OptionError> {
    match list {
        "uplinks" | "bridges" | "trusted" => InterfaceName::from_str(text).err(),
        "publish_on" => Outlet::from_str(text).err(),
        "direct" => DirectRule::from_str(text).err(),
        "own_addresses" => OwnershipChoice::from_str(text).err(),
        "nat" => MappingChoice::from_str(text).err(),
        "egress" => EgressChoice::from_str(text).err(),
        _ => None,
    }
}

fn timeout_fault(
    (kind_at, kind): (Range<usize>, &str),
    (at, seconds): (Range<usize>, &DeValue<'_>),
) -> Option<Fault> {
    let kinds = || LifetimeClass::ALL.map(LifetimeClass::name);
    if !kinds().contains(&kind) {
        let hint = nearest::hint(kind, kinds());
        let why = format!("{}{hint}", OptionError::UnknownTimeout(kind.to_owned()));
        return Some(Fault::at(&kind_at, &why));
    }
    let Some(seconds) = seconds.as_integer() else {
        return Some(Fault::at(&at, &OptionError::BadTimeout(kind.to_owned())));
    };
    // What is not written in tens is checked when it is read.
    let refused = (seconds.radix() == 10).then(|| Timeout::new(kind, seconds.as_str()).err());
    refused.flatten().map(|error| Fault::at(&at, &error))
}

/// The key in whose value this byte is.
fn owner(table: &DeTable<'_>, at: usize) -> Option<&'static Key> {
    let mut pairs = table.iter();
    let (name, _) = pairs.find(|(_, value)| value.span().contains(&at))?;
    Key::named(name.get_ref())
}

fn xdp<'de, D: Deserializer<'de>>(value: D) -> Result<Option<XdpMode>, D::Error> {
    checked::<String, _, _>(value, XdpMode::from_str)
}

fn log_level<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LogLevel>, D::Error> {
    checked::<String, _, _>(value, LogLevel::from_str)
}

fn log_format<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LogFormat>, D::Error> {
    checked::<String, _, _>(value, LogFormat::from_str)
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
mod tests;
