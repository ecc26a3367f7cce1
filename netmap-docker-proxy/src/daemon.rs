//! netmap's daemon, which carries the port: asked once, and again whenever it was started anew.

use std::{
    io::{self, IoSlice, Read as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use netmap_docker_proxy::{
    frame::{self, Answer, Port, Request, Verb},
    note,
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::{
    engine::{Engine, Event},
    status::LISTENER,
};

/// How long an answer may take: the engine waits 16 seconds for it.
const PATIENCE: Duration = Duration::from_secs(14);
/// How long the engine may have to wait when it takes the port back; what was sent is done anyway.
const FAREWELL: Duration = Duration::from_secs(3);
/// A daemon that is restarted is away for about so long.
const ABSENCE: Duration = Duration::from_secs(2);
/// Pauses between looks for a daemon that is away, in milliseconds.
const PAUSES: (u16, u16) = (100, 5_000);

/// Why the port is not carried.
#[derive(Debug)]
pub(crate) enum Error {
    /// Nobody listens, or he went away.
    Absent(String),
    /// The daemon says no.
    Refused(String),
}

/// The daemon, as far as it knows of this port.
pub(crate) struct Daemon {
    socket: PathBuf,
    port: Port,
    has_socket: bool,
    link: Option<Link>,
    pause: u16,
}

impl Daemon {
    pub(crate) fn new(socket: PathBuf, port: Port, has_socket: bool) -> Self {
        Self {
            socket,
            port,
            has_socket,
            link: None,
            pause: PAUSES.0,
        }
    }

    /// Has the port carried. False when the engine does not want it any more. A daemon that is being restarted is waited for,
    /// if `waits`.
    pub(crate) fn publish(&mut self, engine: &mut Engine, waits: bool) -> Result<bool, Error> {
        let start = Instant::now();
        while let Err(error) = self.ask_to_publish() {
            if !waits || start.elapsed() > ABSENCE {
                return Err(self.absent(&error));
            }
            if let Event::Unpublish | Event::Leave = engine.wait(None::<&UnixStream>, Some(PAUSES.0)) {
                return Ok(false);
            }
        }
        match self.hear(engine, Instant::now() + PATIENCE) {
            Heard::Answer(answer) => answer.map(|()| true).map_err(Error::Refused),
            Heard::Signal(Event::Unpublish) => {
                self.unpublish(engine);
                Ok(false)
            }
            Heard::Signal(_) => Ok(false),
            Heard::Closed(error) => Err(self.absent(&error)),
            Heard::Nothing => Err(Error::Refused(format!(
                "netmap did not answer at {} within {} seconds",
                self.socket.display(),
                PATIENCE.as_secs()
            ))),
        }
    }

    /// Stands for the port until the engine says otherwise.
    pub(crate) fn stand(&mut self, engine: &mut Engine) {
        loop {
            let event = match &self.link {
                Some(link) => engine.wait(Some(&link.stream), None),
                None => engine.wait(None::<&UnixStream>, Some(self.pause)),
            };
            match event {
                Event::Unpublish => return self.unpublish(engine),
                Event::Leave => return,
                // An answer to what was asked anew: nobody waits for it.
                Event::Daemon => {
                    if self.link.as_mut().is_some_and(|link| link.skip().is_err()) {
                        self.link = None;
                        self.pause = PAUSES.0;
                    }
                }
                Event::Timeout => {
                    if self.ask_to_publish().is_err() {
                        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
                    }
                }
            }
        }
    }

    /// Has the port carried no longer. Where no daemon is to hear it, it leaves a note for the next.
    fn unpublish(&mut self, engine: &mut Engine) {
        let asked = self.ask(Verb::Unpublish).or_else(|_| {
            // Perhaps it is back.
            self.link = Some(Link::open(&self.socket)?);
            self.ask(Verb::Unpublish)
        });
        if asked.is_err() {
            if let Err(error) = note::leave(&self.socket, self.port) {
                eprintln!("netmap-docker-proxy: no note can be left that the port goes: {error}");
            }
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        // Answers come in the order of what was asked.
        while self.link.as_ref().is_some_and(|link| link.asked > 0) {
            match self.hear(engine, deadline) {
                Heard::Answer(_) | Heard::Signal(Event::Unpublish) => {}
                Heard::Signal(_) | Heard::Nothing => return,
                Heard::Closed(_) => {
                    // Whether it has heard it is not known.
                    let _without = note::leave(&self.socket, self.port);
                    return;
                }
            }
        }
    }

    fn ask_to_publish(&mut self) -> io::Result<()> {
        self.link = Some(Link::open(&self.socket)?);
        let asked = self.ask(Verb::Publish);
        if asked.is_err() {
            self.link = None;
        }
        asked
    }

    fn ask(&mut self, verb: Verb) -> io::Result<()> {
        let link = self.link.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        link.ask(&Request {
            verb,
            port: self.port,
            has_socket: self.has_socket && verb == Verb::Publish,
        })
    }

    /// Waits for what the daemon or the engine says next.
    fn hear(&mut self, engine: &mut Engine, deadline: Instant) -> Heard {
        loop {
            let Some(link) = self.link.as_mut() else {
                return Heard::Closed(io::ErrorKind::NotConnected.into());
            };
            if let Some(answer) = link.next() {
                return Heard::Answer(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A millisecond more than none: it is not awake before its time.
            let left = u16::try_from(left.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
            match engine.wait(Some(&link.stream), Some(left)) {
                Event::Daemon => {
                    if let Err(error) = link.read() {
                        return Heard::Closed(error);
                    }
                }
                Event::Timeout => return Heard::Nothing,
                signal => return Heard::Signal(signal),
            }
        }
    }

    fn absent(&self, error: &io::Error) -> Error {
        let socket = self.socket.display();
        Error::Absent(format!(
            "netmap is not there to carry this port: nobody answers at {socket} ({error}); start it with `netmap run`, or set \
             NETMAP_FALLBACK=1 in the engine's environment"
        ))
    }
}

enum Heard {
    Answer(Result<(), String>),
    Signal(Event),
    Closed(io::Error),
    Nothing,
}

/// A connection to the daemon.
struct Link {
    stream: UnixStream,
    /// Answers that are still to come.
    asked: u8,
    /// What has arrived of them.
    arrived: [u8; frame::MOST],
    length: usize,
}

impl Link {
    fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            asked: 0,
            arrived: [0; frame::MOST],
            length: 0,
        })
    }

    fn ask(&mut self, request: &Request) -> io::Result<()> {
        let bytes = request.encode();
        let descriptors = [LISTENER];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights: &[_] = if request.has_socket { &rights } else { &[] };
        let socket = self.stream.as_raw_fd();
        let sent = sendmsg::<()>(
            socket,
            &[IoSlice::new(&bytes)],
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        // Less than a page is taken whole, or not at all.
        if sent != bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.asked = self.asked.saturating_add(1);
        Ok(())
    }

    /// Reads answers that nobody waits for.
    fn skip(&mut self) -> io::Result<()> {
        self.read()?;
        while self.next().is_some() {}
        Ok(())
    }

    /// Reads what has arrived; an error if the daemon is gone.
    fn read(&mut self) -> io::Result<()> {
        let room = self.arrived.get_mut(self.length..).unwrap_or_default();
        match self.stream.read(room) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.length += length;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next answer, if all of it is there.
    fn next(&mut self) -> Option<Result<(), String>> {
        let (answer, taken) = Answer::decode(self.arrived.get(..self.length)?)?;
        let answer = match answer {
            Answer::Done => Ok(()),
            Answer::Refused(why) => Err(why.to_owned()),
        };
        self.arrived.copy_within(taken..self.length, 0);
        self.length -= taken;
        self.asked = self.asked.saturating_sub(1);
        Some(answer)
    }
}
