//! A `netmap monitor` that runs beside a test.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::Netmap;

/// How long an event may take that is on its way: the sweeper of flows may have a lap before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A watcher, and the events that it was told and nobody has asked for yet.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    events: Receiver<Value>,
    kept: Vec<Value>,
}

impl Monitor {
    /// Watches, with these arguments beside `--json`, from now on.
    pub fn start(netmap: &Netmap, arguments: &[&str]) -> Result<Self> {
        Self::of(netmap.command("monitor").arg("--json").args(arguments))
    }

    /// The same with this command, which prints JSON.
    pub fn of(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start netmap monitor")?;
        let (told, events) = mpsc::channel();
        let output = child.stdout.take().context("no output")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                // The test may be over.
                let _unheard = told.send(event);
            }
        });
        let mut monitor = Self {
            child,
            events,
            kept: Vec::new(),
        };
        monitor.find("watching", |_| true)?;
        Ok(monitor)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event of this name that `fits`; others are kept.
    pub fn find(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let is_it = |event: &Value| event["event"] == name && fits(event);
        if let Some(place) = self.kept.iter().position(&is_it) {
            return Ok(self.kept.remove(place));
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let event = match self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no fitting {name} came within {PATIENCE:?}, but {:?}", self.kept)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the monitor has ended without a fitting {name}, but {:?}",
                        self.kept
                    )
                }
            };
            ensure!(event.is_object(), "{event} is no event");
            if is_it(&event) {
                return Ok(event);
            }
            self.kept.push(event);
        }
    }

    /// What came and was not asked for, until now.
    pub fn rest(&mut self) -> &[Value] {
        self.kept.extend(self.events.try_iter());
        &self.kept
    }

    /// Ends it by a signal, and waits for its end; says whether it did so by itself, and without fault.
    pub fn end(&mut self, signal: Signal) -> Result<bool> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        Ok(self.child.wait()?.success())
    }

    /// Waits until it has ended by itself; the exit status.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
