//! Bytes of one connection, both ways: copied at first, and by `splice(2)` once a direction has much to carry.
//!
//! Most connections carry little, and two pipes cost more than that. A long transfer is worth them: its bytes never
//! enter this process.

use std::{
    cell::RefCell,
    io::{self, Read as _},
    net::Shutdown,
    os::fd::AsFd,
    pin::pin,
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, task::yield_now};

use super::{
    counters::{Counter, Counters},
    pipe::{Pipe, Pipes},
};

/// What is read at a time while bytes are copied.
const PIECE: usize = 64 << 10;
/// What a direction copies before it takes a pipe.
const COPIED: usize = 256 << 10;
/// What a direction carries before others have their turn.
const TURN: usize = 2 << 20;

thread_local! {
    // Filled and emptied between two awaits, so one does for every connection of a thread.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// Carries bytes and ends between both until both have ended.
///
/// Both must be set to reset on drop ([`super::socket`]). A side that has got everything, its end included, is
/// set back to close cleanly; any other is left to be reset, because an end would tell it that it has got everything.
pub(super) async fn relay(
    client: &TcpStream,
    container: &TcpStream,
    pipes: &Pipes,
    counters: &Counters,
) -> io::Result<()> {
    let mut request = pin!(one_way(client, container, pipes, &counters.bytes_in));
    let mut response = pin!(one_way(container, client, pipes, &counters.bytes_out));
    // Once a side has ended, nobody reads from it, so its failure has to be watched for.
    tokio::select! {
        done = &mut request => {
            done?;
            tokio::select! {
                done = response => done,
                error = failure(client) => Err(error),
            }
        }
        done = &mut response => {
            done?;
            tokio::select! {
                done = request => done,
                error = failure(container) => Err(error),
            }
        }
    }
}

/// Carries bytes until `from` ends, then ends `to`.
async fn one_way(from: &TcpStream, to: &TcpStream, pipes: &Pipes, bytes: &Counter) -> io::Result<()> {
    if !copy(from, to, bytes).await? {
        let mut pipe = pipes.take()?;
        splice(from, to, &mut pipe, bytes).await?;
        pipes.give(pipe);
    }
    let to = SockRef::from(to);
    to.shutdown(Shutdown::Write)?;
    to.set_linger(None)
}

/// Copies until `from` ends, which is true, or [`COPIED`] bytes.
async fn copy(from: &TcpStream, to: &TcpStream, bytes: &Counter) -> io::Result<bool> {
    let mut copied = 0;
    while copied < COPIED {
        from.readable().await?;
        let piece = BUFFER.with_borrow_mut(|buffer| Piece::carry(from, to, buffer));
        write_all(to, &piece.rest).await?;
        copied += piece.length;
        bytes.add(piece.length as u64);
        match piece.end {
            End::None => {}
            End::Orderly => return Ok(true),
            End::Failure(error) => return Err(error),
        }
    }
    Ok(false)
}

/// What was there to read at one time.
struct Piece {
    length: usize,
    /// What could not be written yet.
    rest: Vec<u8>,
    end: End,
}

/// How reading ended.
enum End {
    /// Not yet.
    None,
    /// There is no more.
    Orderly,
    /// The reader's side, or the writer's.
    Failure(io::Error),
}

impl Piece {
    /// Reads what is there, writes what can be written.
    fn carry(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> Self {
        let (length, mut end) = read(from, buffer);
        let bytes = buffer.get(..length).unwrap_or_default();
        // The last bytes wait for the end, to leave in one segment with it.
        let more = match end {
            End::Orderly => libc::MSG_MORE,
            End::None | End::Failure(_) => 0,
        };
        let written = match write(to, bytes, more) {
            Ok(written) => written,
            Err(error) => {
                end = End::Failure(error);
                length
            }
        };
        Self {
            length,
            rest: bytes.get(written..).unwrap_or_default().to_vec(),
            end,
        }
    }
}

/// What `from` has to say so far, up to a piece. Nothing if it has ended: that is seen later.
pub(super) fn with_opening<T>(from: &TcpStream, open: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    BUFFER.with_borrow_mut(|buffer| {
        // Directly: tokio does not know yet what a new socket has.
        let length = match (&*SockRef::from(from)).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            read => read?,
        };
        Ok(open(buffer.get(..length).unwrap_or_default()))
    })
}

/// Fills `buffer` as far as bytes are there.
fn read(from: &TcpStream, buffer: &mut [u8]) -> (usize, End) {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match from.try_io(Interest::READABLE, || (&*SockRef::from(from)).read(room)) {
            Ok(0) => return (length, End::Orderly),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return (length, End::Failure(error)),
        }
    }
    (length, End::None)
}

/// Writes what fits, directly: a socket that tokio takes for full, or not for writable yet, may have room by now.
pub(super) fn write<S: AsFd>(to: &S, bytes: &[u8], flags: i32) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match SockRef::from(to).send_with_flags(bytes, flags | libc::MSG_NOSIGNAL) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

/// Writes everything, when there is room.
pub(super) async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Moves what comes until `from` ends.
async fn splice(from: &TcpStream, to: &TcpStream, pipe: &mut Pipe, bytes: &Counter) -> io::Result<()> {
    let mut carried = 0;
    loop {
        from.readable().await?;
        let filled = from.try_io(Interest::READABLE, || pipe.fill(from));
        let end = match filled {
            Ok(0) => return Ok(()),
            Ok(length) => {
                carried += length;
                bytes.add(length as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => Err(error),
        };
        while pipe.holds() > 0 {
            to.writable().await?;
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        end?;
        if carried >= TURN {
            carried = 0;
            yield_now().await;
        }
    }
}

/// Returns once `stream` has failed: its peer reset it, or no longer answers.
async fn failure(stream: &TcpStream) -> io::Error {
    match stream.ready(Interest::ERROR).await {
        Ok(_) => match stream.take_error() {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        },
        Err(error) => error,
    }
}
