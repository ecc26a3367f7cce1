//! What the proxy has carried and refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or a level that also falls.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one, unless it is `most` already.
    pub(super) fn increment_below(&self, most: u64) -> bool {
        let order = Ordering::Relaxed;
        let one_more = |value: u64| (value < most).then_some(value + 1);
        self.0.fetch_update(order, order, one_more).is_ok()
    }

    pub(super) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident, $name:literal;)+) => {
        /// Counters of one proxy, since it started.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: Counter,)+
        }

        impl Counters {
            /// Each with its name in the CLI, in JSON and in metrics, and with what it means.
            pub fn named(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, concat!($($doc,)+).trim_ascii(), self.$field.get()),)+]
            }
        }
    };
}

counters! {
    /// TCP connections accepted and connected to their container.
    connections, "proxy-connections";
    /// TCP connections open now, those that are still being connected included.
    connections_open, "proxy-connections-open";
    /// TCP connections reset because their container did not accept one.
    connect_failures, "proxy-connect-failures";
    /// UDP sessions opened.
    sessions, "proxy-sessions";
    /// UDP sessions open now.
    sessions_open, "proxy-sessions-open";
    /// Datagrams carried to a container.
    datagrams_in, "proxy-datagrams-in";
    /// Datagrams carried back to a client.
    datagrams_out, "proxy-datagrams-out";
    /// Bytes carried to containers, of connections and datagrams, without headers.
    bytes_in, "proxy-bytes-in";
    /// Bytes carried back to clients, the same.
    bytes_out, "proxy-bytes-out";
    /// Connections and datagrams for an address and port that is not published.
    refused_unpublished, "proxy-refused-unpublished";
    /// Connections and datagrams from a source that is not on the allow-list.
    refused_source, "proxy-refused-source";
    /// Connections and datagrams beyond the number of connections or sessions.
    refused_full, "proxy-refused-full";
    /// Datagrams beyond one client address's number of sessions.
    refused_client_full, "proxy-refused-client-full";
    /// Connections and datagrams for which the system had no socket, pipe or memory.
    refused_resources, "proxy-refused-resources";
    /// Datagrams lost on their way: longer than fits, a full buffer, a container that does not listen.
    datagrams_lost, "proxy-datagrams-lost";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_its_value() {
        let counters = Counters::default();
        counters.sessions_open.increment();
        counters.sessions_open.increment();
        counters.sessions_open.decrement();
        let named = counters.named();
        let names: HashSet<_> = named.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), named.len());
        let open = named
            .iter()
            .find(|(name, ..)| *name == "proxy-sessions-open")
            .unwrap();
        assert_eq!((open.1, open.2), ("UDP sessions open now.", 1));
    }
}
