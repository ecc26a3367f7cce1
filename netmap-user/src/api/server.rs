//! The API's server: takes requests in, hands them to the daemon's loop as [`Command`]s, one writer for all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{body::Bytes, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time,
};

pub use super::socket::BindError;
use super::{
    events::WatchRequest,
    flows::{CloseRequest, Closed},
    peers::Peers,
    routes, socket,
    types::{
        ConfigReport, DaemonStatus, Done, EngineNames, PublishRequest, Refusal, Reloaded, RuleUses,
        UnpublishRequest,
    },
};

/// The longest body, in bytes: some 200,000 bindings.
pub const MAX_BODY: usize = 32 << 20;

/// How long a client may take for its headers, and again for its body.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The same where half of the places are taken: who says nothing is not to keep others waiting, and on this host nobody needs
/// long.
const CROWDED: Duration = Duration::from_millis(250);

/// Owner and group may connect; [`Peers`] makes sure of it.
const MODE: u32 = 0o660;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 128;

/// How many clients are served at a time; more wait in the kernel's queue.
const MAX_CLIENTS: usize = 64;

/// What the daemon's loop is asked to do. It answers each by its sender; a sender dropped says that it stops.
#[derive(Debug)]
pub enum Command {
    /// Publish all of them or none. Each binding has passed [`crate::spec::check`].
    Publish(PublishRequest, oneshot::Sender<Result<Done, Refusal>>),
    /// Take back all of them or none.
    Unpublish(UnpublishRequest, oneshot::Sender<Result<Done, Refusal>>),
    /// Tell how it is.
    Status(oneshot::Sender<DaemonStatus>),
    /// Tell what happens, a line an event, until the receiver is gone.
    Watch(
        WatchRequest,
        oneshot::Sender<Result<mpsc::Receiver<Bytes>, Refusal>>,
    ),
    /// Forget flows.
    CloseFlows(CloseRequest, oneshot::Sender<Result<Closed, Refusal>>),
    /// Tell when what is published was last used by flows that have ended.
    Uses(oneshot::Sender<RuleUses>),
    /// Tell what containers are called.
    Names(oneshot::Sender<EngineNames>),
    /// Tell what counts, and who says so.
    Config(oneshot::Sender<ConfigReport>),
    /// Read the configuration file again, and apply it or nothing.
    Reload(oneshot::Sender<Result<Reloaded, Refusal>>),
}

/// A socket that listens. Its file goes when this goes.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    peers: Peers,
    patience: Duration,
    more: Router,
}

impl Server {
    /// Listens at `path` from now on; clients wait until [`Server::serve`] runs. Needs a tokio runtime.
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
            peers: Peers::of(path),
            patience: PATIENCE,
            more: Router::new(),
        })
    }

    /// How long a client may take, instead of [`PATIENCE`].
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Serves these paths beside its own.
    #[must_use]
    pub fn with_paths(mut self, more: Router) -> Self {
        self.more = more;
        self
    }

    /// Serves until `stop` resolves; then removes the socket's file, finishes what clients have begun (within the
    /// patience that they have anyway) and returns.
    pub async fn serve(self, commands: mpsc::Sender<Command>, stop: impl Future<Output = ()>) {
        let router = |patience| routes::router(commands.clone(), patience, self.more.clone());
        let crowded = CROWDED.min(self.patience);
        let routers = [(self.patience, router(self.patience)), (crowded, router(crowded))];
        let refusing = routes::refusing();
        let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
        let (stopping, stopped) = watch::channel(());
        let mut clients = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (client, slot) = tokio::select! {
                () = &mut stop => break,
                Some(_) = clients.join_next() => continue,
                accepted = self.accept(&slots) => accepted,
            };
            let is_crowded = slots.available_permits() < MAX_CLIENTS / 2;
            let [quiet, crowded] = &routers;
            let (patience, router) = if is_crowded { crowded } else { quiet };
            let router = if self.peers.admit(&client) {
                router
            } else {
                &refusing
            };
            clients.spawn(serve_client(
                client,
                slot,
                router.clone(),
                *patience,
                stopped.clone(),
            ));
        }
        let patience = self.patience;
        // The file and the listener first: who comes now learns at once that nobody is there.
        drop(self);
        stopping.send_replace(());
        let finished = time::timeout(patience, async { while clients.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!("clients of the API did not finish in time");
        }
    }

    /// The next client, and its place among those served at a time.
    async fn accept(&self, slots: &Arc<Semaphore>) -> (UnixStream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let slot = Arc::clone(slots).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((client, _)) => return (client, slot),
                Err(error) => wait_out(&error).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("the socket's file is gone already: {error}");
        }
    }
}

/// Out of files or memory: trying again at once would only burn the CPU.
async fn wait_out(error: &io::Error) {
    tracing::warn!("cannot accept a client of the API: {error}");
    time::sleep(Duration::from_millis(100)).await;
}

/// Answers one client, until it goes or `stopped` says that all must.
pub(crate) async fn serve_client(
    client: impl AsyncRead + AsyncWrite + Unpin,
    slot: Option<OwnedSemaphorePermit>,
    router: Router,
    patience: Duration,
    mut stopped: watch::Receiver<()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience)
        .keep_alive(false);
    let service = TowerToHyperService::new(router);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(client), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client of the API went away: {error}");
    }
    drop(slot);
}
