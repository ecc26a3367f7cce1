//! A small HTTP/1.1 server for people with `curl`, and the one request that the demo sends to it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;

use crate::{DEADLINE, Namespace, tcp};

/// A server in a namespace. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address` in `namespace`; its pages say `name` and the client's address.
    pub fn start(namespace: &Namespace, address: SocketAddrV4, name: &str) -> Result<Self> {
        let listener = namespace
            .try_run(|| TcpListener::bind(address))
            .with_context(|| format!("cannot listen on {address} in {}", namespace.name()))?;
        let accepting = listener.try_clone()?;
        let name = name.to_owned();
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let name = name.clone();
                // A client that goes away is its own affair.
                thread::spawn(move || serve(&stream, &name));
            }
        });
        Ok(Self {
            listener,
            acceptor: Some(acceptor),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _woken = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
    }
}

/// A page as a client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status, 200 when all is well.
    pub status: u16,
    /// The client's address as the server saw it.
    pub client: IpAddr,
    /// The whole text.
    pub body: String,
}

/// Gets `path` from `to`, as a client in `namespace`.
pub fn get(namespace: &Namespace, to: SocketAddrV4, path: &str) -> Result<Page> {
    let mut stream = tcp::connect(namespace, None, to, DEADLINE)?
        .with_context(|| format!("cannot connect from {} to {to}", namespace.name()))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .with_context(|| format!("{to} did not answer"))?;
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer came")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no HTTP status came")?;
    ensure!(body.contains(path), "asked for {path}, got {body:?}");
    let client = body
        .lines()
        .find_map(|line| line.strip_prefix("client: "))
        .and_then(|word| word.parse().ok())
        .context("the page does not say who the client is")?;
    Ok(Page {
        status,
        client,
        body: body.to_owned(),
    })
}

fn serve(stream: &TcpStream, name: &str) -> Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let client = stream.peer_addr()?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut header = String::new();
    while {
        header.clear();
        reader.read_line(&mut header)?
    } > 2
    {}
    let body = format!(
        "This is {name}.\nyou asked for: {path}\nclient: {}\nport: {}\n",
        client.ip(),
        client.port()
    );
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}
