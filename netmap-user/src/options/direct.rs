//! Who may go straight to containers (`netmap run --direct`, `--trusted`).

use std::fmt;

use serde::Deserialize;

use super::{InterfaceName, OptionError};

/// Who outside may go straight to containers' own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// In the order given: the last one that is about a bridge counts.
    pub rules: Vec<DirectRule>,
    /// Uplinks that bridges may trust.
    pub trusted: Vec<InterfaceName>,
}

impl Direct {
    /// Who may go to containers of this bridge.
    pub fn mode_of(&self, bridge: &str) -> DirectMode {
        self.said_of(bridge).unwrap_or_default()
    }

    /// The same, if anything was said of it.
    pub fn said_of(&self, bridge: &str) -> Option<DirectMode> {
        let is_about = |rule: &&DirectRule| rule.bridge.as_ref().is_none_or(|name| name.as_str() == bridge);
        self.rules.iter().rev().find(is_about).map(|rule| rule.mode)
    }

    /// Whether bridges may trust this uplink.
    pub fn trusts(&self, uplink: &str) -> bool {
        self.trusted.iter().any(|name| name.as_str() == uplink)
    }
}

/// Who outside may go straight to the containers of one bridge, or of all, as in `br0=allow`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DirectRule {
    /// The bridge; none for all.
    pub bridge: Option<InterfaceName>,
    /// Who.
    pub mode: DirectMode,
}

/// Who outside may go straight to containers, the fewest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectMode {
    /// Nobody.
    #[default]
    Deny,
    /// Who comes by a trusted uplink.
    Trusted,
    /// Everybody.
    Allow,
}

impl DirectMode {
    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Trusted => "trusted",
            Self::Allow => "allow",
        }
    }
}

impl std::str::FromStr for DirectRule {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (bridge, mode) = match text.split_once('=') {
            Some((bridge, mode)) => (Some(bridge.parse()?), mode),
            None => (None, text),
        };
        let mode = match mode {
            "deny" => DirectMode::Deny,
            "trusted" => DirectMode::Trusted,
            "allow" => DirectMode::Allow,
            _ => return Err(OptionError::BadDirect(text.to_owned())),
        };
        Ok(Self { bridge, mode })
    }
}

impl TryFrom<String> for DirectRule {
    type Error = OptionError;

    fn try_from(text: String) -> Result<Self, OptionError> {
        text.parse()
    }
}

impl fmt::Display for DirectRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode.name();
        match &self.bridge {
            Some(bridge) => write!(f, "{bridge}={mode}"),
            None => f.write_str(mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_about_a_bridge_counts() {
        let direct = Direct {
            rules: ["br0=deny", "trusted", "br1=allow"]
                .map(|text| text.parse().unwrap())
                .into(),
            trusted: vec!["eth0".parse().unwrap()],
        };
        let modes = ["br0", "br1", "br2"].map(|bridge| direct.mode_of(bridge));
        assert_eq!(
            modes,
            [DirectMode::Trusted, DirectMode::Allow, DirectMode::Trusted]
        );
        assert!(direct.trusts("eth0") && !direct.trusts("eth1"));
        assert_eq!(Direct::default().mode_of("br0"), DirectMode::Deny);
        assert!("br0=perhaps".parse::<DirectRule>().is_err() && "=allow".parse::<DirectRule>().is_err());
    }
}
