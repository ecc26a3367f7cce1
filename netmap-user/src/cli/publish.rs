//! `netmap publish` and `netmap unpublish`.

use std::{fmt::Display, io::Write};

use anyhow::anyhow;

use super::{
    args::{Instance, PublishArgs, UnpublishArgs},
    batch,
    failure::Failure,
    output,
};
use crate::api::{
    client::{Client, ClientError},
    types::{Done, PublishRequest, UnpublishRequest},
};

/// Asks the daemon to publish, and says what is published.
pub(super) fn publish(args: PublishArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let bindings = match (args.file, args.spec) {
        (Some(file), _) => batch::bindings(&file).map_err(Failure::usage)?,
        (None, Some(spec)) => spec.bind(&args.targets, &args.allow).map_err(Failure::usage)?,
        (None, None) => return Err(Failure::usage(anyhow!("a SPEC with --to, or --file, is needed"))),
    };
    let line = summary("published", &bindings, "rules");
    let client = Client::new(instance.socket());
    let done = wait(client.publish(&PublishRequest { bindings }))??;
    report(&line, &done, out)
}

/// Asks the daemon to take back, and says what is no longer published.
pub(super) fn unpublish(
    args: &UnpublishArgs,
    instance: &Instance,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let published = match (&args.file, args.published) {
        (Some(file), _) => batch::published(file).map_err(Failure::usage)?,
        (None, Some(published)) => vec![published],
        (None, None) => return Err(Failure::usage(anyhow!("a SPEC or --file is needed"))),
    };
    let line = summary("unpublished", &published, "SPECs");
    let client = Client::new(instance.socket());
    let done = wait(client.unpublish(&UnpublishRequest { published }))??;
    report(&line, &done, out)
}

/// What one SPEC can mean is named, a line a rule; many are counted.
fn summary(done: &str, what: &[impl Display], plural: &str) -> String {
    match what {
        [one] => format!("{done} {one}"),
        [ipv4, ipv6] => format!("{done} {ipv4}\n{done} {ipv6}"),
        many => format!("{done} {} {plural}", many.len()),
    }
}

/// Waits for the daemon's answer.
pub(super) fn wait<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
) -> std::io::Result<Result<T, ClientError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(answer))
}

fn report(line: &str, done: &Done, out: &mut impl Write) -> Result<(), Failure> {
    for warning in &done.warnings {
        output::complain(warning);
    }
    writeln!(out, "{line}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use clap::Parser as _;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::{
        api::{
            server::{Command, Server},
            types::Refusal,
        },
        cli::{args::Cli, dispatch},
    };

    /// What `netmap ARGUMENTS` prints while a daemon runs that answers with `result`, and what it was asked.
    fn netmap(arguments: &str, result: Result<Done, Refusal>) -> (Result<String, String>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("netmap.sock");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let path = socket.clone();
        let daemon = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Server::bind(&path).unwrap();
                ready.send(()).unwrap();
                let (commands, mut taken) = mpsc::channel(1);
                let server = server.serve(commands, async { stopped.await.unwrap() });
                let answer = async { Some(answer(taken.recv().await?, result)) };
                tokio::join!(server, answer).1
            })
        });
        is_ready.recv().unwrap();
        let mut line = vec!["netmap", "--socket", socket.to_str().unwrap()];
        line.extend(arguments.split_whitespace());
        let mut out = Vec::new();
        let done = dispatch(Cli::try_parse_from(line).unwrap(), &mut out);
        stop.send(()).unwrap();
        let asked = daemon.join().unwrap();
        let printed = String::from_utf8(out).unwrap();
        match done {
            Ok(()) => (Ok(printed), asked),
            Err(Failure::Failed(error)) => (Err(error.to_string()), asked),
            Err(Failure::Usage(error)) => panic!("wrong usage: {error}"),
            Err(Failure::Found) => panic!("nothing was looked for"),
        }
    }

    fn answer(command: Command, result: Result<Done, Refusal>) -> String {
        match command {
            Command::Publish(request, answer) => {
                answer.send(result).unwrap();
                joined(&request.bindings)
            }
            Command::Unpublish(request, answer) => {
                answer.send(result).unwrap();
                joined(&request.published)
            }
            Command::Status(_) => "status".to_owned(),
            Command::Names(_) => "names".to_owned(),
            Command::Uses(_) => "uses".to_owned(),
            Command::CloseFlows(..) => "close".to_owned(),
            Command::Watch(..) => "watch".to_owned(),
            Command::Config(_) => "config".to_owned(),
            Command::Reload(_) => "reload".to_owned(),
        }
    }

    fn joined(what: &[impl Display]) -> String {
        what.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn publish_says_in_a_line_a_family_what_is_published() {
        let done = Done {
            warnings: vec!["the container is on no managed bridge".to_owned()],
        };
        let (printed, asked) = netmap("publish 8080:80 --to 172.30.1.2", Ok(done));
        assert_eq!(
            printed.unwrap(),
            "published 0.0.0.0:8080->172.30.1.2:80/tcp\npublished [::]:8080->172.30.1.2:80/tcp\n"
        );
        assert_eq!(
            asked.unwrap(),
            "0.0.0.0:8080->172.30.1.2:80/tcp [::]:8080->172.30.1.2:80/tcp"
        );
        let (printed, _) = netmap("publish [::1]:53:53/udp --to fd00::2", Ok(Done::default()));
        assert_eq!(printed.unwrap(), "published [::1]:53->[fd00::2]:53/udp\n");
    }

    #[test]
    fn unpublish_says_in_one_line_what_is_gone() {
        let (printed, asked) = netmap("unpublish 127.0.0.1:20-29/udp", Ok(Done::default()));
        assert_eq!(printed.unwrap(), "unpublished 127.0.0.1:20-29/udp\n");
        assert_eq!(asked.unwrap(), "127.0.0.1:20-29/udp");
        let (printed, asked) = netmap("unpublish 8080", Ok(Done::default()));
        assert_eq!(printed.unwrap(), "unpublished 8080/tcp\n");
        assert_eq!(asked.unwrap(), "8080/tcp");
    }

    #[test]
    fn the_daemons_refusal_is_the_failure() {
        let refusal = Refusal {
            error: "8080/tcp is not published".to_owned(),
        };
        let (printed, _) = netmap("unpublish 8080", Err(refusal));
        assert_eq!(printed.unwrap_err(), "8080/tcp is not published");
    }
}
