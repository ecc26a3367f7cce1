//! What can be said to `netmap doctor` and `netmap down`.

use std::path::PathBuf;

use clap::Args;

/// `netmap doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
    /// Say nothing of this kind of finding; may be given several times
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Docker's settings [default: /etc/docker/daemon.json]
    #[arg(long, value_name = "PATH")]
    pub daemon_json: Option<PathBuf>,
}

/// `netmap down`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DownArgs {
    /// Leave what is published in the state directory: the next `netmap run` publishes it again
    #[arg(long)]
    pub keep_published: bool,
}
