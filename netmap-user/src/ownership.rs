//! Behind which bridges a container may send from its own addresses only (`netmap run --own-addresses`).

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;

use crate::options::{InterfaceName, OptionError};

/// The word about one bridge, or about all that have none of their own: `br0=off`, `on`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OwnershipChoice {
    /// The bridge; none for all that have none of their own.
    pub bridge: Option<InterfaceName>,
    /// Whether its containers are held to their own addresses.
    pub is_kept: bool,
}

impl fmt::Display for OwnershipChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_kept { "on" } else { "off" };
        match &self.bridge {
            Some(bridge) => write!(f, "{bridge}={word}"),
            None => f.write_str(word),
        }
    }
}

impl FromStr for OwnershipChoice {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (bridge, word) = match text.split_once('=') {
            Some((bridge, word)) => (Some(bridge.parse()?), word),
            None => (None, text),
        };
        let is_kept = match word {
            "on" => true,
            "off" => false,
            _ => return Err(OptionError::BadOwnership(text.to_owned())),
        };
        Ok(Self { bridge, is_kept })
    }
}

impl TryFrom<String> for OwnershipChoice {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
}

/// The word about every bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    default: bool,
    bridges: BTreeMap<String, bool>,
}

impl Default for Ownership {
    fn default() -> Self {
        Self {
            default: true,
            bridges: BTreeMap::new(),
        }
    }
}

impl FromIterator<OwnershipChoice> for Ownership {
    /// Of several about one bridge the last counts.
    fn from_iter<I: IntoIterator<Item = OwnershipChoice>>(choices: I) -> Self {
        let mut ownership = Self::default();
        for OwnershipChoice { bridge, is_kept } in choices {
            match bridge {
                Some(bridge) => {
                    ownership.bridges.insert(bridge.to_string(), is_kept);
                }
                None => ownership.default = is_kept,
            }
        }
        ownership
    }
}

impl Ownership {
    /// Whether a container behind this bridge may send from its own addresses only.
    pub fn is_kept_behind(&self, bridge: &str) -> bool {
        self.bridges.get(bridge).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership(choices: &[&str]) -> Ownership {
        choices.iter().map(|choice| choice.parse().unwrap()).collect()
    }

    #[test]
    fn it_is_kept_unless_a_bridge_is_said_not_to() {
        assert!(Ownership::default().is_kept_behind("br0"));
        let some = ownership(&["br0=on", "off", "br1=on", "br1=off"]);
        assert_eq!(
            ["br0", "br1", "br2"].map(|bridge| some.is_kept_behind(bridge)),
            [true, false, false]
        );
        assert!(!ownership(&["br0=off"]).is_kept_behind("br0"));
        assert!(ownership(&["br0=off"]).is_kept_behind("br1"));
    }

    #[test]
    fn what_is_no_word_is_refused_in_words() {
        let refused = |text: &str| text.parse::<OwnershipChoice>().unwrap_err().to_string();
        assert_eq!(
            refused("br0=maybe"),
            "\"br0=maybe\" does not say whether containers are held to their own addresses; use on, off, or BRIDGE=off"
        );
        assert!(refused("").contains("own addresses") && refused("=on").contains("is not an interface name"));
    }
}
