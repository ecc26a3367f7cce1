//! Settings with where they came from, and how two sets of them differ.

use std::path::{Path, PathBuf};

use netmap_common::nat::LifetimeClass;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Applies, Config, Key};
use crate::options::{self, Direct, LogOptions, RunOptions, Shares};

/// Who said a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration file.
    File,
    /// A flag, or a variable of the environment.
    Flag,
    /// A list to which both add.
    FileAndFlag,
}

impl Origin {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Flag => "flag",
            Self::FileAndFlag => "file and flag",
        }
    }
}

/// One key of the file, as it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The key; `timeouts.KIND` for each kind of flow.
    pub key: String,
    /// Its value; null where nobody says one and it depends on the host.
    pub value: Value,
    /// Who says so.
    pub origin: Origin,
}

/// A setting that is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What it was.
    pub from: Value,
    /// What it is.
    pub to: Value,
}

/// Everything that file and flags say together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Effective {
    /// For the daemon.
    pub options: RunOptions,
    /// For people, in the order of [`super::KEYS`].
    pub settings: Vec<Setting>,
}

impl Effective {
    /// The file below the flags.
    pub fn of(file: &Config, flags: &Config) -> Self {
        Self {
            options: options(file.clone(), flags.clone()),
            settings: settings(file, flags),
        }
    }

    /// What differs in `other`.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let pairs = self.settings.iter().zip(&other.settings);
        pairs
            .filter(|(old, new)| old.value != new.value)
            .map(|(old, new)| Change {
                key: new.key.clone(),
                from: old.value.clone(),
                to: new.value.clone(),
            })
            .collect()
    }

    /// `other`, less what takes a new start: that stays as it is here.
    #[must_use]
    pub fn reloaded(&self, other: &Self) -> Self {
        let pairs = self.settings.iter().zip(&other.settings);
        let settings = pairs.map(|(old, new)| if is_live(&new.key) { new } else { old });
        Self {
            settings: settings.cloned().collect(),
            options: self.options.reloaded(other.options.clone()),
        }
    }
}

/// Whether a changed setting counts without a new start.
pub(super) fn is_live(key: &str) -> bool {
    Key::named(key).is_some_and(|key| key.applies == Applies::Live)
}

impl Change {
    /// Whether it counts without a new start.
    pub fn is_live(&self) -> bool {
        is_live(&self.key)
    }
}

fn options(file: Config, flags: Config) -> RunOptions {
    let default = RunOptions::default();
    RunOptions {
        uplinks: or(flags.uplinks, file.uplinks),
        bridges: or(flags.bridges, file.bridges),
        xdp: flags.xdp.or(file.xdp).unwrap_or(default.xdp),
        socket: flags.socket.or(file.socket).unwrap_or(default.socket),
        shim_socket: flags.shim_socket.or(file.shim_socket),
        pin_dir: flags.pin_dir.or(file.pin_dir).unwrap_or(default.pin_dir),
        state: flags.state.or(file.state).unwrap_or(default.state),
        cgroup: flags.cgroup.or(file.cgroup).or(default.cgroup),
        socket_hooks: flags
            .socket_hooks
            .or(file.socket_hooks)
            .unwrap_or(default.socket_hooks),
        flow_entries: flags.flow_entries.or(file.flow_entries),
        mark_bit: flags.mark_bit.or(file.mark_bit).unwrap_or(default.mark_bit),
        direct: Direct {
            rules: file.direct.into_iter().chain(flags.direct).collect(),
            trusted: or(flags.trusted, file.trusted),
        },
        outlets: or(flags.publish_on, file.publish_on).into(),
        ownership: file
            .own_addresses
            .into_iter()
            .chain(flags.own_addresses)
            .collect(),
        lifetimes: options::lifetimes(file.timeouts.into_iter().chain(flags.timeouts)),
        docker: flags.docker.or(file.docker),
        mappings: file.nat.into_iter().chain(flags.nat).collect(),
        egress: file.egress.into_iter().chain(flags.egress).collect(),
        shares: Shares {
            container_flows: flags.max_flows.or(file.max_flows),
            container_rate: flags.max_new_flows.or(file.max_new_flows),
            source_flows: flags.max_source_flows.or(file.max_source_flows),
        },
        metrics: flags.metrics.or(file.metrics),
        log: LogOptions {
            level: flags.log_level.or(file.log_level).unwrap_or_default(),
            format: flags.log_format.or(file.log_format),
        },
    }
}

