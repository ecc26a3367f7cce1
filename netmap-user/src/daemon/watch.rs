//! Tells whoever watches (`netmap monitor`) what happens: what the programs tell, and what the daemon does itself.
//!
//! Each watcher has a filter and a queue of its own, and loses events, which are counted, where it does not keep up: the
//! daemon waits for nobody. The programs tell what some watcher may want, and only while the daemon says every few seconds that
//! there is one: nothing has to be tidied up after a daemon that was killed.

mod filter;
mod frame;
mod places;

use std::{
    future::pending,
    io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use hyper::body::Bytes;
use netmap_common::maps::{
    Class, Event as Told, FlowKey, Hook, IfIndex, Ip, Kind, Protocol, Reason, Seconds, Watch,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    select,
    sync::mpsc,
    time::sleep_until,
};
use tracing::warn;

use self::{filter::Filter, frame::Headers, places::Places};
use super::Daemon;
use crate::{
    api::{
        events::{Event, FlowOpened, Happening, Missed, Packet, Rule, WatchRequest, Watching},
        flows::FlowRow,
        types::{Attachment, EngineNames, Refusal},
    },
    binding::Binding,
    expiry::{Ended, Obituary},
    host::View,
    maps::{self, Events, Family, Gate, MapsError},
};

/// How many may watch at once: each takes one of the API's places.
const MOST: usize = 16;
/// How many events wait for a watcher at most: a megabyte or less.
const QUEUE: usize = 4_096;
/// How many events the programs tell in a second, at most, on all CPUs together, where all have as much to tell.
const RATE: usize = 20_000;
/// How many of these each CPU may tell at least.
const RATE_PER_CPU: usize = 1_000;
/// How many events are told at a time: some milliseconds' work.
const SLICE: usize = 512;
/// How often the programs are told that somebody still watches, and watchers what they have missed.
const PACE: Duration = Duration::from_secs(1);
/// For how long the programs tell without hearing that: a daemon that is busy for a while loses nothing.
const LEASE: u32 = 10;

/// Who watches.
pub(super) struct Watchers {
    events: AsyncFd<Events>,
    gate: Gate,
    list: Vec<Watcher>,
    /// There may be events of which nobody says that they have come.
    has_more: bool,
    /// How many events the programs could not tell so far.
    missed: u64,
    /// What endpoints and attachments were when somebody was last told.
    places: Places,
    /// When something is to be done whatever happens.
    next: Instant,
}

struct Watcher {
    filter: Filter,
    lines: mpsc::Sender<Bytes>,
    /// What it was not told of, and does not know yet.
    missed: u64,
}

impl Watchers {
    /// Nobody. What programs have told a former daemon is nobody's news.
    #[expect(
        deprecated,
        reason = "what takes its place is unsafe; the ring keeps its descriptor as long as it lives"
    )]
    pub(super) fn open(pin_dir: &Path) -> anyhow::Result<Self> {
        let mut gate = Gate::open(pin_dir)?;
        gate.set_watch(Watch::default())?;
        let mut events = Events::open(pin_dir)?;
        while events.take().is_some() {}
        Ok(Self {
            events: AsyncFd::with_interest(events, Interest::READABLE)?,
            missed: gate.missed()?,
            gate,
            list: Vec::new(),
            has_more: false,
            places: Places::default(),
            next: Instant::now(),
        })
    }

    /// Whether anybody watches.
    pub(super) const fn is_watched(&self) -> bool {
        !self.list.is_empty()
    }

    /// Returns when there is something to tell.
    pub(super) async fn ready(&self) -> io::Result<()> {
        if !self.is_watched() {
            return pending().await;
        }
        if self.has_more {
            return Ok(());
        }
        select! {
            () = sleep_until(self.next.into()) => {}
            told = self.events.readable() => told?.clear_ready(),
        }
        Ok(())
    }

    /// Another watcher, who hears by the receiver what happens from now on.
    fn add(&mut self, request: WatchRequest, names: &EngineNames) -> Result<mpsc::Receiver<Bytes>, String> {
        self.forget_gone();
        if self.list.len() >= MOST {
            return Err(format!("{MOST} watch already, which is as many as may"));
        }
        let mut filter = Filter::new(request);
        if let Some(unknown) = filter.unknown(names) {
            return Err(format!("no container of the engine's is called {unknown:?}"));
        }
        filter.resolve(names);
        // What was missed until now, others have missed.
        let is_told = if self.is_watched() {
            self.count_missed()
        } else {
            self.forget_told()
        };
        is_told.map_err(|error| format!("what the programs tell cannot be read: {error}"))?;
        let (lines, receiver) = mpsc::channel(QUEUE);
        self.list.push(Watcher {
            filter,
            lines,
            missed: 0,
        });
        if let Err(error) = self.hold_open() {
            self.list.pop();
            return Err(format!("the programs cannot be asked to tell: {error}"));
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        if let Some(watcher) = self.list.last_mut() {
            watcher.tell(&event(
                SystemTime::now(),
                Happening::Watching(Watching { version }),
            ));
        }
        self.next = Instant::now() + PACE;
        Ok(receiver)
    }

    /// Containers have other names.
    pub(super) fn resolve(&mut self, names: &EngineNames) {
        for watcher in &mut self.list {
            watcher.filter.resolve(names);
        }
    }

    /// Tells what the programs have told, and does what is to be done now and then.
    pub(super) fn serve(&mut self, view: &View) {
        let clock = Clock::new();
        self.has_more = false;
        for number in 1..=SLICE {
            let Some(told) = self.events.get_mut().take() else {
                break;
            };
            if let Some(what) = translate(&told, view) {
                self.tell_at(clock.time(told.time), what);
            }
            self.has_more = number == SLICE;
        }
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + PACE;
        let held = self.count_missed().and_then(|()| {
            self.forget_gone();
            self.hold_open()
        });
        held.unwrap_or_else(|error| warn!("those who watch may miss events: {error}"));
    }

    /// Tells what has happened just now.
    pub(super) fn tell(&mut self, what: Happening) {
        if self.is_watched() {
            self.tell_at(SystemTime::now(), what);
        }
    }

    /// Nobody watches any more.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.hold_open()
            .unwrap_or_else(|error| warn!("the programs go on to tell for {LEASE} seconds: {error}"));
    }

    fn tell_at(&mut self, time: SystemTime, what: Happening) {
        let event = event(time, what);
        let watchers = self.list.iter_mut();
        for watcher in watchers.filter(|watcher| watcher.filter.wants(&event.what)) {
            watcher.tell(&event);
        }
    }

    /// What was told when somebody else had gone already is nobody's news.
    fn forget_told(&mut self) -> Result<(), MapsError> {
        while self.events.get_mut().take().is_some() {}
        self.missed = self.gate.missed()?;
        Ok(())
    }

    fn count_missed(&mut self) -> Result<(), MapsError> {
        let missed = self.gate.missed()?;
        let more = missed.saturating_sub(self.missed);
        self.missed = missed;
        for watcher in &mut self.list {
            watcher.missed += more;
            watcher.tell_missed();
        }
        Ok(())
    }

    fn forget_gone(&mut self) {
        self.list.retain(|watcher| !watcher.lines.is_closed());
    }

    /// Has the programs tell what is wanted for a while; nothing when there is nobody to want it.
    fn hold_open(&mut self) -> Result<(), MapsError> {
        let mut watch = Watch::default();
        if self.is_watched() {
            for watcher in &self.list {
                watcher.filter.add_to(&mut watch);
            }
            let most = (RATE / self.gate.cpus()?.max(1)).max(RATE_PER_CPU);
            watch.most = u32::try_from(most).unwrap_or(u32::MAX);
            watch.until = Seconds(maps::now().0.saturating_add(LEASE));
        }
        if watch == Watch::default() && self.gate.watch()? == watch {
            return Ok(());
        }
        self.gate.set_watch(watch)
    }
}

