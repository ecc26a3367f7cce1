//! Ctrl-C and SIGTERM: noticed between two steps, so that everything that was made is removed first.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Somebody asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on, a signal to stop is only remembered.
pub(crate) fn notice() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("cannot catch Ctrl-C")
}

/// Whether somebody asked to stop. The programs that we run have heard the same signal, so that any error may come of it.
pub(crate) fn is_wanted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Fails once somebody asked to stop.
pub(crate) fn check() -> Result<()> {
    if is_wanted() {
        bail!(Interrupted);
    }
    Ok(())
}

/// Lets `time` pass, unless somebody asks to stop.
pub(crate) fn pause(time: Duration) -> Result<()> {
    const STEP: Duration = Duration::from_millis(100);
    let end = Instant::now() + time;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(STEP));
    }
}