fn settings(file: &Config, flags: &Config) -> Vec<Setting> {
    let list = |key, of: &dyn Fn(&Config) -> Value| {
        let (in_file, in_flags) = (of(file), of(flags));
        let origin = match (is_empty(&in_flags), is_empty(&in_file)) {
            (false, _) => Origin::Flag,
            (true, false) => Origin::File,
            (true, true) => Origin::Default,
        };
        let value = if is_empty(&in_flags) { in_file } else { in_flags };
        setting(key, value, origin)
    };
    // Where both add, the flags' come last and count first.
    let added = |key, of: &dyn Fn(&Config) -> Value| {
        let (mut value, mut last) = (of(file), of(flags));
        let origin = match (is_empty(&last), is_empty(&value)) {
            (false, false) => Origin::FileAndFlag,
            (false, true) => Origin::Flag,
            (true, false) => Origin::File,
            (true, true) => Origin::Default,
        };
        if let (Value::Array(all), Value::Array(last)) = (&mut value, &mut last) {
            all.append(last);
        }
        setting(key, value, origin)
    };
    let one = |key, default: Value, of: &dyn Fn(&Config) -> Option<Value>| match (of(flags), of(file)) {
        (Some(value), _) => setting(key, value, Origin::Flag),
        (None, Some(value)) => setting(key, value, Origin::File),
        (None, None) => setting(key, default, Origin::Default),
    };
    let default = RunOptions::default();
    let mut settings = vec![
        list("uplinks", &|config| texts(&config.uplinks)),
        list("bridges", &|config| texts(&config.bridges)),
        one("docker", json!(false), &|config| path(config.docker.as_ref())),
        list("publish_on", &|config| texts(&config.publish_on)),
        added("direct", &|config| texts(&config.direct)),
        list("trusted", &|config| texts(&config.trusted)),
        added("own_addresses", &|config| texts(&config.own_addresses)),
        added("nat", &|config| texts(&config.nat)),
        added("egress", &|config| texts(&config.egress)),
    ];
    settings.extend(LifetimeClass::ALL.map(|class| {
        let of =
            |config: &Config| options::timeout_of(&config.timeouts, class).map(|seconds| json!(seconds.0));
        let unless = json!(default.lifetimes.of_class(class).0);
        let mut timeout = one("", unless, &of);
        timeout.key = format!("timeouts.{}", class.name());
        timeout
    }));
    settings.extend([
        one("max_flows", Value::Null, &|config| {
            config.max_flows.map(Into::into)
        }),
        one("max_new_flows", json!(0), &|config| {
            config.max_new_flows.map(Into::into)
        }),
        one("max_source_flows", Value::Null, &|config| {
            config.max_source_flows.map(Into::into)
        }),
        one("log_level", text(&default.log.level), &|config| {
            config.log_level.as_ref().map(text)
        }),
        one("log_format", Value::Null, &|config| {
            config.log_format.as_ref().map(text)
        }),
        one("xdp", text(&default.xdp), &|config| config.xdp.as_ref().map(text)),
        one("socket_hooks", json!(true), &|config| {
            config.socket_hooks.map(Into::into)
        }),
        one("cgroup", Value::Null, &|config| path(config.cgroup.as_ref())),
        one("flow_entries", Value::Null, &|config| {
            config.flow_entries.map(Into::into)
        }),
        one("metrics", Value::Null, &|config| {
            config.metrics.as_ref().map(text)
        }),
        one("mark_bit", json!(default.mark_bit), &|config| {
            config.mark_bit.map(Into::into)
        }),
        one("socket", path_value(&default.socket), &|config| {
            path(config.socket.as_ref())
        }),
        one("shim_socket", Value::Null, &|config| {
            path(config.shim_socket.as_ref())
        }),
        one("pin_dir", path_value(&default.pin_dir), &|config| {
            path(config.pin_dir.as_ref())
        }),
        one("state", path_value(&default.state), &|config| {
            path(config.state.as_ref())
        }),
    ]);
    settings
}

