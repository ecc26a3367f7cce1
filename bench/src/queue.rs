//! The receive queue of the interface where packets come in, made to look like that of a network card: GRO gives it a NAPI
//! context, `threaded` gives that a kernel thread, and the thread is kept on a core of its own.

use std::process::Command;

use anyhow::{Result, ensure};
use netmap_tests::{Namespace, command};

use crate::machine::{self, SERVER_CORE};

/// Gives an interface's receive queue a kernel thread on the forwarding core.
pub(crate) fn dedicate(host: &Namespace, port: &str) -> Result<Vec<u32>> {
    let name = format!("napi/{port}-");
    let before = machine::threads_named(&name)?;
    host.line(&format!("ethtool -K {port} gro on"))?;
    // Unlike nsenter, `ip netns exec` shows the /sys of the namespace.
    command::run(
        Command::new("ip")
            .args(["netns", "exec", host.name(), "sh", "-c"])
            .arg(format!("echo 1 > /sys/class/net/{port}/threaded")),
    )?;
    let mut threads = machine::threads_named(&name)?;
    threads.retain(|thread| !before.contains(thread));
    ensure!(!threads.is_empty(), "{port} has no receive queue of its own");
    for thread in &threads {
        machine::pin(*thread, SERVER_CORE)?;
    }
    Ok(threads)
}
