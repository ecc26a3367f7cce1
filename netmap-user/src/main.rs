//! `netmap`: the daemon and its command line, see [`netmap_user::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    netmap_user::cli::main(std::env::args_os())
}
