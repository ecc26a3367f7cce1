//! When to ask the kernel to resolve which neighbour.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
    time::Duration,
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};
use netmap_common::maps::IfIndex;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use tokio::time::Instant;

use super::place::Ask;

/// Wait after the first question. The kernel itself asks three times in three seconds before it gives up.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between questions.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Questions in a row, and the pause after so many: the kernel's table of unresolved neighbours is small.
const BURST: usize = 128;
/// See [`BURST`].
const PAUSE: Duration = Duration::from_millis(20);

/// Questions that are open, and when each is asked next.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    pending: BTreeMap<IpAddr, Pending>,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    ask: Ask,
    due: Instant,
    wait: Duration,
}

impl Resolver {
    /// Takes `asks` as what is to be found out from now on.
    pub(super) fn follow(&mut self, asks: &BTreeMap<IpAddr, Ask>, now: Instant) {
        self.pending.retain(|address, _| asks.contains_key(address));
        for (address, ask) in asks {
            match self.pending.entry(*address) {
                Entry::Vacant(entry) => {
                    // What is known needs no hurry: it is confirmed once in a while.
                    let due = if ask.known { now + LONGEST_WAIT } else { now };
                    entry.insert(Pending {
                        ask: *ask,
                        due,
                        wait: FIRST_WAIT,
                    });
                }
                Entry::Occupied(mut entry) => {
                    let pending = entry.get_mut();
                    if pending.ask.bridge != ask.bridge || (pending.ask.known && !ask.known) {
                        pending.due = now;
                        pending.wait = FIRST_WAIT;
                    }
                    pending.ask = *ask;
                }
            }
        }
    }

    /// Something happened behind `bridge`: what was not found there may be there now. Gives what had been asked for in vain:
    /// while the kernel waits for an answer it does not ask anew, for a second, unless it forgets first ([`forget`]).
    pub(super) fn hurry(&mut self, bridge: IfIndex, now: Instant) -> Vec<(IpAddr, Ask)> {
        let mut in_vain = Vec::new();
        for (address, pending) in &mut self.pending {
            if pending.ask.bridge == bridge && !pending.ask.known {
                // Who has been asked waits for twice as long the next time.
                if pending.wait > FIRST_WAIT {
                    in_vain.push((*address, pending.ask));
                }
                pending.due = now;
                pending.wait = FIRST_WAIT;
            }
        }
        in_vain
    }

    /// When [`Self::due`] has something next.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.pending.values().map(|pending| pending.due).min()?;
        Some(self.not_before.map_or(due, |pause| due.max(pause)))
    }

    /// What is to be asked now. It counts as asked.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(IpAddr, Ask)> {
        if self.not_before.is_some_and(|pause| now < pause) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (address, pending) in &mut self.pending {
            if pending.due > now {
                continue;
            }
            if due.len() == BURST {
                self.not_before = Some(now + PAUSE);
                break;
            }
            due.push((*address, pending.ask));
            pending.due = now + pending.wait;
            pending.wait = LONGEST_WAIT.min(pending.wait * 2);
        }
        due
    }
}

/// The message that makes the kernel resolve `address`: what `ip neigh replace ADDRESS dev BRIDGE use` sends, or
/// `... lladdr MAC nud probe` to verify a link-layer address. It is acknowledged, although nobody reads that: the
/// connection sends one message whenever it is woken, so that without it of many questions all but one would wait.
pub(super) fn question(address: IpAddr, ask: &Ask) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut neighbour = neighbour(address, ask);
    match ask.verify {
        None => neighbour.header.flags = NeighbourFlags::Use,
        Some(mac) => {
            neighbour.header.state = NeighbourState::Probe;
            let mac = NeighbourAttribute::LinkLayerAddress(mac.0.to_vec());
            neighbour.attributes.push(mac);
        }
    }
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(neighbour));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message
}

/// The message that ends a question to which no answer has come, as `ip neigh del ADDRESS dev BRIDGE` does.
pub(super) fn forget(address: IpAddr, ask: &Ask) -> NetlinkMessage<RouteNetlinkMessage> {
    let neighbour = neighbour(address, ask);
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::DelNeighbour(neighbour));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message
}

fn neighbour(address: IpAddr, ask: &Ask) -> NeighbourMessage {
    let mut neighbour = NeighbourMessage::default();
    let (family, address) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    neighbour.header.family = family;
    neighbour.header.ifindex = ask.bridge.0;
    neighbour
        .attributes
        .push(NeighbourAttribute::Destination(address));
    neighbour
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: IfIndex = IfIndex(5);

    fn asks(last: u8, known: bool) -> BTreeMap<IpAddr, Ask> {
        let ask = Ask {
            bridge: BRIDGE,
            verify: None,
            known,
        };
        (1..=last)
            .map(|host| (IpAddr::from([172, 30, 1, host]), ask))
            .collect()
    }

    #[test]
    fn an_unknown_address_is_asked_at_once_and_then_ever_less_often() {
        let start = Instant::now();
        let mut resolver = Resolver::default();
        resolver.follow(&asks(1, false), start);
        let mut times = Vec::new();
        for _ in 0..8 {
            let Some(next) = resolver.next() else {
                panic!("nothing is due")
            };
            assert_eq!(resolver.due(next).len(), 1);
            times.push((next - start).as_secs());
            resolver.follow(&asks(1, false), next);
        }
        assert_eq!(times, [0, 1, 3, 7, 15, 31, 61, 91]);
    }

    #[test]
    fn a_known_address_is_confirmed_without_hurry_and_a_new_port_does_not_change_that() {
        let start = Instant::now();
        let mut resolver = Resolver::default();
        resolver.follow(&asks(1, true), start);
        resolver.hurry(BRIDGE, start);
        assert_eq!(resolver.next(), Some(start + LONGEST_WAIT));
        resolver.follow(&asks(1, false), start);
        assert_eq!(resolver.next(), Some(start), "lost: asked at once");
    }

    #[test]
    fn a_new_port_starts_the_questions_over() {
        let start = Instant::now();
        let mut resolver = Resolver::default();
        resolver.follow(&asks(1, false), start);
        for _ in 0..6 {
            let Some(next) = resolver.next() else {
                panic!("nothing is due")
            };
            resolver.due(next);
        }
        let later = start + Duration::from_secs(40);
        resolver.hurry(IfIndex(6), later);
        assert_eq!(
            resolver.next(),
            Some(start + Duration::from_secs(61)),
            "another bridge"
        );
        resolver.hurry(BRIDGE, later);
        assert_eq!(resolver.next(), Some(later));
    }

    #[test]
    fn what_was_found_is_not_asked_again() {
        let start = Instant::now();
        let mut resolver = Resolver::default();
        resolver.follow(&asks(2, false), start);
        resolver.follow(&BTreeMap::new(), start);
        assert_eq!(resolver.next(), None);
    }

    #[test]
    fn many_questions_are_asked_in_bursts() {
        let start = Instant::now();
        let mut resolver = Resolver::default();
        resolver.follow(&asks(200, false), start);
        assert_eq!(resolver.due(start).len(), 128);
        assert_eq!(resolver.due(start).len(), 0);
        assert_eq!(resolver.next(), Some(start + PAUSE));
        assert_eq!(resolver.due(start + PAUSE).len(), 72);
    }
}
