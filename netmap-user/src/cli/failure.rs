//! How a command ends when it does not do what it was asked to.

use std::{io, process::ExitCode};

use clap::error::ErrorKind;

use super::output;
use crate::{options::OptionError, spec::SpecError};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was asked wrongly: exit status 2.
    Usage(anyhow::Error),
    /// It could not: exit status 1.
    Failed(anyhow::Error),
    /// It was asked for faults and has told some: exit status 1, and no more words.
    Found,
}

impl Failure {
    /// Wrong usage.
    pub(super) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Says so in one sentence on stderr; the exit status. A reader that has seen enough is no failure.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                output::complain(sentence(error));
                ExitCode::from(2)
            }
            Self::Found => ExitCode::FAILURE,
            Self::Failed(error) if output::is_reader_gone(error) => ExitCode::SUCCESS,
            Self::Failed(error) => {
                output::complain(sentence(error));
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The whole chain of causes, without those that the words before already tell.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            told if told.contains(&cause) => told.to_owned(),
            told => format!("{told}: {cause}"),
        }
    })
}

/// What clap has to say: help and version on stdout, our own refusals as the sentence that they are.
pub(super) fn report_usage(error: &clap::Error) -> ExitCode {
    if let Some(sentence) = refusal(error) {
        output::complain(sentence);
        return ExitCode::from(2);
    }
    let printed = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.print(),
        _ => {
            let text = error.to_string();
            output::complain(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
            Ok(())
        }
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// Our own refusal of a value, without clap's words around it.
fn refusal(error: &clap::Error) -> Option<&(dyn std::error::Error + 'static)> {
    let source = std::error::Error::source(error)?;
    (source.is::<SpecError>() || source.is::<OptionError>()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the table RULES cannot be read: {source}")]
    struct Outer {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = || io::Error::from_raw_os_error(libc::EPERM);
        let error = anyhow::Error::from(Outer { source: source() }).context("no listing");
        assert_eq!(
            sentence(&error),
            "no listing: the table RULES cannot be read: Operation not permitted (os error 1)"
        );
        let error = anyhow::Error::from(source()).context("no listing");
        assert_eq!(
            sentence(&error),
            "no listing: Operation not permitted (os error 1)"
        );
    }

    #[test]
    fn usage_and_failure_differ_in_exit_status() {
        assert_eq!(
            Failure::usage(OptionError::UnknownXdp("on".to_owned())).report(),
            ExitCode::from(2)
        );
        assert_eq!(
            Failure::from(OptionError::UnknownXdp("on".to_owned())).report(),
            ExitCode::from(1)
        );
    }
}
