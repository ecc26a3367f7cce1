//! The server: TCP as the module above says, and UDP echo, on one port.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddrV4,
};

use anyhow::{Context as _, Result};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{MESSAGE, bulk::PIECE, say_ready};

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
/// How much of a bulk transfer is done before others have their turn.
const PIECES_A_TURN: usize = 64;

struct Connection {
    stream: TcpStream,
    purpose: u8,
    request: Vec<u8>,
    received: u64,
}

/// Whether a connection goes on, wants its turn again at once, or is over.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Again,
    Close,
}

/// Serves until it is killed.
pub(super) fn serve(at: SocketAddrV4) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(at.into()).with_context(|| format!("cannot listen on {at}"))?;
    let mut datagrams = UdpSocket::bind(at.into()).with_context(|| format!("cannot receive on {at}"))?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry()
        .register(&mut datagrams, DATAGRAMS, Interest::READABLE)?;
    say_ready()?;
    let mut events = Events::with_capacity(1024);
    let mut connections: HashMap<usize, Connection> = HashMap::new();
    let mut busy: Vec<usize> = Vec::new();
    let mut next = 2;
    let mut buffer = vec![0_u8; PIECE];
    loop {
        let patience = (!busy.is_empty()).then_some(std::time::Duration::ZERO);
        match poll.poll(&mut events, patience) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut ready = std::mem::take(&mut busy);
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut connections, &mut next, &mut ready)?,
                DATAGRAMS => echo(&datagrams, &mut buffer),
                Token(token) => ready.push(token),
            }
        }
        ready.sort_unstable();
        ready.dedup();
        for token in ready {
            let Some(connection) = connections.get_mut(&token) else {
                continue;
            };
            match connection.advance(&mut buffer) {
                Next::Wait => {}
                Next::Again => busy.push(token),
                Next::Close => drop(connections.remove(&token)),
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut HashMap<usize, Connection>,
    next: &mut usize,
    ready: &mut Vec<usize>,
) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        let token = *next;
        *next += 1;
        stream.set_nodelay(true)?;
        poll.registry()
            .register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        connections.insert(
            token,
            Connection {
                stream,
                purpose: 0,
                request: Vec::with_capacity(MESSAGE),
                received: 0,
            },
        );
        ready.push(token);
    }
    Ok(())
}

fn echo(socket: &UdpSocket, buffer: &mut [u8]) {
    while let Ok((length, client)) = socket.recv_from(buffer) {
        // A client that is gone is its own affair.
        let _sent = socket.send_to(buffer.get(..length).unwrap_or_default(), client);
    }
}

impl Connection {
    fn advance(&mut self, buffer: &mut [u8]) -> Next {
        if self.purpose == b'd' {
            return self.give(buffer);
        }
        for _ in 0..PIECES_A_TURN {
            let length = match self.stream.read(buffer) {
                Ok(0) => return self.finish(),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => return Next::Close,
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            if self.purpose == 0 {
                self.purpose = bytes.first().copied().unwrap_or(0);
            }
            match self.purpose {
                b'u' => self.received += length as u64,
                b'd' => return Next::Again,
                purpose => {
                    self.request.extend_from_slice(bytes);
                    if self.request.len() < MESSAGE {
                        continue;
                    }
                    let answered = self.stream.write_all(&self.request);
                    self.request.clear();
                    if answered.is_err() || purpose != b'p' {
                        return Next::Close;
                    }
                }
            }
        }
        Next::Again
    }

    /// Sends what fits.
    fn give(&mut self, buffer: &[u8]) -> Next {
        for _ in 0..PIECES_A_TURN {
            match self.stream.write(buffer) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
        Next::Again
    }

    /// The client has ended its half.
    fn finish(&mut self) -> Next {
        if self.purpose == b'u' {
            // Without the byte that said what it is for.
            let total = self.received.saturating_sub(1);
            let _said = self.stream.write_all(&total.to_be_bytes());
        }
        Next::Close
    }
}
