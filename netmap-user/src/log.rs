//! What the daemon logs, how much of it and where to (`netmap run --log-level`, `--log-format`).

use std::{
    io::{self, IsTerminal as _},
    os::unix::fs::MetadataExt as _,
};

use tracing::warn;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::options::{LogFormat, LogLevel, LogOptions};

/// What is logged from here on, which can be changed. Nobody's who has not [`Logs::start`]ed.
#[derive(Debug, Default)]
pub struct Logs {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Logs {
    /// Logs from now on. Where the journal cannot be reached, to stderr.
    pub fn start(options: &LogOptions) -> Self {
        let format = options.format.unwrap_or_else(|| {
            if is_journal(&io::stderr()) {
                LogFormat::Journald
            } else {
                LogFormat::Text
            }
        });
        let (filter, handle) = reload::Layer::new(options.level.filter().unwrap_or_default());
        let (layer, unreachable) = match format {
            LogFormat::Journald => match tracing_journald::layer() {
                Ok(journal) => (journal.boxed(), None),
                Err(error) => (text(), Some(error)),
            },
            LogFormat::Json => (json(), None),
            LogFormat::Text => (text(), None),
        };
        // A second start, in a test, logs where the first one does.
        let _started = tracing_subscriber::registry().with(filter).with(layer).try_init();
        if let Some(error) = unreachable {
            warn!(
                "logs go to stderr, for the journal cannot be reached: {error}; --log-format text says so without this line"
            );
        }
        Self { filter: Some(handle) }
    }

    /// Logs so much from now on.
    pub fn set_level(&self, level: &LogLevel) {
        if let (Some(handle), Some(filter)) = (&self.filter, level.filter())
            && let Err(error) = handle.reload(filter)
        {
            warn!("what is logged stays as it is: {error}; start netmap anew");
        }
    }
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

fn text<S>() -> BoxedLayer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        // It would tell of a line that could not be written by printing to where none can be, and end the daemon.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .boxed()
}

fn json<S>() -> BoxedLayer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .boxed()
}

/// Whether systemd has connected this output with the journal: it names the file, as `device:inode`.
fn is_journal(output: &impl std::os::fd::AsFd) -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let file = output.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let found = file.and_then(|file| file.metadata());
    found.is_ok_and(|found| named == format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_is_the_journal_only_where_it_is_the_file_that_systemd_names() {
        assert!(!is_journal(&io::stderr()), "no test runs as a unit");
    }
}
