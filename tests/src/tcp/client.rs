//! The clients.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Type};

use super::{receive, send};
use crate::{Answer, DEADLINE, Namespace};

/// A connection to a [`Server`](super::Server).
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects from `namespace` to `to`.
    pub fn connect(namespace: &Namespace, to: impl Into<SocketAddr>) -> Result<Self> {
        let to = to.into();
        Self::of(connect(namespace, None, to, DEADLINE)?)
            .with_context(|| format!("cannot connect from {} to {to}", namespace.name()))
    }

    /// The same, with so much patience for this and all that follows, in place of [`DEADLINE`].
    pub fn connect_within(
        namespace: &Namespace,
        to: impl Into<SocketAddr>,
        patience: Duration,
    ) -> Result<Self> {
        let to = to.into();
        let client = Self::of(connect(namespace, None, to, patience)?)
            .with_context(|| format!("cannot connect from {} to {to}", namespace.name()))?;
        client.stream.get_ref().set_write_timeout(Some(patience))?;
        client.set_patience(patience)?;
        Ok(client)
    }

    /// The same, from the address and port `from`.
    pub fn connect_from(
        namespace: &Namespace,
        from: impl Into<SocketAddr>,
        to: impl Into<SocketAddr>,
    ) -> Result<Self> {
        let (from, to) = (from.into(), to.into());
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

    /// The other end, as the kernel tells it to the client.
    pub fn peer(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().peer_addr()?)
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
pub fn request(namespace: &Namespace, to: impl Into<SocketAddr>, payload: &str) -> Result<Answer> {
    let mut client = Client::connect(namespace, to)?;
    let answer = client.ask(payload)?;
    client.finish()?;
    Ok(answer)
}

/// Connects from `namespace` and gives the kernel's answer as it is, after `patience` at the latest.
pub fn connect(
    namespace: &Namespace,
    from: Option<SocketAddr>,
    to: impl Into<SocketAddr>,
    patience: Duration,
) -> Result<io::Result<TcpStream>> {
    let to = to.into();
    let socket = namespace.socket(Domain::for_address(to), Type::STREAM)?;
    let connect = || {
        if let Some(from) = from {
            socket.set_reuse_address(true)?;
            crate::bind(|| socket.bind(&from.into()))?;
        }
        socket.connect_timeout(&to.into(), patience)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))
    };
    Ok(connect().map(|()| socket.into()))
}
