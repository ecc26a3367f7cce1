//! What is published, as the proxy looks it up: by the destination that a client used.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use super::{
    hold::Hold,
    reply::ReplySocket,
    socket::{Families, Mark},
};
use crate::binding::{Binding, Published, Transport};

/// Every published range.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By transport, address and first port. Ranges of one address do not overlap.
    entries: BTreeMap<(Transport, IpAddr, u16), Entry>,
}

/// One published range. Dropping it frees its ports and ends what it carries.
#[derive(Debug)]
struct Entry {
    binding: Arc<Binding>,
    hold: Hold,
    /// Reply sockets of ports that the hold has none for, as long as sessions use them.
    replies: HashMap<SocketAddr, Arc<ReplySocket>>,
    /// Never sent on: its end is the message.
    life: watch::Sender<()>,
}

/// Where a destination leads.
#[derive(Clone, Debug)]
pub(super) struct Route {
    binding: Arc<Binding>,
    life: watch::Receiver<()>,
}

impl Route {
    /// The container's address and port behind published port `port`.
    pub(super) fn target(&self, port: u16) -> Option<SocketAddr> {
        let offset = port.checked_sub(self.binding.published.ports.first())?;
        let port = self.binding.target_ports.first().checked_add(offset)?;
        let known = self.binding.target_ports.contains(port);
        known.then(|| SocketAddr::from((self.binding.target, port)))
    }

    /// Whether the allow-list, if there is one, has `source`.
    pub(super) fn allows(&self, source: IpAddr) -> bool {
        let allow = &self.binding.allow;
        let source = source.to_canonical();
        allow.is_empty() || allow.iter().any(|prefix| prefix.contains(&source))
    }

    /// Whether it is still published.
    pub(super) fn is_live(&self) -> bool {
        self.life.has_changed().is_ok()
    }

    /// Returns once it is no longer published.
    pub(super) async fn ended(&mut self) {
        while self.life.changed().await.is_ok() {}
    }
}

impl Table {
    /// Adds a range, in place of one with the same published side.
    pub(super) fn insert(&mut self, binding: Binding, hold: Hold) {
        let entry = Entry {
            hold,
            replies: HashMap::new(),
            life: watch::Sender::new(()),
            binding: Arc::new(binding),
        };
        self.entries.insert(key(&entry.binding.published), entry);
    }

    /// Whether a range is kept by sockets of its own.
    pub(super) fn is_held(&self, published: &Published) -> bool {
        self.entries
            .get(&key(published))
            .is_some_and(|entry| entry.binding.published == *published && !entry.hold.is_elsewhere())
    }

    /// Closes the reply sockets that the holds of these had none for.
    pub(super) fn forget_replies(&mut self, published: &[Published]) {
        for published in published {
            if let Some(entry) = self.entries.get_mut(&key(published)) {
                entry.replies.clear();
            }
        }
    }

    /// Exchanges what keeps a range; false when it is not there.
    pub(super) fn rehold(&mut self, published: &Published, hold: Hold) -> bool {
        let entry = self.entries.get_mut(&key(published));
        let Some(entry) = entry.filter(|entry| entry.binding.published == *published) else {
            return false;
        };
        entry.hold = hold;
        // Those that were made beside another's sockets.
        entry.replies.clear();
        true
    }

    /// Takes a range out; false when it is not there. One of the other family that shared its sockets keeps its ports by
    /// sockets of its own.
    pub(super) fn remove(&mut self, published: &Published, mark: Mark) -> bool {
        let key = key(published);
        let known = self
            .entries
            .get(&key)
            .is_some_and(|entry| entry.binding.published == *published);
        if !known || self.entries.remove(&key).is_none() {
            return false;
        }
        let other = other_family(published.host).map(|host| (key.0, host, key.2));
        if let Some(entry) = other.and_then(|key| self.entries.get_mut(&key))
            && let Err(error) = entry.hold.narrow(&entry.binding.published, mark)
        {
            tracing::warn!("other programs can bind ports of {}: {error}", entry.binding);
        }
        true
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Where `destination` leads, the range of its own address first.
    pub(super) fn route(&self, transport: Transport, destination: SocketAddr) -> Option<Route> {
        let entry = self.entries.get(&self.find(transport, destination)?)?;
        Some(Route {
            binding: Arc::clone(&entry.binding),
            life: entry.life.subscribe(),
        })
    }

    /// The socket that replies from `destination` leave from, made if need be. It lives until it is released or
    /// unpublished, so the caller's hold on it is weak.
    pub(super) fn reply(&mut self, destination: SocketAddr, mark: Mark) -> io::Result<Weak<ReplySocket>> {
        let key = self.find(Transport::Udp, destination);
        let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Some(held) = entry.hold.reply(destination.port()) {
            return Ok(Arc::downgrade(held));
        }
        if let Some(reply) = entry.replies.get(&destination) {
            return Ok(Arc::downgrade(reply));
        }
        let reply = if entry.hold.is_elsewhere() {
            ReplySocket::beside(destination, mark)?
        } else {
            ReplySocket::bind(destination, Families::One, mark)?
        };
        let reply = Arc::new(reply);
        let weak = Arc::downgrade(&reply);
        entry.replies.insert(destination, reply);
        Ok(weak)
    }

    /// Closes the socket that [`Table::reply`] made for `destination`, if nobody uses it any more.
    pub(super) fn release_reply(&mut self, destination: SocketAddr) {
        let key = self.find(Transport::Udp, destination);
        let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) else {
            return;
        };
        let unused = |reply: &Arc<ReplySocket>| Arc::weak_count(reply) == 0;
        if entry.replies.get(&destination).is_some_and(unused) {
            entry.replies.remove(&destination);
        }
    }

