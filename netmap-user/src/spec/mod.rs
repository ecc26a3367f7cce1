//! How a user writes what to publish: `[HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp]`, and its refusals. An IPv6 address
//! stands in brackets.
//!
//! Parsed once, here; everything behind it holds [`HostPorts`] and [`Binding`]s.

mod address;
mod error;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

pub(crate) use address::parse_host;
pub use address::{parse_address, parse_source, parse_target};
pub use error::SpecError;
use ipnet::IpNet;

use crate::binding::{Binding, HostPorts, PortSpan, PortSpanError, Transport, nobody};

/// What `netmap publish` is given before `--to`: bindings without their container's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// Where clients connect to.
    pub host_ports: HostPorts,
    /// The container's ports, as many as are published.
    pub target_ports: PortSpan,
}

impl PublishSpec {
    /// The bindings to the container at `targets`, at most one address of each family, open for the sources in
    /// `allow`, or for all when there are none.
    ///
    /// Without a host address it is published on every address of both families: each leads to the container's address
    /// of its own family, and IPv6 to an IPv4 address if there is no other. Sources go to the binding of their family,
    /// and a binding for which none is left admits nobody.
    ///
    /// # Errors
    ///
    /// What [`check`] refuses; addresses or sources that nothing would use.
    pub fn bind(self, targets: &[IpAddr], allow: &[IpNet]) -> Result<Vec<Binding>, SpecError> {
        let ipv4 = only(targets.iter().copied().filter(IpAddr::is_ipv4))?;
        let ipv6 = only(targets.iter().copied().filter(IpAddr::is_ipv6))?;
        let pairs = match (self.host_ports.host, ipv4, ipv6) {
            (_, None, None) => return Err(SpecError::NoTarget),
            (Some(host @ IpAddr::V4(_)), _, Some(target)) => {
                return Err(SpecError::OtherFamily { host, target });
            }
            (Some(host), Some(target), Some(used)) => return Err(SpecError::Unused { host, target, used }),
            (Some(host), Some(target), None) | (Some(host), None, Some(target)) => vec![(host, target)],
            (None, None, Some(target)) => vec![(Ipv6Addr::UNSPECIFIED.into(), target)],
            (None, Some(target), ipv6) => vec![
                (Ipv4Addr::UNSPECIFIED.into(), target),
                (Ipv6Addr::UNSPECIFIED.into(), ipv6.unwrap_or(target)),
            ],
        };
        let admits_some = |host: IpAddr| allow.iter().any(|source| is_of(*source, host));
        if let Some(source) = allow.first()
            && !pairs.iter().any(|(host, _)| admits_some(*host))
        {
            return Err(SpecError::SourceFamily {
                source_net: *source,
                published: self.host_ports,
            });
        }
        pairs
            .into_iter()
            .map(|(host, target)| {
                let mut own: Vec<IpNet> = allow.iter().copied().filter(|net| is_of(*net, host)).collect();
                if own.is_empty() && !allow.is_empty() {
                    own.push(nobody(host));
                }
                let binding = Binding {
                    published: self.host_ports.on(host),
                    target,
                    target_ports: self.target_ports,
                    allow: own,
                };
                check(&binding).map(|()| binding)
            })
            .collect()
    }
}

/// Whether a binding means something, wherever it came from (the API's JSON has no parser of its own).
///
/// # Errors
///
/// Ranges of different length, an address that is no host's or no container's, families that do not go together.
pub fn check(binding: &Binding) -> Result<(), SpecError> {
    let host = binding.published.host;
    address::check_host(host)?;
    same_length(binding.published.ports, binding.target_ports)?;
    address::check_target(binding.target)?;
    if host.is_ipv4() && binding.target.is_ipv6() {
        return Err(SpecError::OtherFamily {
            host,
            target: binding.target,
        });
    }
    for source in &binding.allow {
        address::check_source(*source)?;
        if !is_of(*source, host) {
            return Err(SpecError::SourceFamily {
                source_net: *source,
                published: binding.published.into(),
            });
        }
    }
    Ok(())
}

/// Whether the published side of a binding means something.
///
/// # Errors
///
/// A host address that no host can have.
pub fn check_host_ports(host_ports: &HostPorts) -> Result<(), SpecError> {
    host_ports.host.map_or(Ok(()), address::check_host)
}

