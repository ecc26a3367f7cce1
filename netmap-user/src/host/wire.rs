//! What an uplink is made of, and so whether native XDP can gain anything there.

use std::fmt;

use netmap_common::maps::IfIndex;

use super::snapshot::{Link, Snapshot};

/// An uplink's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A network card.
    Card,
    /// Something else, in a word: there XDP costs bulk transfers their segmentation offload, or does not exist.
    NoCard(String),
    /// A card with a VLAN on it, by its name: the card may take tags off frames, which XDP cannot see.
    Tagged(String),
}

/// Where network cards are, and nothing that a hypervisor or the kernel makes up.
const BUSES: [&str; 8] = [
    "pci",
    "usb",
    "platform",
    "auxiliary",
    "amba",
    "fsl-mc",
    "cdx",
    "thunderbolt",
];

impl Wire {
    /// What the interface is.
    pub(super) fn of(snapshot: &Snapshot, index: IfIndex, link: &Link) -> Self {
        let is_card = link.bus.as_deref().is_some_and(|bus| BUSES.contains(&bus));
        if link.type_name.is_some() || !is_card {
            let what = link.type_name.as_ref().or(link.bus.as_ref());
            return Self::NoCard(what.map_or("it", String::as_str).to_owned());
        }
        let vlan = snapshot.links.values().find(|link| link.vlan_of == Some(index));
        vlan.map_or(Self::Card, |vlan| Self::Tagged(vlan.name.clone()))
    }
}

/// Why XDP is not for it.
impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card => f.write_str("a network card"),
            Self::NoCard(what) => write!(f, "{what} is no physical network card"),
            Self::Tagged(vlan) => write!(f, "the VLAN {vlan} is on it, whose tags XDP may not see"),
        }
    }
}
