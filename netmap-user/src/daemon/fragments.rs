//! Holds fragments that came before their first, until that has come: then they are put back where they came from, and follow
//! it. RFC 4787, REQ-14.
//!
//! So few are held, and for so short a time, that a flood of them costs next to nothing; what there is no room for is put
//! back at once, and goes the way of those that have waited in vain.

use std::{
    future::pending,
    io,
    path::Path,
    time::{Duration, Instant},
};

use netmap_common::{
    maps::{Address, Address6, FragmentKey, IfIndex},
    nat,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    select,
    time::sleep_until,
};
use tracing::debug;

use crate::{
    dataplane::Dataplane,
    maps::{self, Family, FamilyMaps, HeldFrame, HeldFrames, Maps, MapsError},
};

/// How long a fragment waits. Whatever changes the order of packets on their way does so by milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// When it is first looked again whether the first has come; after that, in ever longer pauses.
const PAUSE: Duration = Duration::from_millis(1);
/// How many wait at most: half a megabyte.
const ROOM: usize = 256;
/// How many of these by one interface.
const SHARE: usize = 64;

/// Where they wait.
pub(super) struct WaitingRoom {
    arriving: AsyncFd<HeldFrames>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    frame: HeldFrame,
    datagram: Key,
    next: Instant,
    pause: Duration,
    until: Instant,
}

enum Key {
    V4(FragmentKey<Address>),
    V6(FragmentKey<Address6>),
}

impl WaitingRoom {
    /// An empty one. What the programs have handed over before is too old by now.
    #[expect(
        deprecated,
        reason = "what takes its place is unsafe; the ring keeps its descriptor as long as it lives"
    )]
    pub(super) fn open(pin_dir: &Path) -> anyhow::Result<Self> {
        let mut arriving = HeldFrames::open(pin_dir)?;
        while arriving.take().is_some() {}
        Ok(Self {
            arriving: AsyncFd::with_interest(arriving, Interest::READABLE)?,
            waiting: Vec::new(),
        })
    }

    /// Returns when there is something to do.
    pub(super) async fn ready(&self) -> io::Result<()> {
        let next = self.waiting.iter().map(|waiting| waiting.next).min();
        let due = async {
            match next {
                Some(next) => sleep_until(next.into()).await,
                None => pending().await,
            }
        };
        select! {
            () = due => {}
            arrived = self.arriving.readable() => arrived?.clear_ready(),
        }
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes in who has come, and lets go whose first is there, or has not come in time.
    pub(super) fn serve(&mut self, maps: &Maps, dataplane: &Dataplane) {
        let now = Instant::now();
        while let Some(frame) = self.arriving.get_mut().take() {
            self.admit(frame, now, dataplane);
        }
        let is_over = |waiting: &mut Waiting| {
            if waiting.next > now {
                return false;
            }
            waiting.next = now + waiting.pause;
            waiting.pause *= 2;
            // Where the table cannot be read, there is nothing to wait for.
            waiting.until <= now || waiting.datagram.is_known(maps).unwrap_or(true)
        };
        for Waiting { frame, .. } in self.waiting.extract_if(.., is_over) {
            resume(dataplane, &frame);
        }
    }

    /// Lets everybody go.
    pub(super) fn clear(&mut self, dataplane: &Dataplane) {
        for Waiting { frame, .. } in self.waiting.drain(..) {
            resume(dataplane, &frame);
        }
    }

    fn admit(&mut self, mut frame: HeldFrame, now: Instant, dataplane: &Dataplane) {
        let neighbours = self
            .waiting
            .iter()
            .filter(|other| other.frame.arrival == frame.arrival);
        let has_room = self.waiting.len() < ROOM && neighbours.count() < SHARE;
        let datagram = Key::of(&mut frame.bytes, frame.arrival).filter(|_| has_room);
        let Some(datagram) = datagram else {
            return resume(dataplane, &frame);
        };
        self.waiting.push(Waiting {
            frame,
            datagram,
            next: now,
            pause: PAUSE,
            until: now + PATIENCE,
        });
    }
}

impl Key {
    fn of(frame: &mut [u8], arrival: IfIndex) -> Option<Self> {
        let v4 = nat::fragment_key(frame, arrival).map(Self::V4);
        v4.or_else(|_| nat::fragment_key(frame, arrival).map(Self::V6))
            .ok()
    }

    fn is_known(&self, maps: &Maps) -> Result<bool, MapsError> {
        fn is_known<A: Family>(maps: &FamilyMaps<A>, key: &FragmentKey<A>) -> Result<bool, MapsError> {
            let first = maps.fragments.get(key)?;
            Ok(first.is_some_and(|first| first.is_current(maps::now())))
        }
        match self {
            Self::V4(key) => is_known(&maps.v4, key),
            Self::V6(key) => is_known(&maps.v6, key),
        }
    }
}

/// The interface may be gone meanwhile.
fn resume(dataplane: &Dataplane, frame: &HeldFrame) {
    if let Err(error) = dataplane.resume(frame.arrival, &frame.bytes) {
        debug!("a fragment that was held is lost: {error}");
    }
}
