//! A TCP server that says whom it sees, and its clients.
//!
//! A client sends lines: `ask TEXT` is answered by an [`Answer`], as often as it likes. `take` reads to the client's
//! end and then answers, `give N` answers, sends N bytes and closes its half first, `echo` answers and sends back what
//! comes.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    Answer, DEADLINE, Namespace,
    answer::{Digest, Pattern},
};

/// A server in a namespace. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Vec<TcpStream>>,
    taken: Mutex<Vec<Answer>>,
}

impl Server {
    /// Listens on `address` in `namespace`.
    pub fn start(namespace: &Namespace, address: SocketAddrV4) -> Result<Self> {
        let listener = namespace
            .try_run(|| TcpListener::bind(address))
            .with_context(|| format!("cannot listen on {address} in {}", namespace.name()))?;
        let shared = Arc::new(Shared::default());
        let (accepting, shared_there) = (listener.try_clone()?, Arc::clone(&shared));
        let acceptor = thread::spawn(move || accept(&accepting, &shared_there));
        Ok(Self {
            listener,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// What clients sent after `give`, when they had ended.
    pub fn taken(&self) -> Vec<Answer> {
        self.shared
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the acceptor: on Linux, accept(2) on a listener that was shut down fails with EINVAL.
        let _woken = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
        for stream in self
            .shared
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection to a [`Server`].
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects from `namespace` to `to`.
    pub fn connect(namespace: &Namespace, to: SocketAddrV4) -> Result<Self> {
        Self::of(connect(namespace, None, to, DEADLINE)?)
            .with_context(|| format!("cannot connect from {} to {to}", namespace.name()))
    }

    /// The same, from the address and port `from`.
    pub fn connect_from(namespace: &Namespace, from: SocketAddrV4, to: SocketAddrV4) -> Result<Self> {
        Self::of(connect(namespace, Some(from), to, DEADLINE)?)
            .with_context(|| format!("cannot connect from {from} in {} to {to}", namespace.name()))
    }

    fn of(stream: io::Result<TcpStream>) -> Result<Self> {
        Ok(Self {
            stream: BufReader::new(stream?),
        })
    }

    /// Its own end.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// How long it waits from now on, in place of [`DEADLINE`].
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.get_ref().set_read_timeout(Some(patience))?)
    }

    /// Asks once; the answer must carry the same payload.
    pub fn ask(&mut self, payload: &str) -> Result<Answer> {
        self.say(&format!("ask {payload}"))?;
        let answer = Answer::read(&mut self.stream)?;
        ensure!(
            answer.payload == payload,
            "asked {payload:?}, answered {:?}",
            answer.payload
        );
        Ok(answer)
    }

    /// Ends both directions, having read whatever is still to come.
    pub fn finish(mut self) -> Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .context("the connection did not end")?;
        ensure!(rest.is_empty(), "{} bytes came that nobody asked for", rest.len());
        Ok(())
    }

    /// Sends `length` bytes and ends its half; the server answers only then.
    pub fn upload(mut self, length: u64) -> Result<Answer> {
        self.say("take")?;
        send(self.stream.get_mut(), length)?;
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        let answer = Answer::read(&mut self.stream)?;
        answer.ensure_whole(length)?;
        self.finish_reading()?;
        Ok(answer)
    }

    /// Has the server send `length` bytes and end its half, then sends `after` bytes on the half that is still open.
    pub fn download(mut self, length: u64, after: u64) -> Result<Answer> {
        self.say(&format!("give {length}"))?;
        let answer = Answer::read(&mut self.stream)?;
        receive(&mut self.stream)?.ensure_whole(length)?;
        send(self.stream.get_mut(), after)?;
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        Ok(answer)
    }

    /// Sends `length` bytes and has them sent back at the same time.
    pub fn echo(mut self, length: u64) -> Result<Answer> {
        self.say("echo")?;
        let answer = Answer::read(&mut self.stream)?;
        let mut sending = self.stream.get_ref().try_clone()?;
        let sender = thread::spawn(move || -> Result<()> {
            send(&mut sending, length)?;
            Ok(sending.shutdown(Shutdown::Write)?)
        });
        let came = receive(&mut self.stream);
        let Ok(sent) = sender.join() else {
            bail!("the sending thread panicked");
        };
        sent?;
        came?.ensure_whole(length)?;
        Ok(answer)
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }

    fn finish_reading(&mut self) -> Result<()> {
        ensure!(self.stream.fill_buf()?.is_empty(), "more came than the answer");
        Ok(())
    }
}

/// Connects, asks once, and ends the connection in good order.
pub fn request(namespace: &Namespace, to: SocketAddrV4, payload: &str) -> Result<Answer> {
    let mut client = Client::connect(namespace, to)?;
    let answer = client.ask(payload)?;
    client.finish()?;
    Ok(answer)
}

/// Connects from `namespace` and gives the kernel's answer as it is, after `patience` at the latest.
pub fn connect(
    namespace: &Namespace,
    from: Option<SocketAddrV4>,
    to: SocketAddrV4,
    patience: Duration,
) -> Result<io::Result<TcpStream>> {
    namespace.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(from) = from {
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from(from).into())?;
        }
        socket.connect_timeout(&SocketAddr::from(to).into(), patience)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        Ok(socket.into())
    })
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let shared_there = Arc::clone(shared);
        if let Ok(copy) = stream.try_clone() {
            shared
                .streams
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(copy);
        }
        // A client that goes away is its own affair; what it did not get, it reports.
        thread::spawn(move || serve(stream, &shared_there));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    let (client, local) = (stream.peer_addr()?, stream.local_addr()?);
    // Until the other end of the stream is closed, its copy in the list of streams keeps it open.
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while {
        line.clear();
        stream.read_line(&mut line)?
    } > 0
    {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let answer = Answer::new(client, local, rest);
        match word {
            "ask" => stream.get_mut().write_all(&answer.to_line()?)?,
            "take" => {
                let answer = receive_as(&mut stream, answer)?;
                stream.get_mut().write_all(&answer.to_line()?)?;
            }
            "give" => {
                stream.get_mut().write_all(&answer.to_line()?)?;
                send(stream.get_mut(), rest.parse()?)?;
                stream.get_ref().shutdown(Shutdown::Write)?;
                let taken = receive_as(&mut stream, answer)?;
                shared
                    .taken
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(taken);
            }
            "echo" => {
                stream.get_mut().write_all(&answer.to_line()?)?;
                echo(&mut stream)?;
            }
            _ => bail!("no such request: {line}"),
        }
    }
    stream.get_ref().shutdown(Shutdown::Both)?;
    Ok(())
}

