//! Threads that carry, each with an event loop of its own, so that neither connections nor a flood of datagrams keep
//! the daemon's loop waiting.

use std::{
    io,
    num::NonZero,
    thread::{self, JoinHandle},
};

use tokio::{runtime, sync::oneshot};

use crate::sandbox;

/// More threads than this for connections are not worth their memory.
const MOST: usize = 4;

/// A thread. Dropping it drops what it carries.
#[derive(Debug)]
pub(super) struct Worker {
    /// Never sent on: its end is the message.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread in the caller's network namespace. `serve` is called in its event loop's context, but by the
    /// caller, who hears of errors.
    pub(super) fn start<F>(name: &str, serve: impl FnOnce() -> io::Result<F>) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = {
            let _context = runtime.enter();
            serve()?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            sandbox::enter_as_proxy();
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// How many threads carry connections here: one a core.
    pub(super) fn for_connections() -> usize {
        thread::available_parallelism().map_or(1, NonZero::get).min(MOST)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.take();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::warn!("a thread of the proxy has failed");
        }
    }
}
