//! The host: its tables, and what steps do to them.

use netmap_common::{
    maps::{
        Flow, FlowKey, Fragment, FragmentKey, Generation, Hook, IfIndex, Port, Protocol, Reason, RuleId,
        Seconds,
    },
    nat::{
        self, Carried, Part, Step as Progress, Verdict,
        testing::{OffTheWire, World},
    },
};

use super::{
    Outcome, Place, Step,
    frame::Frame,
    promise::{self, Passage},
    scene::{self, Addresses, Choices, UPLINK},
};

/// Tables, and the packet that was carried last.
pub(super) struct Host<A: Addresses> {
    choices: Choices,
    world: World<A>,
    last: Vec<u8>,
}

impl<A: Addresses> Host<A> {
    pub(super) fn new(choices: Choices) -> Self {
        Self {
            choices,
            world: choices.world(),
            last: Vec::new(),
        }
    }

    /// Does a step; what became of the packet, if it was one.
    pub(super) fn take(&mut self, step: &Step<'_>) -> Option<Outcome> {
        match *step {
            Step::Packet(place, frame) => return Some(self.pass(place, false, frame)),
            Step::Early(frame) => return Some(self.early(frame)),
            Step::Answer(place) => return self.answer(place),
            Step::Tick(seconds) => {
                let now = self.world.now.get();
                self.world.now.set(Seconds(now.0 + u32::from(seconds)));
            }
            Step::Unpublish(number) => scene::unpublish(&self.world, number),
            Step::Evict(number) => self.evict(number),
            Step::Publish(bytes) => {
                if let Some(rule) = scene::rule(bytes) {
                    self.world.publish(rule);
                }
            }
            Step::Move(who, how) => scene::relocate(&mut self.world, who, how),
            Step::Wild(bytes) => self.wild(bytes),
            Step::WildFragment(bytes) => self.wild_fragment(bytes),
        }
        None
    }

    /// At XDP: what is left to TC is left as if it had not been there.
    fn early(&mut self, frame: &[u8]) -> Outcome {
        let before = self.world.flows.borrow().clone();
        self.world.redirects = Some(self.choices.redirects());
        let outcome = self.pass((Hook::UplinkIn, UPLINK), true, frame);
        if let Ok(Carried { verdict, .. }) = outcome {
            assert!(
                matches!(verdict, Verdict::Peer(_)),
                "XDP cannot send to {verdict:?}"
            );
        } else {
            promise::nothing_recorded(&before, &self.world.flows.borrow());
        }
        self.world.redirects = None;
        outcome
    }

    fn answer(&mut self, place: Place) -> Option<Outcome> {
        let mut frame = self.last.clone();
        Frame::read::<A>(&frame)?.answer(&mut frame);
        Some(self.pass(place, false, &frame))
    }

    /// Runs the NAT, whole in these tables and in parts in a copy of them: both must do the same, and keep all promises.
    fn pass(&mut self, (hook, arrival): Place, is_early: bool, frame: &[u8]) -> Outcome {
        self.world.arrival.set(arrival);
        let before = self.world.flows.borrow().clone();
        let copy = self.world.clone();
        let mut after = frame.to_vec();
        let outcome = whole(&self.world, hook, is_early, &mut after);
        let mut by_parts = frame.to_vec();
        let outcome_of_parts = in_parts(&copy, hook, is_early, &mut by_parts);
        assert_eq!(outcome_of_parts, outcome, "in parts, and as one");
        assert_eq!(by_parts, after, "bytes in parts, and as one: {outcome:?}");
        assert_eq!(copy.flows, self.world.flows, "flows in parts, and as one");
        assert_eq!(
            copy.fragments, self.world.fragments,
            "fragments in parts, and as one"
        );
        promise::twins(&before, &self.world.flows.borrow());
        let passage = Passage {
            hook,
            before: frame,
            after: &after,
            outcome,
        };
        passage.keeps_the_packet::<A>();
        if !self.choices.is_wild() {
            passage.hides_containers(&self.world);
        }
        if outcome.is_ok() {
            self.last = after;
        }
        outcome
    }

