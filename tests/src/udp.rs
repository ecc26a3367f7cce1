//! A UDP server that says whom it sees, and its clients.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, SockRef, Type};

use crate::{Answer, DEADLINE, Namespace};

/// A server in a namespace. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    socket: UdpSocket,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers at `address` in `namespace`.
    pub fn start(namespace: &Namespace, address: impl Into<SocketAddr>) -> Result<Self> {
        let address = address.into();
        let socket = namespace
            .try_run(|| crate::bind(|| UdpSocket::bind(address)))
            .with_context(|| format!("cannot bind {address} in {}", namespace.name()))?;
        Self::of(socket)
    }

    /// Answers what comes to `socket`.
    pub fn of(socket: UdpSocket) -> Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (serving, stopping_there) = (socket.try_clone()?, Arc::clone(&stopping));
        let thread = thread::spawn(move || serve(&serving, &stopping_there));
        Ok(Self {
            socket,
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Says "not connected", and wakes the reader all the same.
        let _woken = SockRef::from(&self.socket).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    to: SocketAddr,
    connected: bool,
}

impl Client {
    /// A connected socket in `namespace`: the kernel takes answers from `to` only.
    pub fn connected(namespace: &Namespace, to: impl Into<SocketAddr>) -> Result<Self> {
        let to = to.into();
        Self::open(namespace, anywhere(to), to, true)
    }

    /// The same, bound to `from` before it is connected.
    pub fn connected_from(
        namespace: &Namespace,
        from: impl Into<SocketAddr>,
        to: impl Into<SocketAddr>,
    ) -> Result<Self> {
        Self::open(namespace, from.into(), to.into(), true)
    }

    /// An unconnected socket in `namespace`, bound to `from`, which gets answers from anybody and checks them itself.
    pub fn unconnected(
        namespace: &Namespace,
        from: impl Into<SocketAddr>,
        to: impl Into<SocketAddr>,
    ) -> Result<Self> {
        Self::open(namespace, from.into(), to.into(), false)
    }

    fn open(namespace: &Namespace, from: SocketAddr, to: SocketAddr, connected: bool) -> Result<Self> {
        let socket = namespace.socket(Domain::for_address(to), Type::DGRAM)?;
        let open = || {
            // Who connects without a bind leaves address and port to the kernel at once.
            if !connected || from != anywhere(to) {
                crate::bind(|| socket.bind(&from.into()))?;
            }
            if connected {
                socket.connect(&to.into())?;
            }
            io::Result::Ok(())
        };
        open()
            .with_context(|| format!("cannot open a socket from {from} to {to} in {}", namespace.name()))?;
        Ok(Self {
            socket: socket.into(),
            to,
            connected,
        })
    }

    /// Its own end.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// The socket itself.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Asks once and waits for the answer, which must carry the same payload and come from where the question went.
    pub fn ask(&self, payload: &str) -> Result<Answer> {
        self.send(payload)?;
        let answer = self
            .receive(DEADLINE)?
            .with_context(|| format!("{} did not answer {payload:?} within {DEADLINE:?}", self.to))?;
        ensure!(
            answer.payload == payload,
            "asked {payload:?}, answered {:?}",
            answer.payload
        );
        Ok(answer)
    }

    /// Sends one datagram.
    pub fn send(&self, payload: &str) -> Result<()> {
        self.try_send(payload.as_bytes())
            .with_context(|| format!("cannot send to {}", self.to))
    }

    /// Sends one datagram and gives the kernel's answer as it is.
    pub fn try_send(&self, payload: &[u8]) -> io::Result<()> {
        if self.connected {
            self.socket.send(payload)?;
        } else {
            self.socket.send_to(payload, self.to)?;
        }
        Ok(())
    }

    /// The next answer, `None` if there is none within `patience`.
    pub fn receive(&self, patience: Duration) -> Result<Option<Answer>> {
        let mut buffer = vec![0; 65_536];
        self.socket.set_read_timeout(Some(patience))?;
        let (length, from) = match self.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) => bail!("{} does not answer: {error}", self.to),
        };
        ensure!(
            from == self.to,
            "the question went to {}, the answer came from {from}",
            self.to
        );
        Answer::from_bytes(buffer.get(..length).unwrap_or_default()).map(Some)
    }
}

/// Opens a connected socket, asks once, and closes it.
pub fn request(namespace: &Namespace, to: impl Into<SocketAddr>, payload: &str) -> Result<Answer> {
    Client::connected(namespace, to)?
        .ask(payload)
        .with_context(|| format!("from {}", namespace.name()))
}

/// The same with an unconnected socket.
pub fn request_unconnected(
    namespace: &Namespace,
    to: impl Into<SocketAddr>,
    payload: &str,
) -> Result<Answer> {
    let to = to.into();
    Client::unconnected(namespace, anywhere(to), to)?
        .ask(payload)
        .with_context(|| format!("from {}", namespace.name()))
}

/// Any address of the family, and any port.
fn anywhere(of: SocketAddr) -> SocketAddr {
    match of {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn serve(socket: &UdpSocket, stopping: &AtomicBool) {
    let Ok(local) = socket.local_addr() else {
        return;
    };
    let mut buffer = vec![0; 65_536];
    while !stopping.load(Ordering::Relaxed) {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            // Nothing for a while, or an ICMP error about an earlier answer.
            continue;
        };
        let payload = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if let Ok(line) = Answer::new(client, local, payload).to_line() {
            // The client notices when nothing comes.
            let _sent = socket.send_to(&line, client);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
