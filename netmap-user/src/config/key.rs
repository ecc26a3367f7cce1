//! The keys of the configuration file.

use super::nearest;

/// When a changed setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// With `netmap reload`.
    Live,
    /// When the daemon starts anew, which loses no flow either.
    AtStart,
}

/// A key of the file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// The flag of `netmap run` that says the same, without its dashes.
    pub flag: &'static str,
    /// When a change of it counts.
    pub applies: Applies,
    /// What it takes, for who has given something else.
    pub takes: &'static str,
    /// What its absence means, in words.
    pub default: &'static str,
}

/// Every key, as documents list them.
pub const KEYS: &[Key] = &[
    live(
        "uplinks",
        "uplink",
        "a list of interface names",
        "every interface with a default route",
    ),
    live(
        "bridges",
        "bridge",
        "a list of bridges' names",
        "every bridge that is no uplink; none with docker",
    ),
    at_start("docker", "docker", "true, false or the path of a socket", "false"),
    live(
        "publish_on",
        "publish-on",
        "a list of uplinks, addresses and subnets of this host",
        "everywhere",
    ),
    live(
        "direct",
        "direct",
        "a list of deny, allow, trusted or BRIDGE=MODE",
        "deny",
    ),
    live("trusted", "trusted", "a list of uplinks", "none"),
    live(
        "own_addresses",
        "own-addresses",
        "a list of on, off or BRIDGE=off",
        "on",
    ),
    live("nat", "nat", "a list of edm, eim or BRIDGE=eim", "edm"),
    live(
        "egress",
        "egress",
        "a list of addresses, or BRIDGE=ADDRESS",
        "the uplink's address",
    ),
    live(
        "timeouts",
        "timeout",
        "a table of kinds of flow and seconds",
        "as listed",
    ),
    live(
        "max_flows",
        "max-flows",
        "a number, 0 for any",
        "half of the flow table's",
    ),
    live("max_new_flows", "max-new-flows", "a number, 0 for any", "0"),
    live(
        "max_source_flows",
        "max-source-flows",
        "a number, 0 for any",
        "a quarter of the flow table's",
    ),
    live(
        "log_level",
        "log-level",
        "off, error, warn, info, debug, trace or MODULE=LEVEL",
        "info",
    ),
    at_start(
        "log_format",
        "log-format",
        "text, json or journald",
        "journald under systemd, else text",
    ),
    at_start("xdp", "xdp", "auto, native or off", "auto"),
    at_start("socket_hooks", "no-socket-hooks", "true or false", "true"),
    at_start(
        "cgroup",
        "cgroup",
        "the path of a control group",
        "the root of the cgroup2 hierarchy",
    ),
    at_start(
        "flow_entries",
        "flow-entries",
        "a number from 64 to 16777216",
        "262144, or as the table is already",
    ),
    at_start(
        "metrics",
        "metrics",
        "an address and a port, as in 127.0.0.1:9469",
        "by the API's socket only",
    ),
    at_start("mark_bit", "mark-bit", "a number from 0 to 31", "27"),
    at_start("socket", "socket", "a path", "/run/netmap/netmap.sock"),
    at_start(
        "shim_socket",
        "shim-socket",
        "a path",
        "docker-proxy.sock beside the socket",
    ),
    at_start("pin_dir", "pin-dir", "a folder of a bpffs", "/sys/fs/bpf/netmap"),
    at_start("state", "state", "a folder", "/var/lib/netmap"),
];

impl Key {
    /// The key of this name; `timeouts.KIND` is `timeouts`.
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = name.split_once('.').map_or(name, |(table, _)| table);
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Whether a file may say it.
pub(super) fn is_known(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
}

/// What is said to who writes a key that there is not.
pub(super) fn unknown(name: &str) -> String {
    let hint = nearest::hint(name, KEYS.iter().map(|key| key.name));
    format!("there is no key `{name}`{hint}")
}

const fn live(name: &'static str, flag: &'static str, takes: &'static str, default: &'static str) -> Key {
    Key {
        name,
        flag,
        applies: Applies::Live,
        takes,
        default,
    }
}

const fn at_start(name: &'static str, flag: &'static str, takes: &'static str, default: &'static str) -> Key {
    Key {
        applies: Applies::AtStart,
        ..live(name, flag, takes, default)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_of_run_has_its_key() {
        let command = crate::cli::args::Cli::command();
        let mut flags: Vec<_> = command
            .get_subcommands()
            .filter(|command| command.get_name() == "run")
            .chain([&command])
            .flat_map(clap::Command::get_arguments)
            .filter_map(clap::Arg::get_long)
            .filter(|flag| !["config", "help", "version"].contains(flag))
            .collect();
        let mut known: Vec<_> = KEYS.iter().map(|key| key.flag).collect();
        flags.sort_unstable();
        known.sort_unstable();
        assert_eq!(flags, known);
    }

    #[test]
    fn documents_have_every_key_and_when_it_counts() {
        let document = include_str!("../../../docs/configuration.md");
        let sections: Vec<_> = document.split("\n### ").skip(1).collect();
        let names: Vec<_> = sections
            .iter()
            .filter_map(|section| section.lines().next())
            .collect();
        let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names, known);
        for (key, section) in KEYS.iter().zip(sections) {
            let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
            let counts = match key.applies {
                Applies::Live => "Counts at a reload",
                Applies::AtStart => "akes a new start",
            };
            assert!(section.contains(counts), "{}", key.name);
        }
    }

    #[test]
    fn the_file_that_is_shipped_has_every_key_of_use_and_is_valid() {
        let shipped = include_str!("../../../dist/netmap.toml");
        let said: String = shipped
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# "))
            .flat_map(|line| [line.trim_start_matches('#'), "\n"])
            .collect();
        let place = std::path::Path::new("dist/netmap.toml");
        crate::config::Config::parse(place, shipped).unwrap();
        crate::config::Config::parse(place, &said).unwrap();
        for key in KEYS.iter().filter(|key| key.applies == Applies::Live) {
            assert!(said.contains(key.name), "{}", key.name);
        }
    }
}
