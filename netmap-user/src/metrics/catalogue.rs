//! Every metric. `docs/metrics.md` has the same list, and a test compares both.

/// What kind of numbers a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows, but for a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1: what it says is in its labels.
    Info,
}

impl Type {
    /// Its name in the text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }

    /// What its samples' names end with.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge => "",
            Self::Info => "_info",
        }
    }
}

/// A metric: what `OpenMetrics` calls a family.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name without the suffix that the type gives, and with that of the unit.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Its unit, with which the name ends; none for a plain number.
    pub unit: Option<&'static str>,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $(in $unit:literal)? [$($label:literal),*], $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: Metric = Metric {
            name: $name,
            kind: Type::$kind,
            unit: metrics!(@unit $($unit)?),
            labels: &[$($label),*],
            help: $help,
        };)+

        /// All of them, in the order in which they are served.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
    (@unit) => { None };
    (@unit $unit:literal) => { Some($unit) };
}

metrics! {
    BUILD = Info "netmap_build" ["version", "layout"],
        "The daemon's version, and that of the layout of its tables.";
    PACKETS = Counter "netmap_packets" ["hook", "class", "reason"],
        "Packets by what became of them; at the hook socket connections and datagrams.";
    PACKET_BYTES = Counter "netmap_packet_bytes" in "bytes" ["hook", "class", "reason"],
        "Their bytes from the IP header on.";
    FLOWS = Gauge "netmap_flows" ["family", "kind"],
        "Flows in the table when it was last gone over.";
    FLOWS_OPENED = Counter "netmap_flows_opened" ["family", "kind"],
        "Flows opened, as laps over the table find them.";
    FLOWS_ENDED = Counter "netmap_flows_ended" ["family", "kind"],
        "Flows that the daemon has ended: idle, or without their rule or way.";
    FLOW_LIFETIMES = Gauge "netmap_flow_lifetimes_ratio" in "ratio" [],
        "What is left of the lifetimes of flows that are no established connections: below 1 while a flow table is nearly full.";
    TABLE_ENTRIES = Gauge "netmap_table_entries" ["table", "when_full"],
        "Entries in use in a table of the data plane.";
    TABLE_CAPACITY = Gauge "netmap_table_capacity" ["table", "when_full"],
        "Entries that there is room for in it.";
    RULES = Gauge "netmap_rules" ["family", "owner"],
        "Published rules, a range being one.";
    PUBLISHED_PORTS = Gauge "netmap_published_ports" ["family", "protocol"],
        "Ports that they publish.";
    RULE_PORTS = Gauge "netmap_rule_ports" ["published", "target", "container", "owner"],
        "Ports of one rule.";
    RULE_FLOWS = Gauge "netmap_rule_flows" ["published", "target", "container", "owner"],
        "Flows that one rule has opened, in the table when it was last gone over.";
    CONTAINER_FLOWS = Gauge "netmap_container_flows" ["address", "container", "network"],
        "Flows that a container takes, as its share of the table is counted.";
    CONTAINER_FLOWS_OPENED = Counter "netmap_container_flows_opened" ["address", "container", "network"],
        "Flows opened by or to a container.";
    LEFT_OUT = Gauge "netmap_left_out" ["what"],
        "Rules or containers without series of their own, because there are too many.";
    EVENTS_MISSED = Counter "netmap_events_missed" [],
        "Events for netmap monitor that the programs could not tell.";
    FRAGMENTS_WAITING = Gauge "netmap_fragments_waiting" [],
        "Fragments that wait for the first of their datagram.";
    PROXY_CONNECTIONS = Counter "netmap_proxy_connections" [],
        "TCP connections that the proxy has carried to a container.";
    PROXY_CONNECTIONS_OPEN = Gauge "netmap_proxy_connections_open" [],
        "TCP connections that the proxy has open towards clients.";
    PROXY_CONNECT_FAILURES = Counter "netmap_proxy_connect_failures" [],
        "TCP connections reset because their container did not accept one.";
    PROXY_SESSIONS = Counter "netmap_proxy_sessions" [],
        "UDP sessions that the proxy has opened.";
    PROXY_SESSIONS_OPEN = Gauge "netmap_proxy_sessions_open" [],
        "UDP sessions that the proxy has now.";
    PROXY_DATAGRAMS = Counter "netmap_proxy_datagrams" ["direction"],
        "Datagrams that the proxy has carried to containers (in) and back (out).";
    PROXY_DATAGRAMS_LOST = Counter "netmap_proxy_datagrams_lost" [],
        "Datagrams that the proxy has lost.";
    PROXY_BYTES = Counter "netmap_proxy_bytes" in "bytes" ["direction"],
        "Bytes without headers that the proxy has carried to containers (in) and back (out).";
    PROXY_REFUSED = Counter "netmap_proxy_refused" ["reason"],
        "Connections and datagrams that the proxy has refused.";
    ENGINE_CONNECTED = Gauge "netmap_engine_connected" [],
        "Whether the container engine that is followed answers, 1 or 0.";
    ENGINE_NETWORKS = Gauge "netmap_engine_networks" [],
        "Bridges that the engine's networks have.";
    ENGINE_ADDRESSES = Gauge "netmap_engine_addresses" [],
        "Addresses that its containers have.";
    ENGINE_PORTS = Gauge "netmap_engine_ports" [],
        "Ports that it publishes, each by each address of the host.";
    ATTACHMENTS = Gauge "netmap_attachments" ["role", "hook", "mode"],
        "Programs that are attached.";
    INTERFACES_MISSING = Gauge "netmap_interfaces_missing" [],
        "Interfaces that the daemon was told to take and that are not there.";
    CONTAINERS_UNRESOLVED = Gauge "netmap_containers_unresolved" [],
        "Published containers whose place is not known: the proxy serves them.";
    SCRAPE_DURATION = Gauge "netmap_scrape_duration_seconds" in "seconds" [],
        "How long it took to collect these numbers.";
    CPU = Counter "process_cpu_seconds" in "seconds" [],
        "CPU time that the daemon has taken, in the kernel and out of it.";
    START_TIME = Gauge "process_start_time_seconds" in "seconds" [],
        "When the daemon started, since the Unix epoch.";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" in "bytes" [],
        "The daemon's memory that is resident; tables of the kernel are not part of it.";
    VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes" in "bytes" [],
        "The daemon's address space.";
    THREADS = Gauge "process_threads" [],
        "The daemon's threads.";
    OPEN_FDS = Gauge "process_open_fds" [],
        "Files that the daemon has open; a published port takes one.";
    MAX_FDS = Gauge "process_max_fds" [],
        "Files that it may have open.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

    #[test]
    fn names_are_as_openmetrics_wants_them() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let Metric { name, unit, help, .. } = metric;
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(
                plain(name) && metric.labels.iter().all(|label| plain(label)),
                "{name}"
            );
            assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
            if let Some(unit) = unit {
                assert!(name.ends_with(&format!("_{unit}")), "{name}");
            }
            assert!(help.ends_with('.') && !help.contains(['\\', '\n', '"']), "{name}");
        }
    }

    /// The rows of the document's tables: name with its suffix, type, unit, labels.
    fn documented() -> Vec<[String; 4]> {
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().replace('`', ""));
            std::array::from_fn(|_| cells.next().unwrap_or_default())
        })
        .filter(|[name, ..]: &[String; 4]| name.starts_with("netmap_") || name.starts_with("process_"))
        .collect()
    }

    #[test]
    fn the_document_has_every_metric_and_no_other() {
        let mut expected: Vec<[String; 4]> = ALL
            .iter()
            .map(|metric| {
                [
                    format!("{}{}", metric.name, metric.kind.suffix()),
                    metric.kind.name().to_owned(),
                    metric.unit.unwrap_or("-").to_owned(),
                    match metric.labels {
                        [] => "-".to_owned(),
                        labels => labels.join(", "),
                    },
                ]
            })
            .collect();
        let mut found = documented();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}
