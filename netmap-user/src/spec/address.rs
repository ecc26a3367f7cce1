//! Addresses in a publish spec: which can be a host's, which a container's.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netmap_common::maps::Address;

use super::SpecError;

/// Any IPv4 address.
///
/// # Errors
///
/// No IPv4 address.
pub fn parse_address(text: &str) -> Result<Ipv4Addr, SpecError> {
    text.parse().map_err(|_| refuse(text))
}

/// The container's address behind `--to`.
///
/// # Errors
///
/// No IPv4 address, or one that no container has.
pub fn parse_target(text: &str) -> Result<Ipv4Addr, SpecError> {
    let address = parse_address(text)?;
    check_target(address)?;
    Ok(address)
}

/// A source behind `--allow`: a network, or an address for itself alone. Host bits are cut off.
///
/// # Errors
///
/// No IPv4 network.
pub fn parse_source(text: &str) -> Result<Ipv4Net, SpecError> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(address.into());
    }
    if let Ok(network) = text.parse::<Ipv4Net>() {
        return Ok(network.trunc());
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.parse::<Ipv6Net>().is_ok() {
        return Err(SpecError::WrongFamily(text.to_owned()));
    }
    Err(SpecError::BadNetwork(text.to_owned()))
}

/// The host's address in front of the ports.
pub(super) fn parse_host(text: &str) -> Result<Ipv4Addr, SpecError> {
    let address = parse_address(text)?;
    check_host(address)?;
    Ok(address)
}

/// Why a text that is no IPv4 address is refused.
pub(super) fn refuse(text: &str) -> SpecError {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    // A zone (fe80::1%eth0) is no part of the address.
    let unscoped = bare.split('%').next().unwrap_or_default();
    if unscoped.parse::<Ipv6Addr>().is_ok() {
        return SpecError::WrongFamily(bare.to_owned());
    }
    SpecError::BadAddress(text.to_owned())
}

/// Refuses what no host has; 0.0.0.0 itself stands for all that this host has.
pub(super) fn check_host(address: Ipv4Addr) -> Result<(), SpecError> {
    if address.is_unspecified() {
        return Ok(());
    }
    if is_this_network(address) || Address::from(address).is_multicast_or_reserved() {
        return Err(SpecError::NotAHost(address));
    }
    Ok(())
}

/// Refuses what no container has.
pub(super) fn check_target(address: Ipv4Addr) -> Result<(), SpecError> {
    let number = Address::from(address);
    if is_this_network(address) {
        return Err(SpecError::Unspecified(address));
    }
    if number.is_loopback() {
        return Err(SpecError::Loopback(address));
    }
    if number.is_multicast_or_reserved() {
        return Err(SpecError::NotUnicast(address));
    }
    Ok(())
}

/// 0.0.0.0/8, a source only (RFC 1122, 3.2.1.3 a and b).
fn is_this_network(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
}
