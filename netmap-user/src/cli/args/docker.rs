//! What can be said to `netmap docker`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `netmap docker`.
#[derive(Args, Debug)]
pub struct DockerArgs {
    /// What to do with its settings.
    #[command(subcommand)]
    pub command: DockerCommand,
}

/// What can be done with Docker's settings.
#[derive(Debug, Subcommand)]
pub enum DockerCommand {
    /// Write the settings by which Docker publishes by netmap; all others stay
    Install(DockerWriteArgs),
    /// Bring back the settings that were there before
    Remove(DockerWriteArgs),
    /// Tell what is set, what runs and what has to be restarted
    Status(DockerStatusArgs),
}

/// Where Docker's settings are.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerPlaces {
    /// Docker's settings [default: /etc/docker/daemon.json]
    #[arg(long, value_name = "PATH")]
    pub daemon_json: Option<PathBuf>,
    /// netmap's docker-proxy [default: netmap-docker-proxy beside netmap]
    #[arg(long, value_name = "PATH")]
    pub proxy_path: Option<PathBuf>,
    /// The folder of systemd's units [default: /etc/systemd/system, if it is there]
    #[arg(long, value_name = "DIR")]
    pub systemd_dir: Option<PathBuf>,
}

/// `netmap docker install` and `netmap docker remove`.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerWriteArgs {
    /// Where.
    #[command(flatten)]
    pub places: DockerPlaces,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub print: bool,
}

/// `netmap docker status`.
#[derive(Args, Clone, Debug, Default)]
pub struct DockerStatusArgs {
    /// Where.
    #[command(flatten)]
    pub places: DockerPlaces,
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}
