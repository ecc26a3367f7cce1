//! `netmap reload`.

use std::{io, io::Write};

use super::{
    args::{Instance, ReloadArgs},
    failure::Failure,
    output, publish,
};
use crate::{
    api::{client::Client, types::Reloaded},
    config::Change,
};

/// Has the daemon read its file again, and says what that has changed.
pub(super) fn command(args: &ReloadArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let reloaded = publish::wait(Client::new(instance.socket()).reload())??;
    for warning in &reloaded.warnings {
        output::complain(warning);
    }
    if args.json {
        output::json(out, &reloaded)?;
    } else {
        render(&reloaded, out)?;
    }
    Ok(())
}

fn render(reloaded: &Reloaded, out: &mut impl Write) -> io::Result<()> {
    let Reloaded {
        changed,
        needs_restart,
        ..
    } = reloaded;
    if changed.is_empty() && needs_restart.is_empty() {
        return writeln!(out, "nothing has changed");
    }
    for Change { key, from, to } in changed {
        writeln!(out, "{key}: {to}, was {from}")?;
    }
    for Change { key, from, to } in needs_restart {
        writeln!(out, "{key}: stays {from} until netmap is started anew, then {to}")?;
    }
    Ok(())
}
