//! `netmap explain`: what would become of a packet, and why.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    args::{ExplainArgs, Instance},
    failure::Failure,
    output, publish, read,
};
use crate::{
    api::client::{Client, ClientError},
    explain::{self, Answer, ArrivalError, Names, Question, Surroundings},
};

/// The daemon is asked for names only: an answer does without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Explains one packet.
pub(super) fn command(args: &ExplainArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let question = Question::parse(&args.source, &args.target).map_err(Failure::usage)?;
    let question = Question {
        established: args.established,
        ..question
    };
    let maps = read::maps(instance.pin_dir())?;
    let surroundings = ask(instance);
    let from = args.from.as_deref();
    let answer =
        explain::explain(instance.pin_dir(), &maps, question, from, &surroundings).map_err(|error| {
            match error.downcast::<ArrivalError>() {
                Ok(error) => Failure::usage(error),
                Err(error) => Failure::from(error),
            }
        })?;
    render(&answer, args.json, out)?;
    Ok(())
}

/// Whether the daemon runs, and what it calls containers.
fn ask(instance: &Instance) -> Surroundings {
    let client = Client::new(instance.socket()).with_patience(PATIENCE);
    let answer = publish::wait(client.names());
    // One that is busy runs all the same.
    let daemon = !matches!(answer, Ok(Err(ClientError::NotRunning(_))));
    let names = answer
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
        .names
        .into_iter();
    Surroundings {
        daemon,
        names: Names::new(names.map(|named| (named.address, named.container))),
    }
}

/// Prints an answer: numbered steps, how it ends, what would change it; or all of it as JSON.
///
/// # Errors
///
/// The output refuses.
pub fn render(answer: &Answer, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return output::json(out, answer);
    }
    for (number, step) in (1..).zip(&answer.steps) {
        writeln!(out, "{number:2}. {}", step.text)?;
    }
    let reason = match answer.reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    writeln!(out, "\nSo it is {}{reason}.", answer.outcome.told())?;
    for advice in &answer.advice {
        writeln!(out, "\n{}", advice.text)?;
        if let Some(command) = &advice.command {
            writeln!(out, "    {command}")?;
        }
    }
    Ok(())
}