fn echo(stream: &mut BufReader<TcpStream>) -> Result<()> {
    loop {
        let piece = stream.fill_buf()?.to_vec();
        if piece.is_empty() {
            return Ok(());
        }
        stream.get_mut().write_all(&piece)?;
        stream.consume(piece.len());
    }
}

fn send(stream: &mut TcpStream, length: u64) -> Result<()> {
    let mut pattern = Pattern::new(length);
    let mut sent = 0;
    while let Some(piece) = pattern.next_piece() {
        stream
            .write_all(piece)
            .with_context(|| format!("stuck after sending {sent} of {length} bytes"))?;
        sent += piece.len();
    }
    Ok(())
}

/// Reads to the end.
fn receive(stream: &mut BufReader<TcpStream>) -> Result<Answer> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    receive_as(stream, Answer::new(nobody, nobody, ""))
}

fn receive_as(stream: &mut BufReader<TcpStream>, answer: Answer) -> Result<Answer> {
    let mut digest = Digest::default();
    loop {
        let piece = stream
            .fill_buf()
            .with_context(|| format!("nothing more came after {} bytes", digest.bytes()))?;
        if piece.is_empty() {
            return Ok(answer.after(digest));
        }
        let length = piece.len();
        digest.add(piece);
        stream.consume(length);
    }
}
