//! What can be written on the command line.

mod config;
mod docker;
mod explain;
mod flows;
mod host;
mod listing;
mod monitor;
mod publish;
mod run;
mod top;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

pub use self::{
    config::{ConfigArgs, ConfigCheckArgs, ConfigCommand, ConfigShowArgs, ReloadArgs},
    docker::{DockerArgs, DockerCommand, DockerPlaces, DockerStatusArgs, DockerWriteArgs},
    explain::ExplainArgs,
    flows::{CloseArgs, FlowFilterArgs, FlowOrder, FlowsArgs, FlowsCommand, KindName, ProtocolName},
    host::{DoctorArgs, DownArgs},
    listing::{ClassName, ListArgs, OwnerName, PortOrder, PortsArgs, StatsArgs},
    monitor::MonitorArgs,
    publish::{PublishArgs, UnpublishArgs},
    run::RunArgs,
    top::TopArgs,
};
use super::help;
use crate::options::{DEFAULT_PIN_DIR, DEFAULT_SOCKET, DEFAULT_STATE};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "netmap", version, about = help::ABOUT, long_about = help::LONG_ABOUT, after_help = help::OVERVIEW)]
pub struct Cli {
    /// Which netmap is meant.
    #[command(flatten)]
    pub instance: Instance,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which netmap is meant: several can run, one a network namespace.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which netmap (several can run, one a network namespace)")]
pub struct Instance {
    /// Where the daemon listens [default: /run/netmap/netmap.sock]
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        env = "NETMAP_SOCKET",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
    /// Where programs and maps are pinned, a folder of a bpffs [default: /sys/fs/bpf/netmap]
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NETMAP_PIN_DIR",
        hide_env_values = true
    )]
    pub pin_dir: Option<PathBuf>,
    /// Where what outlives a reboot is kept, a directory [default: /var/lib/netmap]
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NETMAP_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
}

impl Instance {
    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET))
    }

    /// The folder of the pins.
    pub fn pin_dir(&self) -> &Path {
        self.pin_dir.as_deref().unwrap_or(Path::new(DEFAULT_PIN_DIR))
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.as_deref().unwrap_or(Path::new(DEFAULT_STATE))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach to uplinks and bridges, and serve until stopped
    #[command(long_about = help::RUN, after_help = help::RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Publish ports of this host to a container
    #[command(long_about = help::PUBLISH, after_help = help::PUBLISH_EXAMPLES)]
    Publish(PublishArgs),
    /// Take published ports back
    #[command(long_about = help::UNPUBLISH, after_help = help::UNPUBLISH_EXAMPLES)]
    Unpublish(UnpublishArgs),
    /// List what is published
    #[command(long_about = help::PORTS, after_help = help::PORTS_EXAMPLES)]
    Ports(PortsArgs),
    /// List what is being translated
    #[command(long_about = help::FLOWS, after_help = help::FLOWS_EXAMPLES)]
    Flows(Box<FlowsArgs>),
    /// Count what became of packets, and why
    #[command(long_about = help::STATS, after_help = help::STATS_EXAMPLES)]
    Stats(StatsArgs),
    /// Tell what happens as it happens: packets dropped or left to the host, flows, rules, containers
    #[command(long_about = help::MONITOR, after_help = help::MONITOR_EXAMPLES)]
    Monitor(MonitorArgs),
    /// Tell what would become of a packet, step by step, why, and what would change it
    #[command(long_about = help::EXPLAIN, after_help = help::EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Show what is carried now, by port, container and flow, and what is dropped
    #[command(long_about = help::TOP, after_help = help::TOP_EXAMPLES)]
    Top(TopArgs),
    /// Tell what runs, what is attached and how full the tables are
    #[command(long_about = help::STATUS, after_help = help::STATUS_EXAMPLES)]
    Status(ListArgs),
    /// Check a configuration file, or print what counts and who says so
    #[command(long_about = help::CONFIG, after_help = help::CONFIG_EXAMPLES)]
    Config(ConfigArgs),
    /// Have the daemon read its configuration file again
    #[command(long_about = help::RELOAD, after_help = help::RELOAD_EXAMPLES)]
    Reload(ReloadArgs),
    /// Make Docker publish its ports by netmap, or by itself again
    #[command(long_about = help::DOCKER, after_help = help::DOCKER_EXAMPLES)]
    Docker(DockerArgs),
    /// Look for what would break netmap on this host, and say what mends it
    #[command(long_about = help::DOCTOR, after_help = help::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Stop the daemon, detach everything and remove all pins
    #[command(long_about = help::DOWN, after_help = help::DOWN_EXAMPLES)]
    Down(DownArgs),
}

#[cfg(test)]
mod tests;
