//! The API's client, for the command line.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time};

use super::{
    events::WatchRequest,
    flows::{CloseRequest, Closed},
    types::{
        ConfigReport, DaemonStatus, Done, EngineNames, PublishRequest, Refusal, Reloaded, RuleUses,
        UnpublishRequest,
    },
};

/// How long the daemon may take for an answer: publishing a range looks for listeners on each port of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before another attempt where the daemon's queue of clients is full.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no good answer, a sentence each.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket there, or nobody behind it.
    #[error("netmap is not running (nothing answers at {}); start it with `netmap run`", .0.display())]
    NotRunning(PathBuf),
    /// The socket is not for this user.
    #[error("you may not talk to netmap at {}; run as root", .0.display())]
    Permission(PathBuf),
    /// No answer in time.
    #[error("netmap at {} did not answer within {} seconds", .0.display(), .1.as_secs())]
    Timeout(PathBuf, Duration),
    /// The daemon says no, and why; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// Whoever answers does not speak netmap's API, or stopped in the middle.
    #[error("the answer at {} is not netmap's: {}", .0.display(), .1)]
    Protocol(PathBuf, String),
}

/// Speaks to the daemon at one socket, one connection a request.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    /// A client of the daemon at `socket`. Nothing is connected yet.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            patience: PATIENCE,
        }
    }

    /// How long the daemon may take, instead of 30 seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Publishes all of them or none.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn publish(&self, request: &PublishRequest) -> Result<Done, ClientError> {
        let body = self.encode(request)?;
        self.ask(Method::POST, "/v1/publish", body).await
    }

    /// Takes back all of them or none.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn unpublish(&self, request: &UnpublishRequest) -> Result<Done, ClientError> {
        let body = self.encode(request)?;
        self.ask(Method::POST, "/v1/unpublish", body).await
    }

    /// How the daemon is.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        self.ask(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// What the engine's containers are called.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn names(&self) -> Result<EngineNames, ClientError> {
        self.ask(Method::GET, "/v1/names", Bytes::new()).await
    }

    /// What counts, and who says so.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn config(&self) -> Result<ConfigReport, ClientError> {
        self.ask(Method::GET, "/v1/config", Bytes::new()).await
    }

    /// When what is published was last used by flows that have ended.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn uses(&self) -> Result<RuleUses, ClientError> {
        self.ask(Method::GET, "/v1/uses", Bytes::new()).await
    }

    /// Forgets flows; how many there were.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn close_flows(&self, request: &CloseRequest) -> Result<Closed, ClientError> {
        let body = self.encode(request)?;
        self.ask(Method::POST, "/v1/flows/close", body).await
    }

    /// Has the daemon read its configuration file again.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.ask(Method::POST, "/v1/reload", Bytes::new()).await
    }

    /// What happens from now on.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn watch(&self, request: &WatchRequest) -> Result<Watching, ClientError> {
        let body = self.encode(request)?;
        let asked = async {
            let stream = UnixStream::connect(&self.socket)
                .await
                .map_err(|error| self.unreachable(&error))?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| self.protocol(error))?;
            // It ends with the daemon's answer, or when that is dropped.
            tokio::spawn(connection);
            sender
                .send_request(self.request(Method::POST, "/v1/watch", body)?)
                .await
                .map_err(|error| self.protocol(error))
        };
        let Ok(answer) = time::timeout(self.patience, asked).await else {
            return Err(ClientError::Timeout(self.socket.clone(), self.patience));
        };
        let answer = answer?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(Watching {
                client: self.clone(),
                body: answer.into_body(),
                rest: Vec::new(),
            });
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| self.protocol(error))?;
        match serde_json::from_slice(&body.to_bytes()) {
            Ok(Refusal { error }) => Err(ClientError::Refused(error)),
            Err(_) => Err(self.protocol(status)),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "netmap")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.protocol(error))
    }

    fn encode(&self, request: &impl Serialize) -> Result<Bytes, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.protocol(error))?;
        Ok(body.into())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let asked = self.exchange(method, path, body);
        let Ok(answer) = time::timeout(self.patience, asked).await else {
            return Err(ClientError::Timeout(self.socket.clone(), self.patience));
        };
        let (status, body) = answer?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| self.protocol(error));
        }
        match serde_json::from_slice(&body) {
            Ok(Refusal { error }) => Err(ClientError::Refused(error)),
            Err(_) => Err(self.protocol(status)),
        }
    }

    /// One request, one answer, one connection.
    async fn exchange(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.protocol(error))?;
        let request = self.request(method, path, body)?;
        let answered = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| self.protocol(error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|error| self.protocol(error))?;
            Ok((status, body.to_bytes()))
        };
        // The connection does the reading and writing; it may end first, when the server closes behind its answer.
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            answer = &mut answered => answer,
            _ = connection => answered.await,
        }
    }

    /// Waits for its turn: a queue that is full says so at once to who does not block.
    async fn connect(&self) -> Result<UnixStream, ClientError> {
        loop {
            match UnixStream::connect(&self.socket).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => time::sleep(PAUSE).await,
                connected => return connected.map_err(|error| self.unreachable(&error)),
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> ClientError {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning(socket),
            io::ErrorKind::PermissionDenied => ClientError::Permission(socket),
            _ => ClientError::Protocol(socket, error.to_string()),
        }
    }

    fn protocol(&self, error: impl std::fmt::Display) -> ClientError {
        ClientError::Protocol(self.socket.clone(), error.to_string())
    }
}

/// Events as they come.
#[derive(Debug)]
pub struct Watching {
    client: Client,
    body: Incoming,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl Watching {
    /// The next lines, each with its end; none when the daemon has stopped.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn lines(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            // A daemon that was killed has not said that it ends.
            let Some(Ok(frame)) = self.body.frame().await else {
                return Ok(None);
            };
            self.rest.extend(frame.into_data().unwrap_or_default());
            if self.rest.len() > MAX_ANSWER {
                return Err(self.client.protocol("a line without end"));
            }
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let rest = self.rest.split_off(end + 1);
            let lines = std::mem::replace(&mut self.rest, rest);
            return match String::from_utf8(lines) {
                Ok(lines) => Ok(Some(lines)),
                Err(error) => Err(self.client.protocol(error)),
            };
        }
    }
}
