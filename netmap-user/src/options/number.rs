//! Numbers that have bounds, reasons by their name, and where metrics are served.

use std::net::SocketAddr;

use netmap_common::maps::Reason;

use super::{MAX_FLOW_ENTRIES, MIN_FLOW_ENTRIES, OptionError};
use crate::api::events;

/// A number of flow entries.
///
/// # Errors
///
/// No number from [`MIN_FLOW_ENTRIES`] to [`MAX_FLOW_ENTRIES`].
pub fn parse_flow_entries(text: &str) -> Result<u32, OptionError> {
    text.parse()
        .ok()
        .filter(|entries| (MIN_FLOW_ENTRIES..=MAX_FLOW_ENTRIES).contains(entries))
        .ok_or_else(|| OptionError::BadFlowEntries(text.to_owned()))
}

/// A reason by its name.
///
/// # Errors
///
/// There is none of that name, or packets with it are not told.
pub fn parse_reason(text: &str) -> Result<Reason, OptionError> {
    events::reason(text)
        .filter(|reason| events::is_told(*reason))
        .ok_or_else(|| OptionError::UnknownReason(text.to_owned()))
}

/// Where metrics are served.
///
/// # Errors
///
/// No address with a port, or port 0, which nobody would find.
pub fn parse_metrics(text: &str) -> Result<SocketAddr, OptionError> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| OptionError::BadMetrics(text.to_owned()))
}

/// The number of a mark's bit.
///
/// # Errors
///
/// No number from 0 to 31.
pub fn parse_mark_bit(text: &str) -> Result<u8, OptionError> {
    text.parse()
        .ok()
        .filter(|bit| *bit < 32)
        .ok_or_else(|| OptionError::BadMarkBit(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(parse_flow_entries("262144"), Ok(262_144));
        assert!(parse_flow_entries("63").is_err());
        assert!(parse_flow_entries("16777217").is_err());
        assert_eq!(parse_mark_bit("31"), Ok(31));
        assert_eq!(parse_mark_bit("32"), Err(OptionError::BadMarkBit("32".into())));
    }
}
