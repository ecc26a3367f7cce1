//! The terminal's side: keys in, pictures out.

use std::{
    path::{Path, PathBuf},
    sync::mpsc as std_mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time,
};

use super::{
    columns::Names,
    keys,
    model::Model,
    reader::{self, Reader},
    screen::Screen,
    view,
};
use crate::api::client::Client;

/// How often the daemon is asked for names.
const NAMES: Duration = Duration::from_secs(10);
/// How long it may take for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is shown, and how.
#[derive(Debug)]
pub struct Show {
    /// Where the tables are pinned.
    pub pin_dir: PathBuf,
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// From lap to lap.
    pub interval: Duration,
    /// Not without.
    pub has_colours: bool,
}

/// Shows it until the user or a signal ends it.
///
/// # Errors
///
/// The terminal refuses, or the reader has died.
pub async fn run(show: Show) -> anyhow::Result<()> {
    let mut model = Model::new(show.interval);
    let mut signals = Signals::new()?;
    let (wishes, wished) = std_mpsc::channel();
    let (tell, mut news) = mpsc::channel(4);
    let (reader, mut wish) = (Reader::new(&show.pin_dir), model.wish());
    let (first, interval) = (wish.clone(), show.interval);
    thread::spawn(move || reader::run(reader, first, interval, &wished, &tell));
    let (named, mut names) = mpsc::channel(1);
    tokio::spawn(ask_names(show.socket, named));
    let mut screen = Screen::take().context("the terminal cannot be used")?;
    let (pressed, mut events) = mpsc::channel(16);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if pressed.blocking_send(event).is_err() {
                return;
            }
        }
    });
    loop {
        screen
            .terminal
            .draw(|frame| view::draw(frame, &mut model, show.has_colours))?;
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Key(key)) => {
                    if let Some(action) = keys::action(key, model.typing)
                        && !model.act(action)
                    {
                        return Ok(());
                    }
                }
                // A new size is drawn, anything else is not for us.
                Some(_) => {}
                None => return Ok(()),
            },
            heard = news.recv() => model.hear(heard.context("the reader of the tables has died")?),
            Some(heard) = names.recv() => model.learn(heard),
            () = signals.any() => return Ok(()),
        }
        let new = model.wish();
        if new != wish {
            wish = new;
            wishes
                .send(wish.clone())
                .context("the reader of the tables has died")?;
        }
    }
}

/// Asks the daemon again and again what containers are called.
async fn ask_names(socket: PathBuf, tell: mpsc::Sender<Option<Names>>) {
    loop {
        if tell.send(names(&socket).await).await.is_err() {
            return;
        }
        time::sleep(NAMES).await;
    }
}

/// What the daemon calls containers; none without a daemon.
pub async fn names(socket: &Path) -> Option<Names> {
    let answer = Client::new(socket).with_patience(PATIENCE).names().await;
    let names = answer.ok()?.names.into_iter();
    Some(names.map(|named| (named.address, named)).collect())
}

/// What ends it from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
