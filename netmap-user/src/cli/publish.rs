//! `netmap publish` and `netmap unpublish`.

use std::io::Write;

use super::{
    args::{Instance, PublishArgs, UnpublishArgs},
    failure::Failure,
    output,
};
use crate::api::{
    client::{Client, ClientError},
    types::{Done, PublishRequest, UnpublishRequest},
};

/// Asks the daemon to publish, and says what is published.
pub(super) fn publish(args: PublishArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let binding = args.spec.bind(args.target, args.allow).map_err(Failure::usage)?;
    let line = format!("published {binding}");
    let request = PublishRequest {
        bindings: vec![binding],
    };
    let client = Client::new(instance.socket());
    let done = wait(client.publish(&request))??;
    report(&line, &done, out)
}

/// Asks the daemon to take back, and says what is no longer published.
pub(super) fn unpublish(
    args: &UnpublishArgs,
    instance: &Instance,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let line = format!("unpublished {}", args.published);
    let request = UnpublishRequest {
        published: vec![args.published],
    };
    let client = Client::new(instance.socket());
    let done = wait(client.unpublish(&request))??;
    report(&line, &done, out)
}

/// Waits for the daemon's answer.
pub(super) fn wait<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
) -> std::io::Result<Result<T, ClientError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(answer))
}

fn report(line: &str, done: &Done, out: &mut impl Write) -> Result<(), Failure> {
    for warning in &done.warnings {
        output::complain(warning);
    }
    writeln!(out, "{line}")?;
    Ok(())
}
