//! HTTP over the engine's unix socket: one connection a request, and one that stays for the events.
//!
//! Whoever answers is not trusted to be sane: answers have a longest size and a longest time, and identifiers that come
//! from it are looked at before they go into a path.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinSet, time};

/// How long the engine may take for an answer: it answers late while it starts many containers.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer, in bytes. A container with 10,000 published ports has 1.5 MB.
const MAX_ANSWER: usize = 64 << 20;

/// The longest identifier; the engine's have 64 hexadecimal digits.
const MAX_ID: usize = 128;

/// The newest version of the API whose answers are known.
const NEWEST: Version = Version(1, 52);

/// Why there is no good answer, a sentence each.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No socket there, or nobody behind it.
    #[error("no engine answers at {}: {}", .0.display(), .1)]
    Absent(PathBuf, io::Error),
    /// No answer in time.
    #[error("the engine did not answer {} within {} seconds", .0, .1.as_secs())]
    Timeout(String, Duration),
    /// There is no such thing, or no longer.
    #[error("the engine knows nothing of {0}")]
    NotFound(String),
    /// The engine says no.
    #[error("the engine refuses {path} with {status}: {why}")]
    Refused {
        /// What was asked for.
        path: String,
        /// As HTTP has it.
        status: u16,
        /// In the engine's words.
        why: String,
    },
    /// Not what the engine's API says.
    #[error("the answer to {0} is not an engine's: {1}")]
    Malformed(String, String),
    /// No container or network is called so.
    #[error("{0:?} is no identifier of an engine's")]
    BadId(String),
    /// The stream of events has ended.
    #[error("the engine's events have ended: {0}")]
    Ended(String),
}

impl EngineError {
    /// Whether there is simply nobody.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent(..) | Self::Ended(_))
    }
}

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// Speaks to the engine at one socket.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
    version: Version,
    patience: Duration,
    most: usize,
}

/// An answer whose body is yet to come; its connection goes when this goes.
pub(super) struct Answer {
    pub(super) body: Incoming,
    _connection: JoinSet<()>,
}

impl Client {
    /// Asks who is there, and which version of the API to speak.
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub(super) async fn connect(socket: &Path) -> Result<Self, EngineError> {
        Self::connect_within(socket, PATIENCE, MAX_ANSWER).await
    }

    /// The same with another patience, for answers of so many bytes at the most.
    async fn connect_within(socket: &Path, patience: Duration, most: usize) -> Result<Self, EngineError> {
        let client = Self {
            socket: socket.to_owned(),
            version: NEWEST,
            patience,
            most,
        };
        let (response, _connection) = client.ask("/_ping").await?;
        let told = response.headers().get("api-version");
        let version = told
            .and_then(|value| value.to_str().ok())
            .and_then(Version::parse)
            .ok_or_else(|| malformed("/_ping", "it names no version of the API"))?;
        Ok(Self {
            version: version.min(NEWEST),
            ..client
        })
    }

    /// The answer to `path`, which begins with a slash and stands behind the version.
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        let path = &self.versioned(path);
        let (response, _connection) = self.ask(path).await?;
        let body = self.collect(path, response).await?;
        serde_json::from_slice(&body).map_err(|error| malformed(path, &error.to_string()))
    }

    /// An answer that goes on without end.
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub(super) async fn stream(&self, path: &str) -> Result<Answer, EngineError> {
        let (response, connection) = self.ask(&self.versioned(path)).await?;
        Ok(Answer {
            body: response.into_body(),
            _connection: connection,
        })
    }

    fn versioned(&self, path: &str) -> String {
        let Version(major, minor) = self.version;
        format!("/v{major}.{minor}{path}")
    }

    /// A good answer's head.
    async fn ask(&self, path: &str) -> Result<(Response<Incoming>, JoinSet<()>), EngineError> {
        let asked = time::timeout(self.patience, self.send(path)).await;
        let (response, connection) = asked.map_err(|_| self.late(path))??;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok((response, connection));
        }
        if status == StatusCode::NOT_FOUND {
            return Err(EngineError::NotFound(path.to_owned()));
        }
        let body = self.collect(path, response).await?;
        let refusal = serde_json::from_slice::<Refusal>(&body).unwrap_or_default();
        Err(EngineError::Refused {
            path: path.to_owned(),
            status: status.as_u16(),
            why: in_one_line(&refusal.message),
        })
    }

    async fn send(&self, path: &str) -> Result<(Response<Incoming>, JoinSet<()>), EngineError> {
        let absent = |error| EngineError::Absent(self.socket.clone(), error);
        let stream = UnixStream::connect(&self.socket).await.map_err(absent)?;
        let failed = |error: hyper::Error| malformed(path, &error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to the engine broke: {error}");
            }
        });
        let request = Request::get(path)
            .header(HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| malformed(path, &error.to_string()))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        Ok((response, task))
    }

    async fn collect(&self, path: &str, response: Response<Incoming>) -> Result<Bytes, EngineError> {
        let body = Limited::new(response.into_body(), self.most).collect();
        let body = time::timeout(self.patience, body)
            .await
            .map_err(|_| self.late(path))?;
        let body = body.map_err(|error| {
            let why = if error.is::<LengthLimitError>() {
                format!("it is longer than {} bytes", self.most)
            } else {
                error.to_string()
            };
            malformed(path, &why)
        })?;
        Ok(body.to_bytes())
    }

    fn late(&self, path: &str) -> EngineError {
        EngineError::Timeout(path.to_owned(), self.patience)
    }
}