    fn find(&self, transport: Transport, destination: SocketAddr) -> Option<(Transport, IpAddr, u16)> {
        let any = match destination {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        [destination.ip(), any].into_iter().find_map(|host| {
            let upto = (transport, host, 0)..=(transport, host, destination.port());
            let (key, entry) = self.entries.range(upto).next_back()?;
            let known = entry.binding.published.ports.contains(destination.port());
            known.then_some(*key)
        })
    }
}

/// The other family's wildcard.
fn other_family(host: IpAddr) -> Option<IpAddr> {
    host.is_unspecified().then_some(match host {
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.into(),
    })
}

fn key(published: &Published) -> (Transport, IpAddr, u16) {
    (published.transport, published.host, published.ports.first())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::PortSpan;

    const NO_MARK: Mark = Mark(0);

    fn span(first: u16, last: u16) -> PortSpan {
        PortSpan::new(first, last).unwrap()
    }

    fn binding(host: &str, ports: PortSpan, target: &str, target_ports: PortSpan) -> Binding {
        Binding {
            published: Published {
                host: host.parse().unwrap(),
                ports,
                transport: Transport::Udp,
            },
            target: target.parse().unwrap(),
            target_ports,
            allow: Vec::new(),
        }
    }

    fn insert(table: &mut Table, binding: Binding) {
        let hold = Hold::take(&binding.published, NO_MARK, &[]).unwrap();
        table.insert(binding, hold);
    }

    fn target(table: &Table, destination: &str) -> Option<String> {
        let destination: SocketAddr = destination.parse().unwrap();
        let route = table.route(Transport::Udp, destination)?;
        Some(route.target(destination.port())?.to_string())
    }

    #[test]
    fn every_port_of_a_range_leads_to_its_counterpart_and_its_neighbours_nowhere() {
        let mut table = Table::default();
        insert(
            &mut table,
            binding("127.0.0.41", span(11_000, 11_099), "172.30.0.2", span(53, 152)),
        );
        insert(
            &mut table,
            binding("127.0.0.42", span(11_050, 11_050), "172.30.0.3", span(1, 1)),
        );
        let expected = [
            ("127.0.0.41:10999", None),
            ("127.0.0.41:11000", Some("172.30.0.2:53")),
            ("127.0.0.41:11050", Some("172.30.0.2:103")),
            ("127.0.0.41:11099", Some("172.30.0.2:152")),
            ("127.0.0.41:11100", None),
            ("127.0.0.42:11050", Some("172.30.0.3:1")),
            ("127.0.0.43:11050", None),
        ];
        for (destination, leads_to) in expected {
            assert_eq!(target(&table, destination).as_deref(), leads_to, "{destination}");
        }
        let tcp = table.route(Transport::Tcp, "127.0.0.41:11000".parse().unwrap());
        assert!(tcp.is_none());
    }

    #[test]
    fn a_wildcard_takes_every_address() {
        let mut table = Table::default();
        insert(
            &mut table,
            binding("0.0.0.0", span(11_110, 11_110), "172.30.0.2", span(53, 53)),
        );
        for destination in ["127.0.0.1:11110", "192.0.2.1:11110"] {
            assert_eq!(target(&table, destination).as_deref(), Some("172.30.0.2:53"));
        }
        assert_eq!(target(&table, "[::1]:11110"), None);
    }

    #[test]
    fn a_route_ends_with_its_binding() {
        let mut table = Table::default();
        let binding = binding("127.0.0.41", span(11_120, 11_120), "172.30.0.2", span(53, 53));
        insert(&mut table, binding.clone());
        let route = table
            .route(Transport::Udp, "127.0.0.41:11120".parse().unwrap())
            .unwrap();
        assert!(route.is_live());
        let longer = Published {
            ports: span(11_120, 11_121),
            ..binding.published
        };
        assert!(!table.remove(&longer, NO_MARK));
        assert!(table.remove(&binding.published, NO_MARK));
        assert!(!route.is_live());
        assert_eq!(target(&table, "127.0.0.41:11120"), None);
    }

    #[test]
    fn a_held_port_replies_from_its_hold() {
        let mut table = Table::default();
        insert(
            &mut table,
            binding("0.0.0.0", span(11_130, 11_130), "172.30.0.2", span(53, 53)),
        );
        let reply = |table: &mut Table, destination: &str| {
            table.reply(destination.parse().unwrap(), NO_MARK).unwrap()
        };
        let one = reply(&mut table, "127.0.0.1:11130");
        let two = reply(&mut table, "127.0.0.2:11130");
        assert!(one.ptr_eq(&two));
        table.clear();
        assert!(one.upgrade().is_none());
    }

    #[test]
    fn a_large_range_has_reply_sockets_while_they_are_used() {
        let mut table = Table::default();
        insert(
            &mut table,
            binding("0.0.0.0", span(11_200, 11_299), "172.30.0.2", span(200, 299)),
        );
        let destination = "127.0.0.1:11250".parse().unwrap();
        let first = table.reply(destination, NO_MARK).unwrap();
        let second = table.reply(destination, NO_MARK).unwrap();
        assert!(first.ptr_eq(&second));
        drop(second);
        table.release_reply(destination);
        assert!(first.upgrade().is_some());
        drop(first);
        table.release_reply(destination);
        assert!(
            std::net::UdpSocket::bind(destination).is_ok(),
            "the reply socket is still open"
        );
    }
}