/// Whether a source is of the family of a host's address.
const fn is_of(source: IpNet, host: IpAddr) -> bool {
    matches!(
        (source, host),
        (IpNet::V4(_), IpAddr::V4(_)) | (IpNet::V6(_), IpAddr::V6(_))
    )
}

/// The one address of a family, if there is one.
fn only(mut targets: impl Iterator<Item = IpAddr>) -> Result<Option<IpAddr>, SpecError> {
    match (targets.next(), targets.next()) {
        (Some(first), Some(second)) => Err(SpecError::TwoTargets(first, second)),
        (first, _) => Ok(first),
    }
}

impl FromStr for PublishSpec {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        let (ports, transport) = split_transport(spec)?;
        let (host, ports) = split_host(ports, 2)?;
        let Some((published, target)) = ports.split_once(':') else {
            return Err(SpecError::NoContainerPort(spec.to_owned()));
        };
        let host_ports = HostPorts {
            host,
            ports: parse_span(published)?,
            transport,
        };
        let target_ports = parse_span(target)?;
        same_length(host_ports.ports, target_ports)?;
        Ok(Self {
            host_ports,
            target_ports,
        })
    }
}

impl FromStr for HostPorts {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        // The whole of what was published is no address by mistake: say what is too much in it.
        if let Ok(whole) = spec.parse::<PublishSpec>() {
            return Err(SpecError::ContainerSide(spec.to_owned(), whole.host_ports));
        }
        let (ports, transport) = split_transport(spec)?;
        let (host, ports) = split_host(ports, 1)?;
        Ok(Self {
            host,
            ports: parse_span(ports)?,
            transport,
        })
    }
}

/// Cuts `/tcp` or `/udp` off; TCP without it.
fn split_transport(spec: &str) -> Result<(&str, Transport), SpecError> {
    let Some((ports, name)) = spec.split_once('/') else {
        return Ok((spec, Transport::Tcp));
    };
    let transport = [Transport::Tcp, Transport::Udp]
        .into_iter()
        .find(|transport| transport.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| SpecError::UnknownProtocol(name.to_owned()))?;
    Ok((ports, transport))
}

/// Cuts the host address off, leaving `fields` fields that colons separate.
fn split_host(spec: &str, fields: usize) -> Result<(Option<IpAddr>, &str), SpecError> {
    if let Some(bracketed) = spec.strip_prefix('[') {
        let Some((host, ports)) = bracketed.split_once(']') else {
            return Err(SpecError::BadAddress(spec.to_owned()));
        };
        let host = parse_host(host)?;
        return match ports.strip_prefix(':') {
            Some(ports) if host.is_ipv6() => Ok((Some(host), ports)),
            _ => Err(SpecError::BadAddress(spec.to_owned())),
        };
    }
    let colons = spec.matches(':').count();
    if colons < fields {
        return Ok((None, spec));
    }
    // From the right, because an IPv6 address (refused, but by its name) has colons of its own.
    let start = spec.rmatch_indices(':').nth(fields - 1).map_or(0, |(at, _)| at);
    let (host, ports) = spec.split_at(start);
    if let Ok(host) = host.parse::<Ipv6Addr>() {
        return Err(SpecError::Unbracketed(host));
    }
    let host = parse_host(host)?;
    Ok((Some(host), ports.get(1..).unwrap_or_default()))
}

fn parse_span(text: &str) -> Result<PortSpan, SpecError> {
    let (first, last) = match text.split_once('-') {
        None => {
            let port = parse_port(text)?;
            (port, port)
        }
        Some((first, last)) if first.is_empty() || last.is_empty() => {
            return Err(SpecError::OpenRange(text.to_owned()));
        }
        Some((first, last)) => (parse_port(first)?, parse_port(last)?),
    };
    PortSpan::new(first, last).map_err(|error| match error {
        PortSpanError::Zero => SpecError::PortOutOfRange("0".to_owned()),
        PortSpanError::Reversed(first, last) => SpecError::ReversedRange(first, last),
    })
}

fn parse_port(text: &str) -> Result<u16, SpecError> {
    if text.is_empty() {
        return Err(SpecError::NoPort);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SpecError::NotAPort(text.to_owned()));
    }
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(SpecError::PortOutOfRange(text.to_owned())),
    }
}

fn same_length(published: PortSpan, target: PortSpan) -> Result<(), SpecError> {
    if published.len() == target.len() {
        return Ok(());
    }
    Err(SpecError::DifferentLength { published, target })
}

#[cfg(test)]
mod tests;
