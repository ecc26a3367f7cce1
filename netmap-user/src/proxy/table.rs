//! What is published, as the proxy looks it up: by the destination that a client used.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use super::{hold::Hold, reply::ReplySocket, socket::Mark};
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
        let IpAddr::V4(source) = source.to_canonical() else {
            return allow.is_empty();
        };
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

    /// Takes a range out; false when it is not there.
    pub(super) fn remove(&mut self, published: &Published) -> bool {
        let key = key(published);
        let known = self
            .entries
            .get(&key)
            .is_some_and(|entry| entry.binding.published == *published);
        known && self.entries.remove(&key).is_some()
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
        let reply = Arc::new(ReplySocket::bind(destination, mark)?);
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

fn key(published: &Published) -> (Transport, IpAddr, u16) {
    (
        published.transport,
        published.host.into(),
        published.ports.first(),
    )
}
