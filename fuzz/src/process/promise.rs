//! What must hold for every packet, whatever it is and whatever the tables say.

use std::{collections::BTreeMap, ops::Range};

use netmap_common::{
    maps::{Class, Flow, FlowKey, Hook, Ip, Reason},
    nat::{Carried, Env as _, Family, Verdict, testing::World},
};

use super::{
    Outcome,
    frame::{Frame, residue},
    scene::{Addresses, UPLINK},
};

/// One packet's way past a hook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'frame> {
    pub(super) hook: Hook,
    pub(super) before: &'frame [u8],
    pub(super) after: &'frame [u8],
    pub(super) outcome: Outcome,
}

impl Passage<'_> {
    /// What is not carried stays as it is; of what is, only what a NAT may change has changed, and every checksum is as right
    /// or wrong as it was.
    pub(super) fn keeps_the_packet<A: Family>(&self) {
        let Self { before, after, .. } = *self;
        assert_eq!(before.len(), after.len(), "length of the frame");
        let Ok(carried) = self.outcome else {
            assert_eq!(before, after, "{:?} changed bytes", self.outcome);
            return;
        };
        let frame = Frame::read::<A>(before);
        assert!(frame.is_some(), "{carried:?} is no datagram: {before:02x?}");
        let Some(frame) = frame else { return };
        self.takes_a_hop(&frame, &carried);
        let mut may_change = header(&frame);
        may_change.extend(frame.id.map(|(at, length)| at..at + length));
        self.keeps_header_sum(&frame);
        if carried.reason == Reason::IcmpError {
            let quoted = frame.quoted::<A>(before);
            assert!(quoted.is_some(), "the error quotes nothing: {before:02x?}");
            let Some(quoted) = quoted else { return };
            may_change.extend(
                header(&quoted)
                    .into_iter()
                    .filter(|range| range.start != quoted.ttl()),
            );
            may_change.push(quoted.ports());
            self.keeps_header_sum(&quoted);
            // A TCP header that is cut short has none.
            if quoted.protocol != 6 || quoted.l4 + 20 <= frame.end {
                may_change.extend(quoted.checksum().map(|at| at..at + 2));
                self.keeps_sum(&quoted);
            }
            may_change.extend(frame.checksum().map(|at| at..at + 2));
            self.keeps_sum(&frame);
        } else if frame.offset == 0 {
            may_change.push(frame.ports());
            may_change.extend(frame.checksum().map(|at| at..at + 2));
            self.keeps_sum(&frame);
        }
        let changed = (0..before.len()).filter(|at| before.get(*at) != after.get(*at));
        for at in changed {
            assert!(
                may_change.iter().any(|range| range.contains(&at)),
                "{carried:?} changed byte {at} of {before:02x?}"
            );
        }
    }

    /// No container's address leaves by an uplink, neither on a packet that is carried nor on one that is passed on.
    pub(super) fn hides_containers<A: Addresses>(&self, world: &World<A>) {
        let leaves = match self.outcome {
            Ok(Carried { verdict, .. }) => self.hook == Hook::UplinkOut || verdict == Verdict::Neigh(UPLINK),
            Err(reason) => self.hook == Hook::UplinkOut && reason.class() == Class::Passed,
        };
        let Some(frame) = Frame::read::<A>(self.after) else {
            return;
        };
        let Some(source) = address::<A>(self.after, frame.source()) else {
            return;
        };
        let is_container = world.network(source).is_some() && !world.is_local(source);
        assert!(
            !(leaves && is_container),
            "{source} leaves: {:?} {:02x?}",
            self.outcome,
            self.before
        );
        let Ok(Carried {
            verdict: Verdict::Peer(_),
            ..
        }) = self.outcome
        else {
            return;
        };
        let destination = address::<A>(self.after, frame.destination());
        let is_inside = destination.is_some_and(|destination| world.network(destination).is_some());
        assert!(
            is_inside,
            "a container gets what is not its own: {:02x?}",
            self.after
        );
    }

    /// Netmap takes one off the time to live where it routes, and never the last.
    fn takes_a_hop(&self, frame: &Frame, carried: &Carried) {
        let ttl = |bytes: &[u8]| bytes.get(frame.ttl()).copied();
        let (before, after) = (ttl(self.before), ttl(self.after));
        if carried.verdict.is_routed() {
            assert!(before > Some(1), "{carried:?} at its last hop");
            assert_eq!(after, before.map(|ttl| ttl - 1), "time to live");
        } else {
            assert_eq!(after, before, "time to live");
        }
    }

    fn keeps_header_sum(&self, frame: &Frame) {
        if frame.is_ipv6 {
            return;
        }
        let sum = |bytes: &[u8]| bytes.get(frame.l3..frame.l4).map(|header| residue(&[header]));
        assert_eq!(
            sum(self.after),
            sum(self.before),
            "IP checksum of {:02x?}",
            self.before
        );
    }

    /// The transport's checksum. UDP's may be none, and stays none.
    fn keeps_sum(&self, frame: &Frame) {
        let Some(at) = frame.checksum() else { return };
        let field = |bytes: &[u8]| bytes.get(at..at + 2).map(|field| field == [0, 0]);
        if frame.protocol == 17 {
            assert_eq!(field(self.after), field(self.before), "UDP without a checksum");
            if field(self.before) == Some(true) {
                return;
            }
        }
        let sum = |bytes: &[u8]| {
            let content = bytes.get(frame.l4..frame.end)?;
            let pseudo = if frame.is_icmp() && !frame.is_ipv6 {
                &[]
            } else {
                bytes.get(frame.addresses())?
            };
            Some(residue(&[pseudo, content]))
        };
        assert_eq!(
            sum(self.after),
            sum(self.before),
            "checksum at {at} of {:02x?}",
            self.before
        );
    }
}

/// Every entry that was not there before has a twin that points back at it.
pub(super) fn twins<A: Ip>(before: &BTreeMap<FlowKey<A>, Flow<A>>, after: &BTreeMap<FlowKey<A>, Flow<A>>) {
    let is_new = |key: &FlowKey<A>, flow: &Flow<A>| before.get(key).is_none_or(|old| old.nonce != flow.nonce);
    for (key, flow) in after.iter().filter(|(key, flow)| is_new(key, flow)) {
        let twin = after.get(&flow.twin());
        assert!(
            twin.is_some_and(|twin| twin.twin() == *key
                && twin.nonce == flow.nonce
                && twin.side() != flow.side()),
            "{key:?} {flow:?} has the twin {twin:?}"
        );
    }
}

/// No entry is new, and none has changed.
pub(super) fn nothing_recorded<A: Ip>(
    before: &BTreeMap<FlowKey<A>, Flow<A>>,
    after: &BTreeMap<FlowKey<A>, Flow<A>>,
) {
    for (key, flow) in after {
        assert_eq!(before.get(key), Some(flow), "XDP recorded what it left to TC");
    }
}

/// What of an IP header may change: addresses, time to live, checksum.
fn header(frame: &Frame) -> Vec<Range<usize>> {
    let mut ranges = vec![frame.addresses(), frame.ttl()..frame.ttl() + 1];
    if !frame.is_ipv6 {
        ranges.push(frame.l3 + 10..frame.l3 + 12);
    }
    ranges
}

fn address<A: Ip>(bytes: &[u8], at: Range<usize>) -> Option<A> {
    let mut octets = A::Octets::default();
    let place = bytemuck::bytes_of_mut(&mut octets);
    let found = bytes.get(at)?;
    (place.len() == found.len()).then(|| place.copy_from_slice(found))?;
    Some(A::from_octets(octets))
}