impl Watcher {
    fn tell(&mut self, event: &Event) {
        let bare;
        let event = match &event.what {
            Happening::PacketDropped(packet) | Happening::PacketPassed(packet)
                if packet.frame.is_some() && !self.filter.wants_frames() =>
            {
                let mut event = event.clone();
                event.what.forget_frame();
                bare = event;
                &bare
            }
            _ => event,
        };
        // Strings and numbers can always be written.
        let Ok(mut line) = serde_json::to_vec(event) else {
            return;
        };
        line.push(b'\n');
        if self.lines.try_send(line.into()).is_err() {
            self.missed += 1;
        }
    }

    fn tell_missed(&mut self) {
        if self.missed == 0 {
            return;
        }
        let count = std::mem::take(&mut self.missed);
        self.tell(&event(SystemTime::now(), Happening::Missed(Missed { count })));
        if self.missed != 0 {
            // There was no room for that either.
            self.missed = count;
        }
    }
}

impl Daemon {
    /// Lets somebody watch.
    pub(super) fn watch(&mut self, request: WatchRequest) -> Result<mpsc::Receiver<Bytes>, Refusal> {
        if !self.watchers.is_watched() {
            let now = self.places();
            self.watchers.places = now;
        }
        let names = self.names();
        self.watchers
            .add(request, &names)
            .map_err(|error| Refusal { error })
    }

