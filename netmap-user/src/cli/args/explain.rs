//! What can be said to `netmap explain`.

use clap::Args;

/// `netmap explain`.
#[derive(Args, Clone, Debug, Default)]
pub struct ExplainArgs {
    /// Who sends, in the words of the command line.
    #[arg(
        value_name = "SRC:PORT",
        help = "Who sends: ADDRESS:PORT, of IPv6 [ADDRESS]:PORT; any port without one"
    )]
    pub source: String,
    /// To whom: ADDRESS:PORT/tcp or /udp, or ADDRESS/icmp for an echo request
    #[arg(value_name = "DST:PORT/PROTO")]
    pub target: String,
    /// The interface that it comes in by, or 'host' for a process of this host [default: by the source]
    #[arg(long, value_name = "IF|host")]
    pub from: Option<String>,
    /// A packet in the middle of a connection (TCP without SYN, an echo reply), not the one that opens it
    #[arg(long)]
    pub established: bool,
    /// Print JSON with stable keys
    #[arg(long)]
    pub json: bool,
}
