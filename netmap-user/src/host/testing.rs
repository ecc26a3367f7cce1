//! What the kernel says, from memory: for fuzzing.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    role::Selection,
    snapshot::Snapshot,
    view::{self, Picture, View},
    watch::Heard,
};

/// A host that hears netlink's datagrams from a slice instead of a socket.
#[derive(Debug, Default)]
pub struct Listener {
    snapshot: Snapshot,
    picture: Picture,
    wanted: BTreeSet<IpAddr>,
}

impl Listener {
    /// A host on which these containers are published.
    pub fn new(wanted: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            wanted: wanted.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Takes one datagram in; what the maps should hold then.
    pub fn hear(&mut self, datagram: &[u8]) -> &View {
        let mut heard = Heard::default();
        heard.take(datagram);
        for event in heard.events {
            let _change = self.snapshot.apply(event);
        }
        self.picture = view::picture(&self.snapshot, &Selection::default(), &self.wanted, &self.picture);
        &self.picture.view
    }
}
