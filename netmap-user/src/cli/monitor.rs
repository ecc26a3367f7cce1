//! `netmap monitor`: what happens, as it happens.

mod capture;
mod line;

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time;

use self::{capture::Capture, line::Style};
use super::{
    args::{Instance, MonitorArgs},
    failure::Failure,
    output,
};
use crate::api::{
    client::Client,
    events::{Event, Happening, WatchRequest},
};

/// How long lines that nobody can read so fast may wait for more of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Prints events until it is told to stop, has told as many as it should, or the daemon stops.
pub(super) fn command(args: &MonitorArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let mut capture = match &args.pcap {
        None => None,
        Some(file) => {
            Some(Capture::create(file).with_context(|| format!("{} cannot be written", file.display()))?)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(follow(args, instance, capture.as_mut(), out))?)
}

impl From<&MonitorArgs> for WatchRequest {
    fn from(args: &MonitorArgs) -> Self {
        Self {
            drops: args.drops,
            reasons: args
                .reasons
                .iter()
                .map(|reason| reason.name().to_owned())
                .collect(),
            all: args.all,
            ports: args.ports.clone(),
            addresses: args.addresses.clone(),
            containers: args.containers.clone(),
            interfaces: args.interfaces.iter().map(ToString::to_string).collect(),
            frames: args.pcap.is_some(),
        }
    }
}

async fn follow(
    args: &MonitorArgs,
    instance: &Instance,
    mut capture: Option<&mut Capture>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let style = Style::new(io::stdout().is_terminal());
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut watching = Client::new(instance.socket()).watch(&args.into()).await?;
    while left > 0 {
        let lines = tokio::select! {
            lines = watching.lines() => lines?,
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(());
            }
        };
        let lines = lines.context("netmap has stopped")?;
        for line in lines.lines() {
            let mut event: Event = serde_json::from_str(line)
                .with_context(|| format!("the daemon tells what this netmap does not know: {line}"))?;
            if let Some(capture) = &mut capture {
                capture.add(&event)?;
            }
            if args.json {
                event.what.forget_frame();
                output::json(out, &event)?;
            } else if let Happening::Watching(daemon) = &event.what {
                output::complain(format_args!(
                    "watching what netmap {} does; Ctrl-C ends it",
                    daemon.version
                ));
            } else {
                line::write(out, &event, style)?;
            }
            left -= u64::from(event.what.counts());
            if left == 0 {
                break;
            }
        }
        out.flush()?;
        if lines.len() > 1 << 14 {
            // So many at once are told in larger pieces.
            time::sleep(PAUSE).await;
        }
    }
    Ok(())
}
