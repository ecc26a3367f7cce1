//! Connections one after the other, several at a time.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{MESSAGE, Outcome, PATIENCE, request};

/// A connection under way.
struct Connection {
    stream: TcpStream,
    request: [u8; MESSAGE],
    answer: [u8; MESSAGE],
    read: usize,
    is_sent: bool,
    began: Instant,
}

/// How far a connection is.
enum Progress {
    Waiting,
    Done,
    Failed,
}

/// Keeps `at_once` connections going for `time`.
pub(super) fn run(to: SocketAddrV4, time: Duration, at_once: usize) -> Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(at_once);
    let mut outcome = Outcome::default();
    let mut connections = Vec::with_capacity(at_once);
    for turn in 0..at_once {
        connections.push(Connection::open(&poll, to, turn, 0)?);
    }
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < time {
        poll.poll(&mut events, Some(PATIENCE / 4))?;
        let mut ended = Vec::with_capacity(at_once);
        for event in &events {
            let index = event.token().0;
            let Some(connection) = connections.get_mut(index) else {
                continue;
            };
            match connection.advance() {
                Progress::Waiting => continue,
                Progress::Done => outcome.done += 1,
                Progress::Failed => outcome.failed += 1,
            }
            ended.push(index);
        }
        if events.is_empty() {
            for (index, connection) in connections.iter().enumerate() {
                if connection.began.elapsed() > PATIENCE {
                    outcome.failed += 1;
                    ended.push(index);
                }
            }
        }
        for index in ended {
            turn += 1;
            if let Some(connection) = connections.get_mut(index) {
                *connection = Connection::open(&poll, to, index, turn)?;
            }
        }
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}

impl Connection {
    fn open(poll: &Poll, to: SocketAddrV4, index: usize, turn: u64) -> Result<Self> {
        let mut stream = TcpStream::connect(to.into()).with_context(|| format!("cannot connect to {to}"))?;
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            request: request(b'r', turn),
            answer: [0; MESSAGE],
            read: 0,
            is_sent: false,
            began: Instant::now(),
        })
    }

    /// Does what can be done now.
    fn advance(&mut self) -> Progress {
        if !self.is_sent {
            match self.stream.write(&self.request) {
                Ok(MESSAGE) => self.is_sent = true,
                Err(error) if is_early(&error) => return Progress::Waiting,
                Ok(_) | Err(_) => return Progress::Failed,
            }
        }
        loop {
            // One byte more than an answer, to see the end.
            let mut buffer = [0; MESSAGE + 1];
            let length = match self.stream.read(&mut buffer) {
                Ok(0) if self.read == MESSAGE && self.answer == self.request => return Progress::Done,
                Ok(0) => return Progress::Failed,
                Ok(length) => length,
                Err(error) if is_early(&error) => return Progress::Waiting,
                Err(_) => return Progress::Failed,
            };
            let (Some(to), Some(from)) = (
                self.answer.get_mut(self.read..self.read + length),
                buffer.get(..length),
            ) else {
                return Progress::Failed;
            };
            to.copy_from_slice(from);
            self.read += length;
        }
    }
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
