//! Which bridges' containers keep their ports towards everybody (`netmap run --nat`).

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;

use crate::options::{InterfaceName, OptionError};

/// How ports of containers become ports of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// A port for each destination, and only who was asked may answer (endpoint-dependent).
    #[default]
    PerDestination,
    /// One port towards everybody, and everybody may send to it (endpoint-independent, RFC 4787, 4.1 and 5).
    ForAll,
}

impl FromStr for Mapping {
    type Err = OptionError;

    fn from_str(word: &str) -> Result<Self, OptionError> {
        match word {
            "edm" => Ok(Self::PerDestination),
            "eim" => Ok(Self::ForAll),
            _ => Err(OptionError::UnknownMapping(word.to_owned())),
        }
    }
}

/// The mapping of one bridge, or of all that have none of their own: `br0=eim`, `eim`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MappingChoice {
    /// The bridge; none for all that have none of their own.
    pub bridge: Option<InterfaceName>,
    /// Its mapping.
    pub mapping: Mapping,
}

impl fmt::Display for MappingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapping = match self.mapping {
            Mapping::PerDestination => "edm",
            Mapping::ForAll => "eim",
        };
        match &self.bridge {
            Some(bridge) => write!(f, "{bridge}={mapping}"),
            None => f.write_str(mapping),
        }
    }
}

impl FromStr for MappingChoice {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let Some((bridge, mapping)) = text.split_once('=') else {
            return Ok(Self {
                bridge: None,
                mapping: text.parse()?,
            });
        };
        Ok(Self {
            bridge: Some(bridge.parse()?),
            mapping: mapping.parse()?,
        })
    }
}

impl TryFrom<String> for MappingChoice {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
}

/// The mappings of all bridges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    default: Mapping,
    bridges: BTreeMap<String, Mapping>,
}

impl FromIterator<MappingChoice> for Mappings {
    /// Of several for one bridge the last counts.
    fn from_iter<I: IntoIterator<Item = MappingChoice>>(choices: I) -> Self {
        let mut mappings = Self::default();
        for MappingChoice { bridge, mapping } in choices {
            match bridge {
                Some(bridge) => {
                    mappings.bridges.insert(bridge.to_string(), mapping);
                }
                None => mappings.default = mapping,
            }
        }
        mappings
    }
}

impl Mappings {
    /// The mapping of a bridge.
    pub fn of(&self, bridge: &str) -> Mapping {
        self.bridges.get(bridge).copied().unwrap_or(self.default)
    }

    /// Whether a bridge may have ports that are one towards everybody.
    pub fn has_any_for_all(&self) -> bool {
        self.default == Mapping::ForAll || self.bridges.values().any(|mapping| *mapping == Mapping::ForAll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(choices: &[&str]) -> Mappings {
        choices.iter().map(|choice| choice.parse().unwrap()).collect()
    }

    #[test]
    fn a_bridges_own_mapping_goes_before_the_others() {
        let chosen = mappings(&["br0=edm", "eim", "br1=eim", "br1=edm"]);
        assert_eq!(
            ["br0", "br1", "br2"].map(|bridge| chosen.of(bridge)),
            [Mapping::PerDestination, Mapping::PerDestination, Mapping::ForAll]
        );
        assert_eq!(Mappings::default().of("br0"), Mapping::PerDestination);
    }

    #[test]
    fn ports_for_all_are_known_to_be_wanted_somewhere() {
        assert!(!mappings(&["edm", "br0=edm"]).has_any_for_all());
        assert!(mappings(&["br0=eim"]).has_any_for_all());
        assert!(mappings(&["eim", "br0=edm"]).has_any_for_all());
    }

    #[test]
    fn what_is_no_mapping_is_refused_in_words() {
        let refused = |text: &str| text.parse::<MappingChoice>().unwrap_err().to_string();
        assert_eq!(
            refused("cone"),
            "\"cone\" is no way to map ports; use eim (one port towards everybody) or edm (one for each destination)"
        );
        assert!(refused("br0=").starts_with("\"\" is no way to map ports"));
        assert!(refused("a b=eim").contains("is not an interface name"));
    }
}
