//! A network of the engine as netmap carries it: a bridge, and what may cross it.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr as _};

use super::{model::ModelError, types};
use crate::options::InterfaceName;

/// A network whose driver is `bridge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The host's interface. It may not be there (yet).
    pub interface: InterfaceName,
    /// As users call the network.
    pub network: String,
    /// Containers do not reach the outside, nor containers of other networks.
    pub internal: bool,
    /// Uplinks by which everybody may go straight to containers (`trusted_host_interfaces`, 28.2 and later).
    pub trusted: Vec<InterfaceName>,
    /// How its IPv4 addresses are seen from outside.
    pub v4: Gateway,
    /// The same of IPv6.
    pub v6: Gateway,
}

/// How one family's addresses are seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// What leaves takes an address of this host.
    pub masquerades: bool,
    /// Who outside may go straight to containers.
    pub mode: GatewayMode,
    /// The addresses that what leaves takes; none for the uplink's own. An engine has one at most
    /// (`com.docker.network.host_ipv4`).
    pub addresses: Vec<IpAddr>,
}

/// The bridge driver's gateway mode (27.0 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayMode {
    /// Nobody.
    #[default]
    Nat,
    /// Everybody, to every port.
    NatUnprotected,
    /// Everybody, to published ports; nothing is translated.
    Routed,
    /// The host has no address on the bridge.
    Isolated,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            masquerades: true,
            mode: GatewayMode::Nat,
            addresses: Vec::new(),
        }
    }
}

/// The bridge driver's options.
const PREFIX: &str = "com.docker.network.";

impl Bridge {
    /// The bridge of a network, if it has one on this host.
    ///
    /// # Errors
    ///
    /// An option says what no engine would have taken.
    pub(super) fn of(network: &types::Network) -> Result<Option<Self>, ModelError> {
        if network.driver != "bridge" {
            return Ok(None);
        }
        let options = Options {
            network: &network.name,
            options: &network.options,
        };
        let interface = match options.get("bridge.name") {
            Some(name) => options.interface("bridge.name", name)?,
            None => options.interface(
                "id",
                &format!("br-{}", network.id.get(..12).unwrap_or(&network.id)),
            )?,
        };
        // An engine that is told to leave the packet filter alone says of its default bridge that it does not masquerade,
        // whatever it was told of that.
        let is_default = options.is("bridge.default_bridge", false)?;
        let masquerades = is_default || options.is("bridge.enable_ip_masquerade", true)?;
        Ok(Some(Self {
            interface,
            network: network.name.clone(),
            internal: network.internal,
            trusted: options.interfaces("bridge.trusted_host_interfaces")?,
            v4: options.gateway("bridge.gateway_mode_ipv4", "host_ipv4", masquerades)?,
            v6: options.gateway("bridge.gateway_mode_ipv6", "host_ipv6", masquerades)?,
        }))
    }
}

struct Options<'network> {
    network: &'network str,
    options: &'network BTreeMap<String, String>,
}

