//! `netmap flows close`: flows that the operator has had enough of.

use std::io::Write;

use crate::{
    api::{client::Client, flows::CloseRequest},
    cli::{
        args::{CloseArgs, Instance},
        failure::Failure,
        output,
        publish::wait,
    },
};

/// Asks the daemon to forget flows, and says how many it has forgotten.
pub(super) fn command(args: &CloseArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let filter = args.filter.filter();
    if filter.is_everything() && !args.all {
        let text = "which flows? Give at least one filter, as --client or --port, or --all";
        return Err(Failure::usage(anyhow::anyhow!(text)));
    }
    let request = CloseRequest {
        filter,
        all: args.all,
    };
    let closed = wait(Client::new(instance.socket()).close_flows(&request))??;
    if args.json {
        output::json(out, &closed)?;
    } else {
        let plural = if closed.closed == 1 { "" } else { "s" };
        writeln!(out, "closed {} flow{plural}", closed.closed)?;
    }
    Ok(())
}