fn setting(key: &str, value: Value, origin: Origin) -> Setting {
    Setting {
        key: key.to_owned(),
        value,
        origin,
    }
}

/// The flags' word, or else the file's.
fn or<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn text(value: &impl ToString) -> Value {
    Value::String(value.to_string())
}

fn texts<T: ToString>(values: &[T]) -> Value {
    values.iter().map(text).collect()
}

fn path(path: Option<&PathBuf>) -> Option<Value> {
    path.map(|path| path_value(path))
}

fn path_value(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::KEYS, *};

    #[test]
    fn every_key_has_its_setting_at_its_place() {
        let all = Effective::of(&Config::default(), &Config::default());
        let mut keys: Vec<_> = all
            .settings
            .iter()
            .map(|setting| setting.key.split('.').next().unwrap_or_default())
            .collect();
        keys.dedup();
        let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(keys, known);
        assert!(
            all.settings
                .iter()
                .all(|setting| setting.origin == Origin::Default)
        );
        assert_eq!(all.options, RunOptions::default());
    }

    #[test]
    fn a_setting_says_where_it_came_from() {
        let file = Config {
            mark_bit: Some(3),
            max_flows: Some(7),
            direct: vec!["br0=allow".parse().unwrap()],
            timeouts: vec!["udp-answered=200".parse().unwrap()],
            ..Config::default()
        };
        let flags = Config {
            max_flows: Some(9),
            direct: vec!["trusted".parse().unwrap()],
            ..Config::default()
        };
        let all = Effective::of(&file, &flags);
        let of = |key: &str| {
            let setting = all.settings.iter().find(|setting| setting.key == key).unwrap();
            (setting.value.clone(), setting.origin)
        };
        assert_eq!(of("mark_bit"), (json!(3), Origin::File));
        assert_eq!(of("max_flows"), (json!(9), Origin::Flag));
        assert_eq!(
            of("direct"),
            (json!(["br0=allow", "trusted"]), Origin::FileAndFlag)
        );
        assert_eq!(of("timeouts.udp-answered"), (json!(200), Origin::File));
        assert_eq!(of("timeouts.icmp-echo"), (json!(60), Origin::Default));
        assert_eq!(of("max_source_flows"), (Value::Null, Origin::Default));
    }

    #[test]
    fn what_takes_a_new_start_stays() {
        let old = Effective::of(&Config::default(), &Config::default());
        let file = Config {
            mark_bit: Some(3),
            max_flows: Some(7),
            pin_dir: Some("/sys/fs/bpf/other".into()),
            ..Config::default()
        };
        let new = Effective::of(&file, &Config::default());
        let (live, waiting): (Vec<_>, Vec<_>) = old.changes(&new).into_iter().partition(Change::is_live);
        let keys = |changes: &[Change]| {
            changes
                .iter()
                .map(|change| change.key.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&live), ["max_flows"]);
        assert_eq!(keys(&waiting), ["mark_bit", "pin_dir"]);
        let reloaded = old.reloaded(&new);
        assert_eq!(reloaded.options.shares.container_flows, Some(7));
        assert_eq!(
            (reloaded.options.mark_bit, reloaded.options.pin_dir),
            (27, old.options.pin_dir.clone())
        );
        assert_eq!(
            keys(&old.changes(&Effective {
                options: old.options.clone(),
                settings: reloaded.settings
            })),
            ["max_flows"]
        );
    }
}