/// `id`, if it may stand in a path.
pub(super) fn checked_id(id: &str) -> Result<&str, EngineError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_plain) {
        Ok(id)
    } else {
        Err(EngineError::BadId(shortened(id)))
    }
}

/// What the engine says when it says no.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
}

pub(super) fn malformed(path: &str, why: &str) -> EngineError {
    EngineError::Malformed(path.to_owned(), in_one_line(why))
}

/// The text without control characters and not without end: it quotes what somebody else sent.
fn in_one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    shortened(&line)
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";

    /// What comes of asking an engine that answers `answers` one after the other, and then is silent.
    async fn ask<const N: usize>(answers: [&'static str; N]) -> Result<Vec<String>, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = tokio::spawn(async move {
            let mut streams = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].ends_with(b"\r\n\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
                streams.push(stream);
            }
            std::future::pending::<()>().await;
        });
        let client = Client::connect_within(&socket, Duration::from_millis(200), 64).await;
        let answer = match client {
            Ok(client) => client.get::<Vec<String>>("/networks").await,
            Err(error) => Err(error),
        };
        serving.abort();
        answer
    }

    #[tokio::test]
    async fn an_answer_may_come_in_chunks_and_must_come_whole() {
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[\"a\r\n2\r\n\"]\r\n0\r\n\r\n";
        assert_eq!(ask([PING, chunks]).await.unwrap(), ["a"]);
        let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[\"a";
        assert!(matches!(ask([PING, half]).await, Err(EngineError::Timeout(..))));
    }

    #[tokio::test]
    async fn whoever_is_no_engine_is_found_out_and_not_waited_for() {
        let began = Instant::now();
        for answer in [
            "220 smtp.example.org\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        ] {
            assert!(
                matches!(ask([answer]).await, Err(EngineError::Malformed(..))),
                "{answer:?}"
            );
        }
        let bad_version = "HTTP/1.1 200 OK\r\nApi-Version: ../../x\r\nContent-Length: 2\r\n\r\nOK";
        assert!(matches!(
            ask([bad_version]).await,
            Err(EngineError::Malformed(..))
        ));
        assert!(
            matches!(ask([""]).await, Err(EngineError::Timeout(..))),
            "a silent one"
        );
        assert!(
            matches!(ask([PING]).await, Err(EngineError::Timeout(..))),
            "one that falls silent"
        );
        assert!(began.elapsed() < Duration::from_secs(10));
        let nobody = Client::connect(Path::new("/nowhere/engine.sock")).await;
        assert!(nobody.is_err_and(|error| error.is_absence()));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n\
            [\"                                                                              ";
        let error = ask([PING, long]).await.unwrap_err().to_string();
        assert!(error.contains("longer than 64 bytes"), "{error}");
    }

    #[tokio::test]
    async fn an_engines_refusal_is_told_in_its_words_on_one_line() {
        let refusal =
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 32\r\n\r\n{\"message\":\"client\\nis too old\"}";
        let error = ask([PING, refusal]).await.unwrap_err().to_string();
        assert!(error.ends_with("with 400: client is too old"), "{error}");
    }

    #[test]
    fn versions_are_numbers_not_text() {
        assert!(Version::parse("1.9") < Version::parse("1.41"));
        assert_eq!(Version::parse("1.52"), Some(NEWEST));
        for text in ["", "1", "1.", "a.b", "1.41\n"] {
            assert_eq!(Version::parse(text), None);
        }
    }

    #[test]
    fn an_identifier_cannot_lead_to_another_path() {
        assert!(checked_id(&"0f".repeat(32)).is_ok());
        for id in [
            "",
            "../info",
            "a/b",
            "a?b",
            "a b",
            "a%2f",
            "a\r\nb",
            &"a".repeat(129),
        ] {
            assert!(matches!(checked_id(id), Err(EngineError::BadId(_))), "{id}");
        }
    }

    #[test]
    fn what_is_quoted_of_an_answer_stays_on_its_line() {
        let told = malformed("/info", &format!("a\nb\x1b[1m{}", "c".repeat(1_000))).to_string();
        assert!(!told.contains(char::is_control) && told.len() < 300, "{told}");
    }
}
