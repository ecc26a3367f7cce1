//! Ends flows that somebody has chosen.

use netmap_common::{
    maps::{Address, Address6, Flow, FlowKey, Side},
    nat::Lifetimes,
};

use super::{
    Ended, Kinds, Swept, slice,
    verdict::{Verdict, judge},
    walk::{Next, Part, Walk},
};
use crate::maps::{Family, FamilyMaps, Maps, MapsError, now};

/// How many entries a slice has: two or three milliseconds' work where all of them go.
const SLICE: usize = 1_024;

/// Whether a flow is chosen: by its original entry alone, which says no where nothing of its other half matters, or by both.
pub type IsChosen<'choice, A> = dyn Fn(&FlowKey<A>, &Flow<A>, Option<&Flow<A>>) -> bool + 'choice;

/// Which flows go.
pub struct Chosen<'choice> {
    /// Of IPv4.
    pub v4: &'choice IsChosen<'choice, Address>,
    /// Of IPv6.
    pub v6: &'choice IsChosen<'choice, Address6>,
}

/// Goes over the whole tables once, a slice at a time and without rests.
#[derive(Debug)]
pub struct Closing {
    walk: Walk,
    ended: usize,
}

impl Default for Closing {
    fn default() -> Self {
        Self {
            walk: Walk::new(SLICE),
            ended: 0,
        }
    }
}

impl Closing {
    /// Notes down what it ends from now on, or does not.
    pub fn note(&mut self, is_watched: bool) {
        self.walk.note(is_watched);
    }

    /// What it has noted down since this was last asked.
    pub fn ended(&mut self) -> Ended {
        self.walk.ended()
    }

    /// How many flows of each kind it has ended since this was last asked: of IPv4, and of IPv6.
    pub fn take_count(&mut self) -> [Kinds; 2] {
        self.walk.take_ended()
    }

    /// Ends what is chosen in the next slice. Says how many flows went when all were looked at that were there at the start.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn slice(&mut self, maps: &mut Maps, chosen: &Chosen<'_>) -> Result<Option<usize>, MapsError> {
        let swept = match self.walk.next() {
            Next::V4(part) => close(&mut maps.v4, part, chosen.v4)?,
            Next::V6(part) => close(&mut maps.v6, part, chosen.v6)?,
        };
        self.ended += swept.ended;
        Ok(self.walk.is_at_end().then_some(self.ended))
    }
}

fn close<A: Family>(
    maps: &mut FamilyMaps<A>,
    Part {
        cursor,
        tally,
        obituaries,
        count,
        ..
    }: &mut Part<A>,
    is_chosen: &IsChosen<'_, A>,
) -> Result<Swept, MapsError> {
    let mut swept = Swept::default();
    maps.flows.read(cursor)?;
    for (key, flow) in cursor.entries() {
        if flow.side() != Side::Original || !is_chosen(key, flow, None) {
            continue;
        }
        // Both halves as they are now. One without the other is the sweeper's.
        let verdict = |flow: &Flow<A>, twin: Option<&Flow<A>>| {
            let is_it = flow.side() == Side::Original && twin.is_some() && is_chosen(key, flow, twin);
            match judge(key, flow, twin, is_it, &Lifetimes::default(), now()) {
                Verdict::Over if is_it => Verdict::Over,
                _ => Verdict::Keep,
            }
        };
        slice::end(maps, key, verdict, (tally, obituaries, count), &mut swept)?;
    }
    tally.tell(&mut maps.loads)?;
    Ok(swept)
}