impl Options<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.options.get(&format!("{PREFIX}{name}"))?;
        (!value.is_empty()).then_some(value)
    }

    /// As Go's `strconv.ParseBool` has it.
    fn is(&self, name: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(name) {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(value) => Err(self.bad(name, value)),
        }
    }

    fn gateway(&self, mode: &str, address: &str, masquerades: bool) -> Result<Gateway, ModelError> {
        let gateway_mode = match self.get(mode) {
            None | Some("nat") => GatewayMode::Nat,
            Some("nat-unprotected") => GatewayMode::NatUnprotected,
            Some("routed") => GatewayMode::Routed,
            Some("isolated") => GatewayMode::Isolated,
            Some(value) => return Err(self.bad(mode, value)),
        };
        let is_right = |found: &IpAddr| {
            found.is_ipv4() == mode.ends_with('4') && !found.is_loopback() && !found.is_unspecified()
        };
        let parse = |value: &str| {
            let found = IpAddr::from_str(value).ok().filter(is_right);
            found.ok_or_else(|| self.bad(address, value))
        };
        Ok(Gateway {
            masquerades: masquerades && gateway_mode != GatewayMode::Routed,
            mode: gateway_mode,
            addresses: self.get(address).map(parse).transpose()?.into_iter().collect(),
        })
    }

    /// Names between colons.
    fn interfaces(&self, name: &str) -> Result<Vec<InterfaceName>, ModelError> {
        let names = self.get(name).unwrap_or_default().split(':');
        names
            .filter(|interface| !interface.is_empty())
            .map(|interface| self.interface(name, interface))
            .collect()
    }

    fn interface(&self, name: &str, value: &str) -> Result<InterfaceName, ModelError> {
        value.parse().map_err(|_| self.bad(name, value))
    }

    fn bad(&self, name: &str, value: &str) -> ModelError {
        ModelError::Option {
            network: self.network.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(json: &str) -> Result<Option<Bridge>, ModelError> {
        Bridge::of(&serde_json::from_str(json).unwrap())
    }

    const ID: &str = "0123456789abcdef";

    fn with_options(options: &str) -> Result<Bridge, String> {
        let json = format!(r#"{{"Id":"{ID}","Name":"web","Driver":"bridge","Options":{{{options}}}}}"#);
        bridge(&json)
            .map(Option::unwrap)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_without_options_has_a_bridge_named_after_its_number() {
        let network = with_options("").unwrap();
        assert_eq!(network.interface.as_str(), "br-0123456789ab");
        assert_eq!((network.v4, network.v6), (Gateway::default(), Gateway::default()));
        assert!(!network.internal && network.trusted.is_empty());
        for driver in ["host", "null", "macvlan", "overlay", ""] {
            let json = format!(r#"{{"Id":"{ID}","Name":"x","Driver":"{driver}"}}"#);
            assert_eq!(bridge(&json), Ok(None));
        }
    }

    #[test]
    fn every_option_counts() {
        let network = with_options(concat!(
            r#""com.docker.network.bridge.name":"br-web","com.docker.network.bridge.enable_ip_masquerade":"false","#,
            r#""com.docker.network.bridge.gateway_mode_ipv4":"nat-unprotected","com.docker.network.bridge.gateway_mode_ipv6":"routed","#,
            r#""com.docker.network.host_ipv4":"192.0.2.7","com.docker.network.bridge.trusted_host_interfaces":"eth1:wg0","#,
            r#""com.docker.network.bridge.enable_icc":"false","com.docker.network.driver.mtu":"1400""#
        ))
        .unwrap();
        assert_eq!(network.interface.as_str(), "br-web");
        assert_eq!(
            network.v4,
            Gateway {
                masquerades: false,
                mode: GatewayMode::NatUnprotected,
                addresses: vec!["192.0.2.7".parse().unwrap()]
            }
        );
        assert_eq!(network.v6.mode, GatewayMode::Routed);
        let trusted: Vec<_> = network.trusted.iter().map(InterfaceName::as_str).collect();
        assert_eq!(trusted, ["eth1", "wg0"]);
        let routed = with_options(r#""com.docker.network.bridge.gateway_mode_ipv4":"routed""#).unwrap();
        assert!(!routed.v4.masquerades && routed.v6.masquerades);
    }

    #[test]
    fn the_default_bridge_is_masqueraded_where_the_engine_leaves_the_filter_alone() {
        let network = with_options(concat!(
            r#""com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_ip_masquerade":"false","#,
            r#""com.docker.network.bridge.name":"docker0""#
        ))
        .unwrap();
        assert!(network.v4.masquerades && network.v6.masquerades);
        assert_eq!(network.interface.as_str(), "docker0");
    }

    #[test]
    fn what_no_engine_would_have_taken_is_named() {
        for (option, value) in [
            ("bridge.name", "a/b"),
            ("bridge.name", "sixteen-letters-"),
            ("bridge.enable_ip_masquerade", "perhaps"),
            ("bridge.gateway_mode_ipv4", "bogus"),
            ("host_ipv4", "192.0.2"),
            ("host_ipv4", "2001:db8::1"),
            ("host_ipv6", "::1"),
            ("bridge.trusted_host_interfaces", "eth0:a b"),
        ] {
            let error = with_options(&format!(r#""com.docker.network.{option}":"{value}""#)).unwrap_err();
            assert!(error.contains("\"web\"") && error.contains(option), "{error}");
        }
        let id = format!("x{}", "ö".repeat(40));
        let long = format!(r#"{{"Id":"{id}","Name":"x","Driver":"bridge"}}"#);
        assert!(bridge(&long).is_err());
    }
}
