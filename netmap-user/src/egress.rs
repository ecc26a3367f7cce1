//! By which of this host's addresses containers leave, where not by the uplink's (`netmap run --egress`).

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::Deserialize;

use crate::{
    options::{InterfaceName, OptionError},
    spec,
};

/// An address that the containers of one bridge leave by, or of all that have none of their own: `br0=192.0.2.7`,
/// `2001:db8::7`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EgressChoice {
    /// The bridge; none for all that have none of their own.
    pub bridge: Option<InterfaceName>,
    /// By which of the host's addresses.
    pub address: IpAddr,
}

impl fmt::Display for EgressChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match &self.bridge {
            Some(bridge) => write!(f, "{bridge}={address}"),
            None => write!(f, "{address}"),
        }
    }
}

impl FromStr for EgressChoice {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (bridge, address) = match text.split_once('=') {
            Some((bridge, address)) => (Some(bridge.parse()?), address),
            None => (None, text),
        };
        let address = parse_address(address)?;
        Ok(Self { bridge, address })
    }
}

impl TryFrom<String> for EgressChoice {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
}

/// An address that containers may leave by.
///
/// # Errors
///
/// No address, or one that the outside could not answer.
pub fn parse_address(text: &str) -> Result<IpAddr, OptionError> {
    let address = spec::parse_host(text).ok();
    address
        .filter(|address| !address.is_unspecified() && !address.is_loopback())
        .ok_or_else(|| OptionError::BadEgress(text.to_owned()))
}

/// The addresses of all bridges. A bridge may have several: each of its containers leaves by one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Of bridges that nothing else is said of.
    default: Vec<IpAddr>,
    /// What the user says of a bridge.
    bridges: BTreeMap<String, Vec<IpAddr>>,
    /// What somebody else says of one, while netmap runs.
    learned: BTreeMap<String, Vec<IpAddr>>,
}

impl FromIterator<EgressChoice> for Egress {
    fn from_iter<I: IntoIterator<Item = EgressChoice>>(choices: I) -> Self {
        let mut egress = Self::default();
        for EgressChoice { bridge, address } in choices {
            let addresses = match bridge {
                Some(bridge) => egress.bridges.entry(bridge.to_string()).or_default(),
                None => &mut egress.default,
            };
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        egress
    }
}

impl Egress {
    /// The addresses of a bridge, of both families; of a family none where its containers leave by the uplink's. Of each
    /// family the user's word about the bridge counts before what was learned of it, and that before what is said of all.
    pub fn of(&self, bridge: &str) -> Vec<IpAddr> {
        let (own, learned) = (self.bridges.get(bridge), self.learned.get(bridge));
        let mut addresses = Vec::new();
        for is_ipv4 in [true, false] {
            let said = [own, learned, Some(&self.default)].into_iter().flatten();
            let mut said = said.map(|said| {
                said.iter()
                    .filter(|address| address.is_ipv4() == is_ipv4)
                    .copied()
            });
            addresses.extend(
                said.find_map(|said| {
                    let mut said = said.peekable();
                    said.peek().is_some().then_some(said)
                })
                .into_iter()
                .flatten(),
            );
        }
        addresses
    }

    /// Learns of a bridge that its containers are to leave by these addresses; by none forgets what was learned.
    pub fn learn(&mut self, bridge: &str, addresses: Vec<IpAddr>) {
        if addresses.is_empty() {
            self.learned.remove(bridge);
        } else {
            self.learned.insert(bridge.to_owned(), addresses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(choices: &[&str]) -> Egress {
        choices.iter().map(|choice| choice.parse().unwrap()).collect()
    }

    fn of(egress: &Egress, bridge: &str) -> Vec<String> {
        egress.of(bridge).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bridges_own_addresses_go_before_the_others_family_by_family() {
        let chosen = egress(&[
            "192.0.2.1",
            "2001:db8::1",
            "br0=192.0.2.7",
            "br0=192.0.2.8",
            "br0=192.0.2.7",
        ]);
        assert_eq!(of(&chosen, "br0"), ["192.0.2.7", "192.0.2.8", "2001:db8::1"]);
        assert_eq!(of(&chosen, "br1"), ["192.0.2.1", "2001:db8::1"]);
        assert!(Egress::default().of("br0").is_empty());
    }

    #[test]
    fn what_is_learned_counts_where_the_user_has_not_said_otherwise() {
        let mut chosen = egress(&["192.0.2.1", "br0=192.0.2.7"]);
        for bridge in ["br0", "br1"] {
            chosen.learn(
                bridge,
                vec!["192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap()],
            );
        }
        assert_eq!(of(&chosen, "br0"), ["192.0.2.7", "2001:db8::9"]);
        assert_eq!(of(&chosen, "br1"), ["192.0.2.9", "2001:db8::9"]);
        chosen.learn("br1", Vec::new());
        assert_eq!(of(&chosen, "br1"), ["192.0.2.1"]);
    }

    #[test]
    fn what_nobody_outside_could_answer_is_refused_in_words() {
        let refused = |text: &str| text.parse::<EgressChoice>().unwrap_err().to_string();
        assert_eq!(
            refused("127.0.0.1"),
            "\"127.0.0.1\" is no address to leave by; give one of this host that others can answer, as in 192.0.2.7 or \
             br0=2001:db8::7"
        );
        for text in [
            "",
            "br0=",
            "0.0.0.0",
            "::",
            "::1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "::ffff:192.0.2.1",
            "host",
        ] {
            assert!(refused(text).contains("is no address to leave by"), "{text}");
        }
        assert!(refused("a b=192.0.2.1").contains("is not an interface name"));
    }
}