    fn evict(&self, number: u8) {
        let mut flows = self.world.flows.borrow_mut();
        let index = usize::from(number).checked_rem(flows.len());
        let key = index.and_then(|index| flows.keys().nth(index).copied());
        if let Some(key) = key {
            flows.remove(&key);
        }
    }

    /// An entry under the key of the packet that was carried last, or of scene addresses; its numbers are any.
    fn wild(&self, bytes: &[u8]) {
        let Some(
            &[
                protocol,
                src,
                dst,
                to_src,
                to_dst,
                ports,
                way,
                kind,
                side,
                out,
                from,
                rule,
                seen,
                nonce,
            ],
        ) = bytes.first_chunk()
        else {
            return;
        };
        if !self.choices.is_wild() {
            return;
        }
        let [source, destination, new_source, new_destination] =
            [1u8, 4, 16, 64].map(|bits| port(ports / bits % 4));
        let protocol = match protocol % 3 {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Icmp,
        };
        let key = FlowKey::new(protocol, anybody::<A>(src), source, anybody(dst), destination);
        let to = FlowKey::new(
            protocol,
            anybody::<A>(to_src),
            new_source,
            anybody(to_dst),
            new_destination,
        );
        let flow = Flow {
            to,
            out: IfIndex(u32::from(out)),
            nonce: u32::from(nonce),
            rule: RuleId(u32::from(rule % 16)),
            generation: Generation(u32::from(rule / 16)),
            way,
            kind,
            side,
            last_seen: Seconds(1_000 + u32::from(seen)),
            from: IfIndex(u32::from(from)),
            ..Flow::default()
        };
        self.world.flows.borrow_mut().insert(key, flow);
    }

    fn wild_fragment(&self, bytes: &[u8]) {
        let Some(&[src, dst, arrival, number, id, kind, ports, end_high, end, since]) = bytes.first_chunk()
        else {
            return;
        };
        if !self.choices.is_wild() {
            return;
        }
        let key = FragmentKey {
            src: anybody::<A>(src),
            dst: anybody(dst),
            arrival: IfIndex(u32::from(arrival)),
            id: u32::from(id),
            protocol: number,
            ..FragmentKey::default()
        };
        let fragment = Fragment {
            src_port: port(ports % 4),
            dst_port: port(ports / 4 % 4),
            end: u16::from_be_bytes([end_high, end]),
            protocol: kind,
            is_left: u8::from(end_high & 1 == 1),
            since: Seconds(1_000 + u32::from(since)),
        };
        self.world.fragments.borrow_mut().insert(key, fragment);
    }
}

/// Any of the scene's, and any others.
fn anybody<A: Addresses>(number: u8) -> A {
    use scene::address::{ANY, BY_STACK, C1, C1B, C2, GW1, H, H2, R, TAP};
    const ALL: [[u8; 4]; 10] = [R, H, H2, GW1, C1, C1B, TAP, C2, BY_STACK, ANY];
    let known = ALL.get(usize::from(number)).copied();
    A::of(known.unwrap_or([203, 0, 113, number]))
}

fn port(number: u8) -> Port {
    Port(match number {
        0 => 40_000,
        1 => 8_080,
        2 => 80,
        _ => 0,
    })
}

fn whole<A: Addresses>(world: &World<A>, hook: Hook, is_early: bool, frame: &mut [u8]) -> Outcome {
    if is_early {
        nat::process(&mut OffTheWire(frame), world, hook)
    } else {
        nat::process(frame, world, hook)
    }
}

/// As the programs for IPv6 do it: one part after the other, from its beginning.
fn in_parts<A: Addresses>(world: &World<A>, hook: Hook, is_early: bool, frame: &mut [u8]) -> Outcome {
    // Known, open, known again.
    const MOST: usize = 3;
    let mut part = Part::Known;
    for _ in 0..MOST {
        let step = if is_early {
            nat::process_part(&mut OffTheWire(frame), world, hook, part)?
        } else {
            nat::process_part(frame, world, hook, part)?
        };
        match step {
            Progress::Done(carried) => return Ok(carried),
            Progress::Next(next) => part = next,
        }
    }
    // As a chain of tail calls ends that is too long.
    Err(Reason::Malformed)
}
