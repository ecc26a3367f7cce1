//! Native XDP (`netmap run --xdp`).

use std::fmt;

use super::OptionError;

/// Whether uplinks run native XDP before TC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Where it can gain something: at network cards whose drivers have it.
    #[default]
    Auto,
    /// Everywhere, or netmap does not start.
    Native,
    /// Never.
    Off,
}

impl std::str::FromStr for XdpMode {
    type Err = OptionError;

    fn from_str(mode: &str) -> Result<Self, OptionError> {
        match mode {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            "native" => Ok(Self::Native),
            _ => Err(OptionError::UnknownXdp(mode.to_owned())),
        }
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_xdp_is_no_mode() {
        assert_eq!("auto".parse(), Ok(XdpMode::Auto));
        assert_eq!("native".parse(), Ok(XdpMode::Native));
        assert_eq!("off".parse(), Ok(XdpMode::Off));
        assert_eq!(
            "generic".parse::<XdpMode>(),
            Err(OptionError::UnknownXdp("generic".into()))
        );
    }
}
