//! The daemon: not there yet.

use crate::options::RunOptions;

/// Attaches, serves the API until it is told to stop, and leaves the data plane up.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    drop(options);
    anyhow::bail!("the daemon is not written yet")
}
