//! Addresses in a publish spec: which can be a host's, which a container's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netmap_common::maps::{Address, Address6, Ip as _};

use super::SpecError;

/// Any address.
///
/// # Errors
///
/// No address.
pub fn parse_address(text: &str) -> Result<IpAddr, SpecError> {
    parse_ip(text)
}

/// A container's address behind `--to`.
///
/// # Errors
///
/// No address, or one that no container has.
pub fn parse_target(text: &str) -> Result<IpAddr, SpecError> {
    let address = parse_ip(text)?;
    check_target(address)?;
    Ok(address)
}

/// A source behind `--allow`: a network, or an address for itself alone. Host bits are cut off.
///
/// # Errors
///
/// No network, or an IPv4 one that is written as IPv6.
pub fn parse_source(text: &str) -> Result<IpNet, SpecError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => match text.parse::<IpNet>() {
            Ok(network) => network.trunc(),
            Err(_) => return Err(SpecError::BadNetwork(text.to_owned())),
        },
    };
    check_source(network)?;
    Ok(network)
}

/// The host's address in front of the ports, without its brackets.
pub(crate) fn parse_host(text: &str) -> Result<IpAddr, SpecError> {
    let address = parse_ip(text)?;
    check_host(address)?;
    Ok(address)
}

/// Refuses what no host has, or what is one interface's only; 0.0.0.0 and :: themselves stand for all that this host
/// has.
pub(super) fn check_host(address: IpAddr) -> Result<(), SpecError> {
    if address.is_unspecified() {
        return Ok(());
    }
    let is_host = match address {
        IpAddr::V4(address) => {
            !is_this_network(address) && !Address::from(address).is_multicast_or_reserved()
        }
        IpAddr::V6(address) => {
            check_written(address)?;
            check_scope(address)?;
            !Address6::from(address).is_multicast_or_reserved()
        }
    };
    is_host.then_some(()).ok_or(SpecError::NotAHost(address))
}

/// Refuses what no container has.
pub(super) fn check_target(address: IpAddr) -> Result<(), SpecError> {
    let (is_unspecified, is_loopback, is_group) = match address {
        IpAddr::V4(address) => {
            let number = Address::from(address);
            (
                is_this_network(address),
                number.is_loopback(),
                number.is_multicast_or_reserved(),
            )
        }
        IpAddr::V6(address) => {
            check_written(address)?;
            check_scope(address)?;
            let number = Address6::from(address);
            (
                address.is_unspecified(),
                number.is_loopback(),
                number.is_multicast_or_reserved(),
            )
        }
    };
    match (is_unspecified, is_loopback, is_group) {
        (true, ..) => Err(SpecError::Unspecified(address)),
        (_, true, _) => Err(SpecError::Loopback(address)),
        (_, _, true) => Err(SpecError::NotUnicast(address)),
        (false, false, false) => Ok(()),
    }
}

/// Refuses a network of IPv4 that is written as one of IPv6: packets have it as IPv4.
pub(super) fn check_source(network: IpNet) -> Result<(), SpecError> {
    match network {
        IpNet::V6(network) if network.prefix_len() >= 96 => check_written(network.addr()),
        _ => Ok(()),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, SpecError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // A zone (fe80::1%eth0) is no part of the address.
    match text.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => {
            Err(SpecError::LinkLocal(text.to_owned()))
        }
        _ => Err(SpecError::BadAddress(text.to_owned())),
    }
}

/// One address has one way to be written, or the same port would be published twice.
fn check_written(address: Ipv6Addr) -> Result<(), SpecError> {
    match address.to_ipv4_mapped() {
        None => Ok(()),
        Some(ipv4) => Err(SpecError::Mapped(address, ipv4)),
    }
}

fn check_scope(address: Ipv6Addr) -> Result<(), SpecError> {
    if Address6::from(address).is_link_local() {
        return Err(SpecError::LinkLocal(address.to_string()));
    }
    Ok(())
}

/// 0.0.0.0/8, a source only (RFC 1122, 3.2.1.3 a and b).
fn is_this_network(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
}
