//! Packets that were translated, and what answers them.

use anyhow::{Result, bail};
use netmap_common::{
    maps::{Address, Address6, FlowKey, Hook, IfIndex, Port, Protocol},
    nat::Verdict,
};
use netmap_tests::programs::{
    ETHERNET, Family, Frame, Packets,
    scenery::interface::{BR1, BR2, VC1C, VC2},
    transport,
};

/// A packet as it came to a hook, and what it became.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) place: (Hook, IfIndex),
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) verdict: Verdict,
}

impl Record {
    /// The answer to what it became, where it would come.
    pub(crate) fn answer(&self) -> Option<((Hook, IfIndex), Vec<u8>)> {
        let mut frame = self.after.clone();
        let family = Family::of(&frame);
        let (src, dst) = (family.src(), family.dst());
        swap(&mut frame, src.start, dst.start, src.len());
        let (protocol, l4) = transport(&frame)?;
        let end = frame.len();
        if protocol == family.icmp() {
            let (request, reply) = family.echo();
            let kind = frame.get_mut(l4)?;
            *kind = if *kind == request { reply } else { request };
        } else if l4 + 4 <= end {
            swap(&mut frame, l4, l4 + 2, 2);
        }
        Some((self.back(), frame))
    }

    /// An ICMP error about what it became, of which it quotes so many bytes (RFC 792).
    pub(crate) fn quote(&self, kind: u8, quoted: u16) -> Result<((Hook, IfIndex), Vec<u8>)> {
        let family = Family::of(&self.after);
        let mut frame = match family {
            Family::V4 => self.complaint::<Address>(family, quoted)?,
            Family::V6 => self.complaint::<Address6>(family, quoted)?,
        };
        let l4 = family.ip_end();
        frame[l4] = kind;
        for (to, from) in frame[l4 + 8..].iter_mut().zip(&self.after[ETHERNET..]) {
            *to = *from;
        }
        Ok((self.back(), frame))
    }

    fn complaint<A: Packets>(&self, family: Family, quoted: u16) -> Result<Vec<u8>> {
        let address = |octets: &[u8]| bytemuck::try_pod_read_unaligned(octets).map(A::from_octets);
        let (src, dst) = (&self.after[family.src()], &self.after[family.dst()]);
        let (Ok(src), Ok(dst)) = (address(src), address(dst)) else {
            bail!("{:x?} has no addresses", self.after);
        };
        let key = FlowKey::<A>::new(Protocol::Icmp, dst, Port(0), src, Port(0));
        let complaint = Frame {
            payload: quoted,
            ..Frame::new(key, 0)
        };
        complaint.bytes()
    }

    /// Where answers come.
    fn back(&self) -> (Hook, IfIndex) {
        match self.verdict {
            Verdict::Peer(port) => (Hook::PortIn, port),
            Verdict::Neigh(BR1) => (Hook::PortIn, VC1C),
            Verdict::Neigh(BR2) => (Hook::PortIn, VC2),
            Verdict::Neigh(uplink) => (Hook::UplinkIn, uplink),
            Verdict::Stack if self.place.0 == Hook::UplinkIn => (Hook::UplinkOut, self.place.1),
            Verdict::Stack => (Hook::UplinkIn, self.place.1),
        }
    }
}

fn swap(frame: &mut [u8], one: usize, other: usize, length: usize) {
    for offset in 0..length {
        frame.swap(one + offset, other + offset);
    }
}
