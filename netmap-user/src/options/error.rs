//! Why an option's value is refused.

use netmap_common::nat::LifetimeClass;

use super::{MAX_FLOW_ENTRIES, MAX_TIMEOUT, MIN_FLOW_ENTRIES};

/// An option's value that is refused, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No mode at all.
    #[error("{0:?} is not an XDP mode; use auto, native or off")]
    UnknownXdp(String),
    /// No name that the kernel would take.
    #[error("{0:?} is not an interface name; names have 1 to 15 characters without slash, colon and space")]
    BadInterface(String),
    /// Nothing that packets are dropped or left for.
    #[error(
        "{0:?} is no reason that packets are dropped or left to the host for; `netmap stats --all` names those"
    )]
    UnknownReason(String),
    /// Too many, too few, or no number.
    #[error("{0:?} is not a number of flow entries; give {MIN_FLOW_ENTRIES} to {MAX_FLOW_ENTRIES}")]
    BadFlowEntries(String),
    /// Nobody, everybody, or trusted ones.
    #[error(
        "{0:?} does not say who may go straight to containers; use deny, allow, trusted, or BRIDGE=allow"
    )]
    BadDirect(String),
    /// Neither an interface nor an address.
    #[error("{0:?} is no place to publish on; give an uplink, an address or a subnet of this host")]
    BadOutlet(String),
    /// Neither on nor off.
    #[error(
        "{0:?} does not say whether containers are held to their own addresses; use on, off, or BRIDGE=off"
    )]
    BadOwnership(String),
    /// No class of flows.
    #[error(
        "{0:?} is no kind of flow; use {kinds}",
        kinds = LifetimeClass::ALL.map(LifetimeClass::name).join(", ")
    )]
    UnknownTimeout(String),
    /// No number of seconds.
    #[error(
        "{0:?} is not a timeout; give a kind of flow and seconds up to {MAX_TIMEOUT}, as in udp-answered=300"
    )]
    BadTimeout(String),
    /// Too short.
    #[error("{name} may not be {given}: at least {least} seconds ({why})")]
    ShortTimeout {
        /// Of these flows.
        name: &'static str,
        /// What was asked for.
        given: u32,
        /// What would be taken.
        least: u32,
        /// Who says so.
        why: &'static str,
    },
    /// No way to map ports.
    #[error(
        "{0:?} is no way to map ports; use eim (one port towards everybody) or edm (one for each destination)"
    )]
    UnknownMapping(String),
    /// No address, or one that nobody outside could answer.
    #[error(
        "{0:?} is no address to leave by; give one of this host that others can answer, as in 192.0.2.7 or br0=2001:db8::7"
    )]
    BadEgress(String),
    /// No address with a port.
    #[error(
        "{0:?} is no place to serve metrics at; give an address and a port, as in 127.0.0.1:9469 or [::1]:9469"
    )]
    BadMetrics(String),
    /// Nothing that a filter of log lines could be made of.
    #[error(
        "{0:?} does not say how much to log; use off, error, warn, info, debug, trace, or MODULE=LEVEL, as in \
         netmap_user::host=debug"
    )]
    BadLogLevel(String),
    /// No way to write them.
    #[error("{0:?} is no way to write logs; use text, json or journald")]
    BadLogFormat(String),
    /// No bit of 32.
    #[error("{0:?} is not a bit of the packet mark; give 0 to 31")]
    BadMarkBit(String),
}
