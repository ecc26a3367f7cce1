//! What can be said to `netmap publish` and `netmap unpublish`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;
use ipnet::IpNet;

use crate::{
    binding::HostPorts,
    spec::{self, PublishSpec},
};

/// `netmap publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// What to publish, in the words of the command line.
    #[arg(
        value_name = "SPEC",
        help = "[HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp]",
        required_unless_present = "file",
        requires = "target"
    )]
    pub spec: Option<PublishSpec>,
    /// The container's address; may be given twice, one of IPv4 and one of IPv6
    #[arg(
        id = "target",
        long = "to",
        value_name = "CONTAINER_IP",
        value_parser = spec::parse_target,
        value_delimiter = ',',
        requires = "spec"
    )]
    pub targets: Vec<IpAddr>,
    /// Let only these sources connect, of either family; may be given several times
    #[arg(long, value_name = "CIDR", value_parser = spec::parse_source, value_delimiter = ',', requires = "spec")]
    pub allow: Vec<IpNet>,
    /// Many at once.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["spec", "target", "allow"],
        help = "Publish all that a file lists, or nothing: SPEC CONTAINER_IP[,CONTAINER_IP] [CIDR,..] a line; - reads from stdin"
    )]
    pub file: Option<PathBuf>,
}

/// `netmap unpublish`.
#[derive(Args, Debug)]
pub struct UnpublishArgs {
    /// What to take back, in the words of the command line.
    #[arg(
        value_name = "SPEC",
        help = "[HOSTIP:]PORT[-END][/tcp|udp]",
        required_unless_present = "file"
    )]
    pub published: Option<HostPorts>,
    /// Take back all that a file lists, or nothing: a SPEC a line; - reads from stdin
    #[arg(long, value_name = "FILE", conflicts_with = "published")]
    pub file: Option<PathBuf>,
}