    /// Tells where containers and programs are now, as far as they were elsewhere.
    pub(super) fn tell_places(&mut self) {
        if !self.watchers.is_watched() {
            return;
        }
        let now = self.places();
        let before = std::mem::replace(&mut self.watchers.places, now);
        for what in self.watchers.places.since(&before) {
            self.watchers.tell(what);
        }
    }

    /// Tells what has become of rules.
    pub(super) fn tell_rules(&mut self, what: fn(Rule) -> Happening, bindings: &[Binding]) {
        if self.watchers.is_watched() {
            for binding in bindings {
                self.watchers.tell(what(binding.into()));
            }
        }
    }

    /// Tells which flows have ended.
    pub(super) fn tell_ended(&mut self, Ended { v4, v6, .. }: &Ended) {
        let now = maps::now();
        let v4 = v4.iter().map(|flow| closed(flow, now));
        let closed: Vec<_> = v4.chain(v6.iter().map(|flow| closed(flow, now))).collect();
        for flow in closed {
            self.watchers.tell(Happening::FlowClosed(flow));
        }
    }

    fn places(&self) -> Places {
        let attachments = self.dataplane.attachments().unwrap_or_default();
        Places::new(self.host.view(), attachments.iter().map(Attachment::from))
    }
}

/// What the programs' clock says in the calendar.
struct Clock {
    /// Nanoseconds of `CLOCK_MONOTONIC`, and the same moment.
    now: (u64, SystemTime),
}

impl Clock {
    fn new() -> Self {
        let monotonic = crate::sys::monotonic_time().as_nanos();
        Self {
            now: (u64::try_from(monotonic).unwrap_or(u64::MAX), SystemTime::now()),
        }
    }

    fn time(&self, nanoseconds: u64) -> SystemTime {
        let (now, calendar) = self.now;
        // What comes while the ring is read is told as now.
        let ago = Duration::from_nanos(now.saturating_sub(nanoseconds));
        calendar.checked_sub(ago).unwrap_or(calendar)
    }
}

fn event(time: SystemTime, what: Happening) -> Event {
    Event {
        time: humantime::format_rfc3339_micros(time).to_string(),
        what,
    }
}

/// What the programs tell, in words; nothing for what no program of this version tells.
fn translate(told: &Told, view: &View) -> Option<Happening> {
    let data = told.data.get(..usize::try_from(told.captured).ok()?)?;
    match told.what {
        Told::PACKET => {
            let reason = *Reason::ALL.iter().find(|reason| **reason as u8 == told.reason)?;
            let hook = *Hook::ALL.iter().find(|hook| **hook as u8 == told.hook)?;
            let headers = Headers::read(data);
            let packet = Packet {
                reason: reason.name().to_owned(),
                hook: hook.name().to_owned(),
                interface: name(view, told.arrival),
                protocol: headers.protocol,
                src: headers.src,
                sport: headers.ports.map(|(source, _)| source),
                dst: headers.dst,
                dport: headers.ports.map(|(_, destination)| destination),
                length: told.length,
                frame: Some(hexadecimal(data)),
            };
            Some(if reason.class() == Class::Dropped {
                Happening::PacketDropped(packet)
            } else {
                Happening::PacketPassed(packet)
            })
        }
        Told::OPENED => opened::<netmap_common::maps::Address>(told, data, view),
        Told::OPENED6 => opened::<netmap_common::maps::Address6>(told, data, view),
        _ => None,
    }
}

fn opened<A: Family>(told: &Told, data: &[u8], view: &View) -> Option<Happening> {
    let size = size_of::<FlowKey<A>>();
    let key =
        |at: usize| -> Option<FlowKey<A>> { Some(bytemuck::pod_read_unaligned(data.get(at..at + size)?)) };
    let (from, to) = (key(0)?, key(size)?);
    Some(Happening::FlowOpened(FlowOpened {
        protocol: protocol(&from),
        kind: Kind::from_number(told.kind)?.name().to_owned(),
        interface: name(view, told.arrival),
        out: (told.out != IfIndex(0)).then(|| name(view, told.out)),
        original: from.into(),
        translated: to.into(),
    }))
}

fn closed<A: Family>(flow: &Obituary<A>, now: Seconds) -> FlowRow {
    FlowRow::new(flow.key, &flow.original, &flow.reply, now)
}

fn protocol<A: Ip>(key: &FlowKey<A>) -> String {
    Protocol::from_number(key.protocol)
        .map_or("unknown", Protocol::name)
        .to_owned()
}

/// An interface's name; one that is gone again has its number only.
fn name(view: &View, index: IfIndex) -> String {
    let interface = view.interfaces.get(&index);
    interface.map_or_else(
        || format!("index {}", index.0),
        |interface| interface.name.clone(),
    )
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _written = write!(digits, "{byte:02x}");
    }
    digits
}
