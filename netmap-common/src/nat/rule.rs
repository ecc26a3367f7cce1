//! The published rule that an address and a port belong to: one array access, and a hash only where several addresses
//! of this host publish the same port.

use super::Rules;
use crate::maps::{Ip as _, Port, PortSlots, Protocol, Rule, RuleId, SharedKey, Slot};

/// The live rule for a packet to `host:port`, which must be an address of this host.
///
/// A rule for any address matches addresses of this host only, never transit traffic (CVE-2025-67499): the caller has
/// looked.
#[inline(always)]
pub fn published<R: Rules>(
    rules: &R,
    protocol: Protocol,
    host: R::Ip,
    port: Port,
) -> Option<(RuleId, Rule<R::Ip>)> {
    let id = match rules.slot(PortSlots::index(protocol, port)?) {
        Slot::EMPTY => return None,
        Slot::SHARED => rules.shared(&SharedKey {
            host,
            port,
            protocol: protocol.number(),
            pad: 0,
        })?,
        Slot(id) => RuleId(id),
    };
    let rule = rules.rule(id)?;
    let matches = rule.is_live() && (rule.host == R::Ip::ANY || rule.host == host);
    matches.then_some((id, rule))
}
