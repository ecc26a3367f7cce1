//! How a user writes what to publish: `[HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp]`, and its refusals.
//!
//! Parsed once, here; everything behind it holds [`Published`] and [`Binding`].

mod address;
mod error;

use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

pub use address::{parse_address, parse_source, parse_target};
pub use error::SpecError;

use crate::binding::{Binding, PortSpan, PortSpanError, Published, Transport};

/// What `netmap publish` is given before `--to`: a binding without its container's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// Where clients connect to.
    pub published: Published,
    /// The container's ports, as many as are published.
    pub target_ports: PortSpan,
}

impl PublishSpec {
    /// The binding to the container at `target`, open for the sources in `allow`, or for all when there are none.
    ///
    /// # Errors
    ///
    /// What [`check`] refuses.
    pub fn bind(self, target: Ipv4Addr, allow: Vec<ipnet::Ipv4Net>) -> Result<Binding, SpecError> {
        let binding = Binding {
            published: self.published,
            target: target.into(),
            target_ports: self.target_ports,
            allow: allow.into_iter().map(Into::into).collect(),
        };
        check(&binding)?;
        Ok(binding)
    }
}

/// Whether a binding means something, wherever it came from (the API's JSON has no parser of its own).
///
/// # Errors
///
/// Ranges of different length, an address that is no host's or no container's.
pub fn check(binding: &Binding) -> Result<(), SpecError> {
    check_published(&binding.published)?;
    same_length(binding.published.ports, binding.target_ports)?;
    address::check_target(of_ipv4(binding.target)?)
}

/// Whether the published side of a binding means something.
///
/// # Errors
///
/// A host address that no host can have.
pub fn check_published(published: &Published) -> Result<(), SpecError> {
    address::check_host(of_ipv4(published.host)?)
}

fn of_ipv4(address: IpAddr) -> Result<Ipv4Addr, SpecError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(SpecError::WrongFamily(address.to_string())),
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
        let published = Published {
            host: host.into(),
            ports: parse_span(published)?,
            transport,
        };
        let target_ports = parse_span(target)?;
        same_length(published.ports, target_ports)?;
        Ok(Self {
            published,
            target_ports,
        })
    }
}

impl FromStr for Published {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        // The whole of what was published is no address by mistake: say what is too much in it.
        if let Ok(whole) = spec.parse::<PublishSpec>() {
            return Err(SpecError::ContainerSide(spec.to_owned(), whole.published));
        }
        let (ports, transport) = split_transport(spec)?;
        let (host, ports) = split_host(ports, 1)?;
        Ok(Self {
            host: host.into(),
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
fn split_host(spec: &str, fields: usize) -> Result<(Ipv4Addr, &str), SpecError> {
    if let Some(bracketed) = spec.strip_prefix('[') {
        let address = bracketed.split(']').next().unwrap_or_default();
        return Err(address::refuse(address));
    }
    let colons = spec.matches(':').count();
    if colons < fields {
        return Ok((Ipv4Addr::UNSPECIFIED, spec));
    }
    // From the right, because an IPv6 address (refused, but by its name) has colons of its own.
    let start = spec.rmatch_indices(':').nth(fields - 1).map_or(0, |(at, _)| at);
    let (host, ports) = spec.split_at(start);
    let host = address::parse_host(host)?;
    Ok((host, ports.get(1..).unwrap_or_default()))
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
