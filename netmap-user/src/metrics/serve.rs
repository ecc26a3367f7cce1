//! Who may ask for metrics, and how often they are read.
//!
//! Over TCP anybody may ask who reaches the address: so many at a time, for so long, and what they get may be a second old.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use hyper::body::Bytes;
use tokio::{
    net,
    sync::{Semaphore, mpsc, oneshot, watch},
    time,
};
use tracing::{debug, info, warn};

use super::{
    Word,
    collect::Reader,
    page::{self, Format},
};
use crate::{api::server::serve_client, maps::MapsError, sandbox};

/// How many clients are served over TCP at a time; more wait in the kernel's queue.
const MAX_CLIENTS: usize = 16;
/// How long a client may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where half of the places are taken.
const CROWDED: Duration = Duration::from_secs(1);
/// How long the daemon's loop may take for its word.
const WORD: Duration = Duration::from_secs(5);
/// How old numbers may be over TCP: whoever asks all the time has them read no more often than this.
const AGE: Duration = Duration::from_secs(1);

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address cannot be had.
    #[error("metrics cannot be served at {0}: {why}; choose another address or port with --metrics", why = why(.1))]
    Bind(SocketAddr, io::Error),
    /// No thread.
    #[error("metrics cannot be served: {0}")]
    Thread(io::Error),
    /// No maps.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has that port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// Listens at `address`, before there is anything to be told.
///
/// # Errors
///
/// The address cannot be had.
pub fn listen(address: SocketAddr) -> Result<TcpListener, MetricsError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| MetricsError::Bind(address, error))
}

/// The thread that reads and serves them. It ends with this.
#[derive(Debug)]
pub struct Metrics {
    asks: mpsc::Sender<Ask>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Somebody wants the text.
#[derive(Debug)]
struct Ask {
    /// How old it may be.
    age: Duration,
    answer: oneshot::Sender<Bytes>,
}

/// A door to the thread.
#[derive(Clone, Debug)]
struct Door {
    asks: mpsc::Sender<Ask>,
    age: Duration,
}

impl Metrics {
    /// Serves what is in the maps pinned below `pin_dir`, at `listener` too if there is one. The daemon's loop is asked for its
    /// word by `words`.
    ///
    /// # Errors
    ///
    /// The maps cannot be opened, or there is no thread to be had.
    pub fn start(
        pin_dir: &Path,
        listener: Option<TcpListener>,
        words: mpsc::Sender<oneshot::Sender<Word>>,
    ) -> Result<Self, MetricsError> {
        let reader = Reader::open(pin_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(MetricsError::Thread)?;
        let (asks, asked) = mpsc::channel(MAX_CLIENTS);
        let (stop, stopped) = oneshot::channel();
        let door = Door {
            asks: asks.clone(),
            age: AGE,
        };
        let serve = move || {
            sandbox::enter_as_reader();
            runtime.block_on(async {
                tokio::select! {
                    () = answer(&reader, asked, &words) => {}
                    () = serve(listener, door) => {}
                    // A sender that is gone says the same.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(serve)
            .map_err(MetricsError::Thread)?;
        Ok(Self {
            asks,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `GET /metrics`, with numbers of the moment.
    pub fn paths(&self) -> Router {
        Door {
            asks: self.asks.clone(),
            age: Duration::ZERO,
        }
        .paths()
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .unwrap_or_else(|_| warn!("the thread that serves metrics did not end well"));
        }
    }
}

/// Answers one after the other: reading is work, and one that is not waited for any more is not done.
async fn answer(
    reader: &Reader,
    mut asked: mpsc::Receiver<Ask>,
    words: &mpsc::Sender<oneshot::Sender<Word>>,
) {
    let mut latest: Option<(Instant, Bytes)> = None;
    while let Some(Ask { age, answer }) = asked.recv().await {
        if answer.is_closed() {
            continue;
        }
        let young = latest.as_ref().filter(|(read, _)| read.elapsed() < age);
        let text = if let Some((_, text)) = young {
            text.clone()
        } else {
            let Some(word) = word(words).await else {
                debug!("the daemon has no time for metrics");
                continue;
            };
            match reader.read(&word) {
                Ok(text) => latest.insert((Instant::now(), text.into())).1.clone(),
                Err(error) => {
                    warn!("metrics cannot be read: {error:#}");
                    continue;
                }
            }
        };
        // Who has hung up does not wait for it.
        drop(answer.send(text));
    }
}

/// What the loop says, if it has the time.
async fn word(words: &mpsc::Sender<oneshot::Sender<Word>>) -> Option<Word> {
    let (answer, answered) = oneshot::channel();
    let asked = async {
        words.send(answer).await.ok()?;
        answered.await.ok()
    };
    time::timeout(WORD, asked).await.ok().flatten()
}

/// Serves clients over TCP; without a listener never returns.
async fn serve(listener: Option<TcpListener>, door: Door) {
    let Some(listener) = listener.and_then(|listener| {
        net::TcpListener::from_std(listener)
            .inspect_err(|error| warn!("metrics are not served over TCP: {error}"))
            .ok()
    }) else {
        return std::future::pending().await;
    };
    if let Ok(address) = listener.local_addr() {
        info!("metrics are at http://{address}/metrics");
    }
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    let router = door.paths();
    // Nobody is told to hurry: they go with the thread.
    let (_running, stopped) = watch::channel(());
    loop {
        // The semaphore is never closed.
        let slot = Arc::clone(&slots).acquire_owned().await.ok();
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                debug!("cannot accept a client of the metrics: {error}");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let patience = if slots.available_permits() < MAX_CLIENTS / 2 {
            CROWDED
        } else {
            PATIENCE
        };
        let serving = serve_client(client, slot, router.clone(), patience, stopped.clone());
        tokio::spawn(time::timeout(patience, serving));
    }
}

impl Door {
    fn paths(self) -> Router {
        Router::new().route("/metrics", get(metrics)).with_state(self)
    }
}

async fn metrics(State(door): State<Door>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::wanted_by(accept.unwrap_or_default());
    let (answer, answered) = oneshot::channel();
    let ask = Ask {
        age: door.age,
        answer,
    };
    let text = match door.asks.send(ask).await {
        Ok(()) => answered.await.ok(),
        Err(_) => None,
    };
    let Some(text) = text else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "netmap has no numbers at the moment\n",
        )
            .into_response();
    };
    let content_type = [(CONTENT_TYPE, format.content_type())];
    match format {
        Format::OpenMetrics => (content_type, text).into_response(),
        Format::Classic => {
            let text = page::classic(&String::from_utf8_lossy(&text));
            (content_type, text).into_response()
        }
    }
}
