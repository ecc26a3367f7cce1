//! The program that takes `docker-proxy`'s place: the engine starts one for each port that it publishes
//! (`"userland-proxy-path"`), and ends it when the port goes.
//!
//! It hands the port to netmap's daemon, says on the status pipe that the port is ready, or why not, and sleeps: netmap
//! carries. SIGINT is the engine's word that the port goes. SIGTERM says that the engine has died, whose containers may live
//! on: the port stays.

mod arguments;
mod daemon;
mod engine;
mod fallback;
mod status;

use std::{env, io::Write as _, process::ExitCode};

use arguments::{Carry, Task};
use daemon::Daemon;
use engine::Engine;
use fallback::Fallback;
use netmap_docker_proxy::DEFAULT_SOCKET;
use status::Status;

/// Where netmap listens.
const SOCKET: &str = "NETMAP_SHIM_SOCKET";

/// Wrong arguments, as Go's flag package ends a program.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut status = Status::inherited();
    match arguments::parse(env::args_os().skip(1)) {
        Ok(Task::Carry(carry)) => match run(carry, &mut status) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => status.refuse(&why, 1),
        },
        Ok(Task::Version) => {
            say(&format!(
                "docker-proxy (commit netmap) version {}\n",
                env!("CARGO_PKG_VERSION")
            ));
            ExitCode::SUCCESS
        }
        Ok(Task::Help) => {
            say(arguments::USAGE);
            ExitCode::SUCCESS
        }
        Err(why) => status.refuse(&why, USAGE),
    }
}

/// Has the port carried until the engine ends this process.
fn run(carry: Carry, status: &mut Status) -> Result<(), String> {
    if carry.has_socket && !status::is_socket(status::LISTENER) {
        return Err("-use-listen-fd is given, but file descriptor 4 is no socket".to_owned());
    }
    let socket = carry.socket.or_else(|| env::var_os(SOCKET).map(Into::into));
    let socket = socket.unwrap_or_else(|| DEFAULT_SOCKET.into());
    let fallback = Fallback::wanted(carry.fallback);
    let mut engine = Engine::listen().map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let mut daemon = Daemon::new(socket, carry.port, carry.has_socket);
    match daemon.publish(&mut engine, fallback.is_none()) {
        Ok(true) => {}
        // The engine has changed its mind meanwhile.
        Ok(false) => return Ok(()),
        Err(daemon::Error::Refused(why)) => return Err(why),
        Err(daemon::Error::Absent(why)) => {
            return Err(match fallback {
                // Comes back only if it could not.
                Some(fallback) => fallback.run(&carry.engine, &why),
                None => why,
            });
        }
    }
    status.ready();
    daemon.stand(&mut engine);
    Ok(())
}

fn say(text: &str) {
    // Who asks and does not listen is told nothing.
    let _unheard = std::io::stdout().write_all(text.as_bytes());
}
