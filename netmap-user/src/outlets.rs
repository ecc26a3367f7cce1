//! Where what is published is reached from outside (`netmap run --publish-on`).

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::options::{InterfaceName, OptionError};

/// An uplink, or addresses of this host: `eth0`, `203.0.113.5`, `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Outlet {
    /// By this uplink, at every address.
    Uplink(InterfaceName),
    /// At those of the host's addresses that lie in it, by every uplink.
    Addresses(IpNet),
}

impl FromStr for Outlet {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Addresses(address.into()));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Addresses(network.trunc()));
        }
        let name = text.parse().map(Self::Uplink);
        name.map_err(|_| OptionError::BadOutlet(text.to_owned()))
    }
}

impl TryFrom<String> for Outlet {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uplink(name) => fmt::Display::fmt(name, f),
            Self::Addresses(network) if network.prefix_len() == network.max_prefix_len() => {
                fmt::Display::fmt(&network.addr(), f)
            }
            Self::Addresses(network) => fmt::Display::fmt(network, f),
        }
    }
}

/// Everywhere that may be; without any, everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlets(Vec<Outlet>);

impl From<Vec<Outlet>> for Outlets {
    fn from(outlets: Vec<Outlet>) -> Self {
        Self(outlets)
    }
}

impl Outlets {
    /// Whether there is a place where it is not reached.
    pub fn are_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether it is reached at every address by the uplink of this name.
    pub fn has_uplink(&self, uplink: &str) -> bool {
        !self.are_some()
            || self
                .0
                .iter()
                .any(|outlet| matches!(outlet, Outlet::Uplink(name) if name.as_str() == uplink))
    }

    /// Whether it is reached by every uplink at this address of the host.
    pub fn has_address(&self, address: IpAddr) -> bool {
        !self.are_some()
            || self
                .0
                .iter()
                .any(|outlet| matches!(outlet, Outlet::Addresses(network) if network.contains(&address)))
    }

    /// The interfaces that they name.
    pub fn uplinks(&self) -> impl Iterator<Item = &InterfaceName> {
        self.0.iter().filter_map(|outlet| match outlet {
            Outlet::Uplink(name) => Some(name),
            Outlet::Addresses(_) => None,
        })
    }
}

impl fmt::Display for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, outlet) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{outlet}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlets(texts: &[&str]) -> Outlets {
        let outlets: Vec<Outlet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        outlets.into()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_word_it_is_reached_everywhere() {
        let everywhere = Outlets::default();
        assert!(everywhere.has_uplink("eth0") && everywhere.has_address(ip("192.0.2.1")));
        assert!(!everywhere.are_some());
    }

    #[test]
    fn uplinks_addresses_and_subnets_of_both_families_are_told_apart() {
        let some = outlets(&["eth0", "203.0.113.5", "10.9.0.0/8", "2001:db8::/64"]);
        assert!(some.has_uplink("eth0") && !some.has_uplink("eth1"));
        for open in ["203.0.113.5", "10.1.2.3", "2001:db8::7"] {
            assert!(some.has_address(ip(open)), "{open}");
        }
        for closed in ["203.0.113.6", "11.0.0.1", "2001:db8:1::7"] {
            assert!(!some.has_address(ip(closed)), "{closed}");
        }
        assert_eq!(some.to_string(), "eth0, 203.0.113.5, 10.0.0.0/8, 2001:db8::/64");
        assert_eq!(some.uplinks().count(), 1);
    }

    #[test]
    fn what_is_neither_is_refused_in_words() {
        for text in ["10.0.0.0/33", "eth0:1", "", "2001:db8::/129"] {
            let error = text.parse::<Outlet>().unwrap_err().to_string();
            assert!(
                error.ends_with(
                    "is no place to publish on; give an uplink, an address or a subnet of this host"
                ),
                "{error}"
            );
        }
    }
}
