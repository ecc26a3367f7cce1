//! What happens at the engine, as it tells: which containers and networks are to be looked at again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::BodyExt as _;
use tokio::{sync::Notify, task::JoinSet};

use super::{
    client::{Answer, Client, EngineError, checked_id, malformed},
    types::Event,
};

/// The longest event, in bytes. Labels of a container are in them.
const MAX_EVENT: usize = 1 << 20;

/// How many containers are looked at one by one; more, and everything is.
const MANY: usize = 512;

/// Only what changes addresses, ports and names: containers that are asked every second for their health make events, too.
/// `{"type":["container","network","daemon"],"event":["start",..]}`, with what HTTP wants escaped.
const PATH: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%2C%22daemon%22%5D%2C%22event%22%3A%5B\
    %22start%22%2C%22die%22%2C%22stop%22%2C%22destroy%22%2C%22rename%22%2C%22create%22%2C%22connect%22%2C%22disconnect%22%2C\
    %22remove%22%2C%22reload%22%5D%7D";

/// What is to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// Everything.
    pub(super) all: bool,
    /// The list of networks.
    pub(super) networks: bool,
    /// These containers.
    pub(super) containers: BTreeSet<String>,
}

impl Stale {
    /// Takes an event in; says whether it changes anything.
    fn take(&mut self, event: Event) -> bool {
        let container = match (event.kind.as_str(), event.action.as_str()) {
            ("container", "start" | "die" | "stop" | "destroy" | "rename") => event.actor.id,
            ("network", "connect" | "disconnect") => event.actor.attributes.container,
            ("network", "create" | "destroy" | "remove") => {
                self.networks = true;
                return true;
            }
            ("daemon", "reload") => {
                self.all = true;
                return true;
            }
            _ => return false,
        };
        // One that nobody could ask for is none.
        if checked_id(&container).is_err() {
            return false;
        }
        if self.containers.len() >= MANY {
            self.all = true;
        } else {
            self.containers.insert(container);
        }
        true
    }
}

/// The engine's events, read as fast as they come: an engine forgets those that nobody takes.
pub(super) struct Events {
    heard: Arc<Heard>,
    _reader: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    stale: Stale,
    end: Option<EngineError>,
}

impl Events {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub(super) async fn listen(client: &Client) -> Result<Self, EngineError> {
        let mut answer = client.stream(PATH).await?;
        let heard = Arc::<Heard>::default();
        let mut reader = JoinSet::new();
        let told = Arc::clone(&heard);
        reader.spawn(async move {
            let Err(end) = read(&mut answer, &told).await;
            told.with(|state| state.end = Some(end));
            told.changed.notify_one();
        });
        Ok(Self {
            heard,
            _reader: reader,
        })
    }

    /// Waits until something has changed, and says what. Cancel safe.
    ///
    /// # Errors
    ///
    /// The stream is over.
    pub(super) async fn next(&self) -> Result<Stale, EngineError> {
        loop {
            let (stale, end) = self
                .heard
                .with(|state| (std::mem::take(&mut state.stale), state.end.take()));
            if let Some(end) = end {
                return Err(end);
            }
            if stale != Stale::default() {
                return Ok(stale);
            }
            self.heard.changed.notified().await;
        }
    }
}

impl Heard {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads until that is no longer possible.
async fn read(answer: &mut Answer, heard: &Heard) -> Result<std::convert::Infallible, EngineError> {
    let mut lines = Lines::default();
    loop {
        let frame = answer.body.frame().await;
        let frame = frame.ok_or_else(|| EngineError::Ended("it hung up".to_owned()))?;
        let frame = frame.map_err(|error| EngineError::Ended(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        for event in lines.take(&data)? {
            if heard.with(|state| state.stale.take(event)) {
                heard.changed.notify_one();
            }
        }
    }
}

/// Events, a line each, out of pieces that end anywhere.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, EngineError> {
        let mut events = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.len() > MAX_EVENT {
                return Err(malformed(
                    "/events",
                    &format!("an event is longer than {MAX_EVENT} bytes"),
                ));
            }
            if self.rest.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let event = serde_json::from_slice(&line);
                events.push(event.map_err(|error| malformed("/events", &error.to_string()))?);
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &str) -> (Stale, usize) {
        let mut stale = Stale::default();
        let events = Lines::default().take(lines.as_bytes()).unwrap();
        let changes = events.into_iter().filter(|event| stale.take(event.clone()));
        let count = changes.count();
        (stale, count)
    }

    #[test]
    fn a_container_is_looked_at_when_it_is_connected_not_when_its_health_is() {
        let (stale, changes) = after(concat!(
            r#"{"status":"exec_create: /bin/sh","id":"c9","Type":"container","Action":"exec_create: /bin/sh","Actor":{"ID":"c9","Attributes":{"name":"x"}},"timeNano":1}"#,
            "\n",
            r#"{"Type":"network","Action":"connect","Actor":{"ID":"n1","Attributes":{"container":"c1","name":"bridge","type":"bridge"}},"scope":"local","time":1,"timeNano":1}"#,
            "\n",
            r#"{"status":"start","id":"c2","Type":"container","Action":"start","Actor":{"ID":"c2","Attributes":null}}"#,
            "\n",
            r#"{"Type":"container","Action":"create","Actor":{"ID":"c3"}}"#,
            "\n",
        ));
        assert_eq!(changes, 2);
        assert_eq!(stale.containers, ["c1", "c2"].map(str::to_owned).into());
        assert!(!stale.all && !stale.networks);
        let (stale, _) = after("{\"Type\":\"network\",\"Action\":\"create\",\"Actor\":{\"ID\":\"n1\"}}\n");
        assert!(stale.networks && stale.containers.is_empty());
    }

    #[test]
    fn an_event_may_come_in_pieces_and_must_not_come_without_end() {
        let mut lines = Lines::default();
        let text = "{\"Type\":\"daemon\",\"Action\":\"reload\"}\n\n{\"Ty";
        let mut events = Vec::new();
        for byte in text.as_bytes() {
            events.extend(lines.take(&[*byte]).unwrap());
        }
        assert_eq!(events.len(), 1);
        assert_eq!(lines.take(b"pe\":null}\n").unwrap(), [Event::default()]);
        assert!(lines.take(b"no JSON\n").is_err());
        assert!(Lines::default().take(&vec![b' '; MAX_EVENT + 1]).is_err());
    }

    #[test]
    fn what_nobody_could_ask_for_is_not_looked_at() {
        let (stale, changes) = after(concat!(
            r#"{"Type":"container","Action":"die","Actor":{"ID":"../../info"}}"#,
            "\n",
            r#"{"Type":"network","Action":"connect","Actor":null}"#,
            "\n",
            r#"{"Type":null,"Action":null,"Actor":{"Attributes":{"container":null}}}"#,
            "\n",
        ));
        assert_eq!((stale, changes), (Stale::default(), 0));
        let mut stale = Stale::default();
        for number in 0..=MANY {
            let events = Lines::default()
                .take(
                    format!(
                        "{{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{{\"ID\":\"c{number}\"}}}}\n"
                    )
                    .as_bytes(),
                )
                .unwrap();
            for event in events {
                stale.take(event);
            }
        }
        assert!(stale.all && stale.containers.len() == MANY);
    }
}
