//! How much is logged, and how (`netmap run --log-level`, `--log-format`).

use std::{fmt, str::FromStr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::OptionError;

/// How much is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// How much.
    pub level: LogLevel,
    /// How; none for what suits where stderr leads.
    pub format: Option<LogFormat>,
}

/// How much is logged: a level, or directives as in `info,netmap_user::host=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogLevel {
    /// The same for tracing; none where it makes no sense, which no parsed one does.
    pub(crate) fn filter(&self) -> Option<EnvFilter> {
        let directives = self.0.split(',').map(str::trim);
        // A word alone would be a module that logs everything: more likely it is a level that there is not.
        let makes_sense =
            |text: &str| text.contains(['=', ':']) || !text.is_empty() && text.parse::<LevelFilter>().is_ok();
        if !directives.clone().all(makes_sense) {
            return None;
        }
        let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
        builder.parse(&self.0).ok()
    }
}

impl FromStr for LogLevel {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        // A variable of the environment that is set to nothing.
        if text.is_empty() {
            return Ok(Self::default());
        }
        let level = Self(text.to_owned());
        match level.filter() {
            Some(_) => Ok(level),
            None => Err(OptionError::BadLogLevel(text.to_owned())),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line each to stderr, for people.
    Text,
    /// An object each to stderr, with the keys `timestamp`, `level`, `target` and `message`.
    Json,
    /// By the journal's own protocol, with levels as its priorities.
    Journald,
}

impl FromStr for LogFormat {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journald" => Ok(Self::Journald),
            _ => Err(OptionError::BadLogFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Journald => "journald",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in [
            "off",
            "warn",
            "DEBUG",
            "netmap_user::host=debug",
            "info,netmap_user=trace",
        ] {
            assert_eq!(level.parse::<LogLevel>().unwrap().to_string(), level);
        }
        for level in ["info,", "loud", "info,loud", "netmap_user=loud"] {
            let error = level.parse::<LogLevel>().unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{level:?} does not say how much to log"))
            );
        }
        assert!("syslog".parse::<LogFormat>().is_err());
    }
}
