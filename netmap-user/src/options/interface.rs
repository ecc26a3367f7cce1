//! Names of network interfaces.

use serde::Deserialize;

use super::OptionError;

/// The name of a network interface, one that the kernel would take (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for InterfaceName {
    type Err = OptionError;

    fn from_str(name: &str) -> Result<Self, OptionError> {
        let valid = (1..=15).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if !valid {
            return Err(OptionError::BadInterface(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = OptionError;

    fn try_from(name: String) -> Result<Self, OptionError> {
        name.parse()
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_not_take_are_refused() {
        assert_eq!(
            "br-0123456789ab".parse::<InterfaceName>().unwrap().as_str(),
            "br-0123456789ab"
        );
        for name in ["", "sixteen-letters-", "a/b", "a b", "eth0:1", ".", ".."] {
            assert_eq!(
                name.parse::<InterfaceName>(),
                Err(OptionError::BadInterface(name.into()))
            );
        }
    }
}
