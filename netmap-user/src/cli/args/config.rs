//! What can be said to `netmap config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::DEFAULT_PATH;

/// `netmap config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with a configuration file, and what of it this host does not have
    Check(ConfigCheckArgs),
    /// Print every setting, and whether file, flag or default says so: of the daemon, or what the file would give
    Show(ConfigShowArgs),
}

/// `netmap config check`.
#[derive(Args, Debug)]
pub struct ConfigCheckArgs {
    /// The file
    #[arg(value_name = "FILE", default_value = DEFAULT_PATH)]
    pub file: PathBuf,
}

/// `netmap config show`.
#[derive(Args, Debug)]
pub struct ConfigShowArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Print what this file would give, whatever the daemon goes by [default without a daemon: /etc/netmap/netmap.toml]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `netmap reload`.
#[derive(Args, Debug)]
pub struct ReloadArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}
