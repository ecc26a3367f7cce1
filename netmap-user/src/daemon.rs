//! The daemon: not there yet.

use std::path::Path;

use crate::options::RunOptions;

/// Attaches, serves the API until it is told to stop, and leaves the data plane up.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    drop(options);
    anyhow::bail!("the daemon is not written yet")
}

/// Detaches everything and removes all pins below `pin_dir`; says whether there was anything.
pub fn down(pin_dir: &Path) -> anyhow::Result<bool> {
    anyhow::bail!("nothing can be removed from {} yet", pin_dir.display())
}
