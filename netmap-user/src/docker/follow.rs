//! The engine, followed: asked at the start, when it says that something has changed, and once a minute; looked for again
//! with growing pauses when it is gone.
//!
//! The stream of events is opened before anything is listed, so that nothing between the two is missed: after a
//! connection broke, everything is listed anew, and no event of the time between is needed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time};
use tracing::{debug, info, warn};

use super::{
    client::{Client, EngineError, checked_id},
    events::{Events, Stale},
    model::{Known, ModelError, Picture},
    types::{Container, Info, Listed, Network},
};

/// How often everything is listed although the engine tells of changes.
const RECONCILE: Duration = Duration::from_secs(60);
/// The pause after an engine has gone, or was not there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Events come several at a time: a container that starts makes three.
const GATHER: Duration = Duration::from_millis(5);

/// An engine, followed by a task of its own until this goes.
pub struct Engine {
    socket: PathBuf,
    pictures: watch::Receiver<State>,
    _task: JoinSet<()>,
}

/// What is known of the engine.
#[derive(Clone, Debug, Default)]
struct State {
    /// It was looked for at least once.
    is_tried: bool,
    /// It answers.
    answers: bool,
    /// As it last was, if it ever answered.
    picture: Option<Arc<Picture>>,
}

/// Why the engine cannot be followed for a while.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Engine {
    /// Follows the engine at `socket` from now on, whether it is there or not. Wants a tokio runtime.
    pub fn follow(socket: &Path) -> Self {
        let (tell, pictures) = watch::channel(State::default());
        let mut task = JoinSet::new();
        let follower = Follower {
            socket: socket.to_owned(),
            tell,
            known: Known::default(),
            said: Said::default(),
        };
        task.spawn(follower.run());
        Self {
            socket: socket.to_owned(),
            pictures,
            _task: task,
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it answers at the moment, and makes sense.
    pub fn answers(&self) -> bool {
        self.pictures.borrow().answers
    }

    /// Waits until the engine was looked for, but not for longer than `patience`; its picture, if it is there.
    pub async fn first(&mut self, patience: Duration) -> Option<Arc<Picture>> {
        let tried = self.pictures.wait_for(|state| state.is_tried);
        let state = time::timeout(patience, tried).await.ok()?.ok()?;
        state.picture.clone()
    }

    /// Waits until the picture has changed, or everything was looked at again and is the same. Cancel safe.
    pub async fn changed(&mut self) -> Arc<Picture> {
        loop {
            if self.pictures.changed().await.is_err() {
                // The task never ends by itself.
                std::future::pending::<()>().await;
            }
            if let Some(picture) = &self.pictures.borrow_and_update().picture {
                return Arc::clone(picture);
            }
        }
    }
}

struct Follower {
    socket: PathBuf,
    tell: watch::Sender<State>,
    known: Known,
    said: Said,
}

/// What was said of trouble since all was well: everything once.
#[derive(Default)]
struct Said {
    absence: bool,
    nonsense: bool,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(trouble) = self.session().await;
            let made_sense = self.tell.borrow().answers;
            self.report(&trouble);
            self.tell.send_if_modified(|state| {
                let is_news = !state.is_tried;
                state.is_tried = true;
                state.answers = false;
                is_news
            });
            // Who was there is expected back soon.
            pause = if made_sense {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            time::sleep(pause).await;
        }
    }

    /// Follows the engine for as long as it answers.
    async fn session(&mut self) -> Result<std::convert::Infallible, Trouble> {
        let client = Client::connect(&self.socket).await?;
        let events = Events::listen(&client).await?;
        self.look_at_all(&client).await?;
        info!("following the engine at {}", self.socket.display());
        self.said = Said::default();
        loop {
            let stale = match time::timeout(RECONCILE, events.next()).await {
                Ok(stale) => stale?,
                Err(_) => Stale {
                    all: true,
                    ..Stale::default()
                },
            };
            time::sleep(GATHER).await;
            if stale.all {
                self.look_at_all(&client).await?;
            } else {
                self.look_at(&client, stale).await?;
            }
        }
    }

    async fn look_at_all(&mut self, client: &Client) -> Result<(), Trouble> {
        let mut known = Known {
            info: client.get::<Info>("/info").await?,
            networks: networks(client).await?,
            ..Known::default()
        };
        // Those that are about to start have their ports already. `{"status":["created","running","paused","restarting"]}`
        let path = "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22created%22%2C%22running%22%2C%22paused%22%2C\
                    %22restarting%22%5D%7D";
        for Listed { id } in client.get::<Vec<Listed>>(path).await? {
            if let Some(container) = container(client, &id).await? {
                known.containers.insert(id, container);
            }
        }
        self.take(known, true)
    }

    async fn look_at(&mut self, client: &Client, stale: Stale) -> Result<(), Trouble> {
        let mut known = self.known.clone();
        if stale.networks {
            known.networks = networks(client).await?;
        }
        for id in stale.containers {
            match container(client, &id).await? {
                Some(container) => known.containers.insert(id, container),
                None => known.containers.remove(&id),
            };
        }
        let is_new = |container: &Container| {
            let endpoints = container.network_settings.networks.values().flatten();
            let mut endpoints = endpoints.filter(|endpoint| !endpoint.network_id.is_empty());
            endpoints.any(|endpoint| !known.networks.contains_key(&endpoint.network_id))
        };
        if !stale.networks && known.containers.values().any(is_new) {
            known.networks = networks(client).await?;
        }
        self.take(known, false)
    }

    /// Makes a picture of what is known now, and tells if it differs; or all the same if `is_whole`: rules of which nobody
    /// stands for any are taken back by a whole list only.
    fn take(&mut self, known: Known, is_whole: bool) -> Result<(), Trouble> {
        let picture = known.picture()?;
        self.known = known;
        self.tell.send_if_modified(|state| {
            let differs = state.picture.as_deref() != Some(&picture);
            state.is_tried = true;
            state.answers = true;
            if differs {
                state.picture = Some(Arc::new(picture));
            }
            differs || is_whole
        });
        Ok(())
    }

    fn report(&mut self, trouble: &Trouble) {
        debug!("{trouble}");
        let is_absence = matches!(trouble, Trouble::Engine(error) if error.is_absence());
        let said = if is_absence {
            &mut self.said.absence
        } else {
            &mut self.said.nonsense
        };
        if std::mem::replace(said, true) {
            return;
        }
        if is_absence {
            info!("{trouble}; waiting for it, and what it had stays");
        } else {
            warn!("{trouble}; nothing is changed until it makes sense");
        }
    }
}

async fn networks(client: &Client) -> Result<std::collections::BTreeMap<String, Network>, EngineError> {
    let networks: Vec<Network> = client.get("/networks").await?;
    Ok(networks
        .into_iter()
        .map(|network| (network.id.clone(), network))
        .collect())
}

/// A container, if it is there still.
async fn container(client: &Client, id: &str) -> Result<Option<Container>, EngineError> {
    let path = format!("/containers/{}/json", checked_id(id)?);
    match client.get(&path).await {
        Ok(container) => Ok(Some(container)),
        Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
