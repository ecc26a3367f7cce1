//! UDP sessions: what one client and one published port have to say to each other.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    io::{self, IoSlice, Read as _},
    net::{self, IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::UdpSocket,
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{Refusal, Shared, limits::Limits, reply::ReplySocket, table::Route};
use crate::sys::Datagram;

/// Longer than any UDP payload over IPv4 (65,507 bytes) or IPv6 without jumbograms.
const LONGEST: usize = 65_535;

/// Segments that every kernel takes at a time (`UDP_MAX_SEGMENTS`).
const MOST_SEGMENTS: usize = 64;
/// What fits into an IPv4 packet, of which they are segments; an IPv6 packet has room for a little more.
const MOST_BYTES: usize = 65_507;
/// Longer ones do not fit a usual way's MTU of 1500 bytes, and are sent one by one, as fragments.
const LONGEST_SEGMENT: usize = 1472;
/// The same over IPv6, whose header takes 20 bytes more.
const LONGEST_SEGMENT6: usize = 1452;
/// Replies read in a row before others have their turn.
const BATCH: usize = 32;

thread_local! {
    // Filled and emptied between two awaits, so one does for every session of a thread.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Two clients, or two published ports of one client, are never one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub(super) client: SocketAddr,
    /// The address and port that the client sent to.
    pub(super) destination: SocketAddr,
}

/// One session, with a socket towards the container of its own.
#[derive(Debug)]
pub(super) struct Session {
    key: SessionKey,
    route: Route,
    container: UdpSocket,
    longest_segment: usize,
    /// Gone once the port is unpublished, or kept by another socket.
    reply: Weak<ReplySocket>,
    replied: AtomicBool,
    /// Milliseconds after the proxy's start.
    last_seen: AtomicU64,
}

impl Session {
    pub(super) fn new(
        shared: &Shared,
        key: SessionKey,
        route: Route,
        container: net::UdpSocket,
        reply: Weak<ReplySocket>,
    ) -> io::Result<Self> {
        let longest_segment = match container.peer_addr()? {
            SocketAddr::V4(_) => LONGEST_SEGMENT,
            SocketAddr::V6(_) => LONGEST_SEGMENT6,
        };
        Ok(Self {
            key,
            route,
            container: UdpSocket::from_std(container)?,
            longest_segment,
            reply,
            replied: AtomicBool::new(false),
            last_seen: AtomicU64::new(shared.milliseconds()),
        })
    }

    /// Sends datagrams to the container.
    pub(super) fn forward(&self, shared: &Shared, datagrams: &[Datagram<'_>]) {
        self.touch(shared);
        let mut rest = datagrams;
        while let Some(first) = rest.first() {
            let length = segments(rest, self.longest_segment);
            let (together, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = others;
            if together.len() > 1 && self.send_segments(shared, together, first.payload.len()) {
                continue;
            }
            for datagram in together {
                self.send(shared, datagram.payload);
            }
        }
    }

    fn send(&self, shared: &Shared, payload: &[u8]) {
        // Directly: tokio does not know yet that a new socket can be written to, and a full one means "lost" anyway.
        let socket = SockRef::from(&self.container);
        // The first call after an ICMP error reports that error and sends nothing.
        let sent = socket.send(payload).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Err(error),
            _ => socket.send(payload),
        });
        match sent {
            Ok(length) => {
                shared.counters.datagrams_in.increment();
                shared.counters.bytes_in.add(length as u64);
            }
            Err(_) => shared.counters.datagrams_lost.increment(),
        }
    }

    /// Sends datagrams by one walk through the stack, which takes them apart at its end (`UDP_SEGMENT`, Linux 4.18).
    /// False when it does not: longer than the way allows, or an error to be reported first.
    fn send_segments(&self, shared: &Shared, datagrams: &[Datagram<'_>], length: usize) -> bool {
        let Ok(length) = u16::try_from(length) else {
            return false;
        };
        let parts: Vec<_> = datagrams
            .iter()
            .map(|datagram| IoSlice::new(datagram.payload))
            .collect();
        let sent = sendmsg::<()>(
            self.container.as_raw_fd(),
            &parts,
            &[ControlMessage::UdpGsoSegments(&length)],
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let count = u64::try_from(datagrams.len()).unwrap_or(0);
        match sent {
            Ok(length) => {
                shared.counters.datagrams_in.add(count);
                shared.counters.bytes_in.add(length as u64);
            }
            Err(Errno::EAGAIN) => shared.counters.datagrams_lost.add(count),
            Err(_) => return false,
        }
        true
    }

    /// Sends replies until the session is idle for too long or its port is unpublished.
    pub(super) async fn serve(self: Arc<Self>, shared: Arc<Shared>) {
        shared.counters.sessions.increment();
        shared.counters.sessions_open.increment();
        let mut route = self.route.clone();
        loop {
            let deadline = self.deadline(&shared);
            tokio::select! {
                biased;
                () = route.ended() => break,
                () = self.reply_batch(&shared) => yield_now().await,
                () = sleep_until(deadline) => {
                    if self.deadline(&shared) <= Instant::now() {
                        break;
                    }
                }
            }
        }
        shared.sessions().remove(&self);
        shared.counters.sessions_open.decrement();
        let destination = self.key.destination;
        // It must no longer count as a user of the reply socket.
        drop(self);
        shared.release(destination);
    }

    /// Carries replies that are there, [`BATCH`] at most.
    async fn reply_batch(&self, shared: &Shared) {
        if self.container.readable().await.is_err() {
            return;
        }
        for _ in 0..BATCH {
            let carried = self.container.try_io(Interest::READABLE, || {
                BUFFER.with_borrow_mut(|buffer| self.carry(shared, buffer))
            });
            if carried.is_err() {
                return;
            }
        }
    }

    /// Carries one reply. Only "there is none" is an error.
    fn carry(&self, shared: &Shared, buffer: &mut [u8]) -> io::Result<()> {
        let length = match (&*SockRef::from(&self.container)).read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // An ICMP error: the container, or the port in it, is not there at the moment.
            Err(_) => {
                shared.counters.datagrams_lost.increment();
                return Ok(());
            }
        };
        self.touch(shared);
        self.replied.store(true, Ordering::Relaxed);
        let SessionKey { client, destination } = self.key;
        let reply = self.reply.upgrade().or_else(|| {
            // Its port may be kept by another socket by now.
            let reply = shared.table().reply(destination, shared.mark).ok()?;
            reply.upgrade()
        });
        let sent = reply.is_some_and(|reply| reply.send(&buffer[..length], client, destination).is_ok());
        if sent {
            shared.counters.datagrams_out.increment();
            shared.counters.bytes_out.add(length as u64);
        } else {
            shared.counters.datagrams_lost.increment();
        }
        Ok(())
    }

    fn touch(&self, shared: &Shared) {
        self.last_seen.store(shared.milliseconds(), Ordering::Relaxed);
    }

    fn deadline(&self, shared: &Shared) -> Instant {
        let patience = if self.replied.load(Ordering::Relaxed) {
            shared.timeouts.idle
        } else {
            shared.timeouts.unreplied
        };
        shared.epoch + Duration::from_millis(self.last_seen.load(Ordering::Relaxed)) + patience
    }
}

/// How many of the first datagrams can be sent as segments of one: all as long as the first, the last may be shorter.
fn segments(datagrams: &[Datagram<'_>], longest: usize) -> usize {
    let length = datagrams.first().map_or(0, |first| first.payload.len());
    if length == 0 || length > longest {
        return 1;
    }
    let most = MOST_SEGMENTS.min(MOST_BYTES / length);
    let same = datagrams
        .iter()
        .take(most)
        .take_while(|datagram| datagram.payload.len() == length)
        .count();
    let last = datagrams.get(same).filter(|_| same < most);
    let is_shorter = last.is_some_and(|last| (1..length).contains(&last.payload.len()));
    same + usize::from(is_shorter)
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_key: HashMap<SessionKey, Arc<Session>>,
    by_client: HashMap<IpAddr, usize>,
}

impl Sessions {
    /// The session of `key`, unless its port was unpublished since.
    pub(super) fn live(&self, key: &SessionKey) -> Option<Arc<Session>> {
        let session = self.by_key.get(key)?;
        session.route.is_live().then(|| Arc::clone(session))
    }

    /// Whether there is room for one more.
    pub(super) fn admit(&self, key: &SessionKey, limits: &Limits) -> Result<(), Refusal> {
        if self.by_key.len() >= limits.sessions {
            return Err(Refusal::Full);
        }
        let of_client = self.by_client.get(&key.client.ip()).copied().unwrap_or_default();
        if of_client >= limits.sessions_per_client {
            return Err(Refusal::ClientFull);
        }
        Ok(())
    }

    /// Adds a session, in place of one that has ended.
    pub(super) fn insert(&mut self, session: &Arc<Session>) {
        let replaced = self.by_key.insert(session.key, Arc::clone(session));
        if replaced.is_none() {
            *self.by_client.entry(session.key.client.ip()).or_default() += 1;
        }
    }

    /// Takes a session out, unless another one has its place.
    pub(super) fn remove(&mut self, session: &Arc<Session>) {
        let Entry::Occupied(entry) = self.by_key.entry(session.key) else {
            return;
        };
        if !Arc::ptr_eq(entry.get(), session) {
            return;
        }
        entry.remove();
        if let Entry::Occupied(mut of_client) = self.by_client.entry(session.key.client.ip()) {
            *of_client.get_mut() -= 1;
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
    }
}
