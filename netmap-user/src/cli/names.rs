//! What the daemon knows for listings: they do without where it does not run.

use std::{path::Path, time::Duration};

use super::{failure::Failure, publish::wait};
use crate::api::{
    client::Client,
    types::{EngineNames, RuleUses},
};

/// How long a daemon may take to say what containers are called.
const PATIENCE: Duration = Duration::from_secs(2);

fn client(socket: &Path) -> Client {
    Client::new(socket).with_patience(PATIENCE)
}

/// What containers are called, if there is a daemon that knows.
pub(super) fn known(socket: &Path) -> EngineNames {
    let answer = wait(client(socket).names());
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// What containers are called, for who asks by name: then somebody must know.
pub(super) fn of_containers(socket: &Path) -> Result<EngineNames, Failure> {
    Ok(wait(client(socket).names())??)
}

/// When rules were last used by flows that have ended, if there is a daemon that knows.
pub(super) fn uses(socket: &Path) -> RuleUses {
    let answer = wait(client(socket).uses());
    answer.ok().and_then(Result::ok).unwrap_or_default()
}
