//! `netmap down`: stops the daemon and removes every trace.

use std::{
    fs,
    io::Write,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use netmap_docker_proxy::note;
use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::Pid,
};

use super::{
    args::{DownArgs, Instance},
    failure::Failure,
    privilege, publish,
};
use crate::{
    api::{
        client::{Client, ClientError},
        socket,
    },
    daemon,
    dataplane::DataplaneError,
    options::{DEFAULT_SOCKET, DEFAULT_STATE, shim_socket_beside},
    state,
};

/// How long a daemon may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// Leaves nothing behind; also where there is nothing.
pub(super) fn command(args: DownArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    privilege::check("down")?;
    let stopped = stop(instance.socket())?;
    let removed = daemon::down(instance.pin_dir()).map_err(|errors| together(&errors))?;
    socket::remove_stale(instance.socket())?;
    let shim_socket = shim_socket_beside(instance.socket());
    socket::remove_stale(&shim_socket)?;
    // Nothing is left that they could speak of.
    let _none = fs::remove_dir_all(note::folder(&shim_socket));
    remove_default_folder(instance.socket());
    let forgotten = !args.keep_published && forget(instance.state())?;
    if let Some(pid) = stopped {
        writeln!(out, "stopped the daemon, pid {pid}")?;
    }
    let pin_dir = instance.pin_dir().display();
    if removed.is_empty() {
        writeln!(out, "nothing was attached in {pin_dir}")?;
    } else {
        let attachments = removed.attachments;
        writeln!(
            out,
            "detached {attachments} programs and removed the pins in {pin_dir}"
        )?;
    }
    if forgotten {
        writeln!(
            out,
            "forgot what was published, in {}",
            instance.state().display()
        )?;
    }
    Ok(())
}

/// Removes the record of what was published, and the directory that `netmap run` makes for it.
fn forget(folder: &Path) -> anyhow::Result<bool> {
    let forgotten = state::forget(folder)?;
    if folder == Path::new(DEFAULT_STATE) {
        // It is not there, or something is kept in it: both are as good.
        let _kept = fs::remove_dir(folder);
    }
    Ok(forgotten)
}

/// The folder that `netmap run` makes for its socket goes with it; a folder that the user chose stays.
fn remove_default_folder(socket: &Path) {
    if socket == Path::new(DEFAULT_SOCKET)
        && let Some(folder) = socket.parent()
    {
        // It is not there, or another program keeps something in it: both are as good.
        let _kept = fs::remove_dir(folder);
    }
}

/// Stops the daemon that answers at `socket`, and waits until it has gone.
fn stop(socket: &Path) -> anyhow::Result<Option<Pid>> {
    // Only who speaks netmap's API is told to stop.
    match publish::wait(Client::new(socket).status())? {
        Ok(_) => {}
        Err(ClientError::NotRunning(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let peer = getsockopt(&UnixStream::connect(socket)?, PeerCredentials)?;
    let pid = Pid::from_raw(peer.pid());
    kill(pid, Signal::SIGTERM).with_context(|| format!("the daemon, pid {pid}, cannot be stopped"))?;
    let deadline = Instant::now() + PATIENCE;
    while is_alive(pid) {
        if Instant::now() > deadline {
            bail!(
                "the daemon, pid {pid}, did not stop within {} seconds",
                PATIENCE.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(pid))
}

/// Everything that could not be removed, in a sentence.
fn together(errors: &[DataplaneError]) -> anyhow::Error {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", errors.join("; and "))
}

/// Whether the process still runs. One that waits for its parent to look (a zombie) does not.
fn is_alive(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name before the state stands in brackets and may hold anything (proc(5)).
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_only_waits_to_be_reaped_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        assert!(is_alive(pid));
        kill(pid, Signal::SIGKILL).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "still alive");
            thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }

    #[test]
    fn nobody_is_stopped_where_nobody_answers() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stop(&folder.path().join("netmap.sock")).unwrap(), None);
    }
}
