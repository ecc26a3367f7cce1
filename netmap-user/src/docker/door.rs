//! Where the engine's proxies come in: a unix socket for the superuser alone. Each connection is a `netmap-docker-proxy`,
//! for as long as that lives.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use netmap_docker_proxy::frame::{self, Answer, FrameError, Port, Verb};
use nix::unistd::geteuid;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time,
};
use tracing::{debug, warn};

use super::ShimId;
use crate::{
    api::socket::{self, BindError},
    binding::{Binding, PortSpan, Published, Transport},
};

/// The daemon's user alone, and root.
const MODE: u32 = 0o600;
/// A daemon that is started anew finds every proxy in the queue.
const BACKLOG: i32 = 4096;
/// How long a proxy may take for a request that it has begun.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a proxy asks the daemon's loop for. A sender dropped says that the daemon stops.
#[derive(Debug)]
pub enum Request {
    /// Carry a port for as long as the proxy lives, and keep it by the socket that came with it.
    Publish {
        /// Who asks.
        shim: ShimId,
        /// The port.
        binding: Binding,
        /// The engine's own socket on it.
        socket: Option<OwnedFd>,
        /// Hears why not.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Carry it no longer.
    Unpublish {
        /// The port.
        binding: Binding,
        /// Hears that it is done.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// A proxy is gone without having said so.
    Gone(ShimId),
}

/// A socket that listens for proxies. Its file goes when this goes.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Listens at `path` from now on; proxies wait until [`Door::serve`] runs. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Another daemon lives there, or the file system refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let listener = socket::listen(path, MODE, BACKLOG)?;
        let listener =
            UnixListener::from_std(listener).map_err(|error| BindError::Io(path.to_owned(), error))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Hands on what proxies ask for, until it is dropped.
    pub async fn serve(self, requests: mpsc::Sender<Request>) {
        let mut last = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => {
                    last += 1;
                    let shim = Shim {
                        id: ShimId(last),
                        stream,
                        requests: requests.clone(),
                    };
                    tokio::spawn(shim.serve());
                }
                Ok(_) => warn!("somebody else than root wanted to publish ports as docker's"),
                Err(error) => {
                    warn!("cannot let a netmap-docker-proxy in: {error}");
                    time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!("the file of the proxies' socket is gone already: {error}");
        }
    }
}

/// Whether a proxy runs as root, as the engine does, or as the daemon's own user.
fn is_ours(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| [0, geteuid().as_raw()].contains(&peer.uid()))
}

/// One proxy.
struct Shim {
    id: ShimId,
    stream: UnixStream,
    requests: mpsc::Sender<Request>,
}

impl Shim {
    async fn serve(mut self) {
        if let Err(error) = self.hear().await {
            debug!("a netmap-docker-proxy went away: {error}");
        }
        // The loop ends with the daemon, and then nobody is to know.
        drop(self.requests.send(Request::Gone(self.id)).await);
    }

    /// Obeys until the proxy hangs up.
    async fn hear(&mut self) -> io::Result<()> {
        while let Some((request, socket)) = self.next().await? {
            let answer = match request {
                Ok(request) => self.obey(request, socket).await,
                Err(why) => Some(Err(why.sentence().to_owned())),
            };
            // The daemon stops: the proxy hears that its connection ends.
            let Some(answer) = answer else {
                return Ok(());
            };
            self.answer(
                answer
                    .as_ref()
                    .map_or_else(|why| Answer::Refused(why.as_str()), |()| Answer::Done),
            )
            .await?;
        }
        Ok(())
    }

    async fn obey(&self, request: frame::Request, socket: Option<OwnedFd>) -> Option<Result<(), String>> {
        let Some(binding) = binding(request.port) else {
            return Some(Err(FrameError::Malformed.sentence().to_owned()));
        };
        let (answer, answered) = oneshot::channel();
        let request = match request.verb {
            Verb::Publish if request.has_socket != socket.is_some() => {
                return Some(Err("the socket on the port has not arrived".to_owned()));
            }
            Verb::Publish => Request::Publish {
                shim: self.id,
                binding,
                socket,
                answer,
            },
            Verb::Unpublish => Request::Unpublish { binding, answer },
        };
        self.requests.send(request).await.ok()?;
        answered.await.ok()
    }

    async fn answer(&mut self, answer: Answer<'_>) -> io::Result<()> {
        let mut bytes = [0; frame::MOST];
        let length = answer.encode(&mut bytes);
        self.stream
            .write_all(bytes.get(..length).unwrap_or_default())
            .await
    }

    /// The next request, and the socket that came with it; `None` when the proxy has hung up.
    async fn next(&self) -> io::Result<Option<(Result<frame::Request, FrameError>, Option<OwnedFd>)>> {
        let (mut bytes, mut length) = ([0; frame::SIZE], 0);
        let mut socket = None;
        while length < frame::SIZE {
            let rest = bytes.get_mut(length..).unwrap_or_default();
            let receive = self
                .stream
                .async_io(Interest::READABLE, || receive(&self.stream, rest, &mut socket));
            let received = if length == 0 {
                receive.await?
            } else {
                time::timeout(PATIENCE, receive).await??
            };
            if received == 0 {
                return Ok(None);
            }
            length += received;
        }
        Ok(Some((frame::Request::decode(&bytes), socket)))
    }
}

/// Reads what is there, and takes a descriptor that comes with it.
fn receive(stream: &UnixStream, bytes: &mut [u8], socket: &mut Option<OwnedFd>) -> io::Result<usize> {
    // One more than is asked for, so that they are closed and not lost.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                socket.get_or_insert(descriptor);
            }
        }
    }
    Ok(received.bytes)
}

/// A port as everybody here knows it; `None` for port 0.
pub fn binding(port: Port) -> Option<Binding> {
    let span = |port| PortSpan::new(port, port).ok();
    Some(Binding {
        published: Published {
            host: port.host.ip(),
            ports: span(port.host.port())?,
            transport: match port.transport {
                frame::Transport::Tcp => Transport::Tcp,
                frame::Transport::Udp => Transport::Udp,
            },
        },
        target: port.container.ip(),
        target_ports: span(port.container.port())?,
        allow: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
