//! The server.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, bail};
use socket2::SockRef;

use super::{receive_as, send};
use crate::{Answer, Namespace, http};

/// A server in a namespace. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Of the clients that are here, by the order in which they came.
    streams: Mutex<BTreeMap<u64, TcpStream>>,
    taken: Mutex<Vec<Answer>>,
}

impl Server {
    /// Listens on `address` in `namespace`.
    pub fn start(namespace: &Namespace, address: impl Into<SocketAddr>) -> Result<Self> {
        let address = address.into();
        let listener = namespace
            .try_run(|| crate::bind(|| TcpListener::bind(address)))
            .with_context(|| format!("cannot listen on {address} in {}", namespace.name()))?;
        Self::of(listener)
    }

    /// Serves those who connect to `listener`.
    pub fn of(listener: TcpListener) -> Result<Self> {
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
        for stream in self.shared.streams().values() {
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept() {
        number += 1;
        let shared_there = Arc::clone(shared);
        if let Ok(copy) = stream.try_clone() {
            shared.streams().insert(number, copy);
        }
        thread::spawn(move || {
            // A client that goes away is its own affair; what it did not get, it reports.
            let _served = serve(stream, &shared_there);
            shared_there.streams().remove(&number);
        });
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
            "GET" => return http::serve(stream, rest, &answer),
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
