//! `cargo xtask demo`: every scenario with real traffic, who carried it and which address the container saw.
//!
//! Makes a host, containers and a remote host out of network namespaces, runs netmap in the host, publishes ports with
//! its command line, and removes all of it at the end, also after Ctrl-C. With `--keep` it stays up until then.

use std::{
    process::ExitCode,
    sync::mpsc::{Receiver, TryRecvError, channel},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use netmap_tests::{
    Family, Moved, Options, Scene, ipv6, refusals,
    rows::{self, Outcome},
    scene::{PUBLISHED, Transport, V4_ONLY},
    topology::{C1, HOST},
};

const USAGE: &str = "\
Usage: cargo xtask demo [--keep]

Sends real traffic through every scenario of netmap, in network namespaces of its own.

  --keep   leave everything up for exploring, until Ctrl-C";

fn main() -> ExitCode {
    let mut keep = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--keep" => keep = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("unknown argument {argument}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match demonstrate(keep) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => {
            println!("\nStopped; everything is removed.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C or SIGTERM.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The whole demo; whether every row was as it should be. Whatever it made is gone when it returns.
fn demonstrate(keep: bool) -> Result<bool> {
    let (interrupt, interrupts) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when everything is being removed already.
        let _late = interrupt.send(());
    })?;
    // A Ctrl-C reaches the programs that we run, too, so that any error may come of it.
    let unless_interrupted = |result: Result<bool>| match interrupts.try_recv() {
        Ok(()) => Err(Interrupted.into()),
        Err(_) => result,
    };

    let start = Instant::now();
    println!("Making a host, two bridges, three containers and a remote host out of network namespaces ...");
    let mut scene = match Scene::with(Options {
        ipv6: true,
        ..Options::default()
    }) {
        Ok(scene) => scene,
        Err(error) => return unless_interrupted(Err(error)),
    };
    scene.netmap.shows_log = false;
    println!(
        "{} ({:.1} s)",
        scene.netmap.ready_line(),
        start.elapsed().as_secs_f32()
    );
    for transport in Transport::ALL {
        let transport = transport.name();
        println!(
            "$ netmap publish {PUBLISHED}:80/{transport} --to {C1} --to {}",
            ipv6::C1
        );
        println!("$ netmap publish {V4_ONLY}:80/{transport} --to {C1}");
    }
    let all_right = play(&scene, &interrupts).and_then(|failures| {
        show(&scene)?;
        Ok(failures == 0)
    });
    let all_right = match all_right {
        Err(error) if !error.is::<Interrupted>() => unless_interrupted(Err(error))?,
        all_right => all_right?,
    };
    if keep {
        invite(&scene);
        interrupts.recv().context("the signal handler is gone")?;
        println!();
    }
    drop(scene);
    println!(
        "\nEverything that the demo made is removed ({:.1} s in all).",
        start.elapsed().as_secs_f32()
    );
    Ok(all_right)
}

/// Plays every row and prints the table; gives how many were wrong.
fn play(scene: &Scene, interrupts: &Receiver<()>) -> Result<u32> {
    println!();
    print_line(
        "row",
        "",
        "scenario",
        "over",
        "carried by (netmap's own counters)",
        "client seen",
        "",
    );
    let mut failures = 0;
    let mut judge = |row: &str,
                     family: Family,
                     what: &str,
                     over: &str,
                     result: Result<(String, String)>,
                     verdict: Result<()>| {
        let (by, seen) = result.unwrap_or_default();
        print_line(
            row,
            family.name(),
            what,
            over,
            &by,
            &seen,
            if verdict.is_ok() { "ok" } else { "WRONG" },
        );
        if let Err(error) = verdict {
            failures += 1;
            println!("      {error:#}");
        }
    };
    for row in rows::all(scene) {
        for transport in Transport::ALL {
            check(interrupts)?;
            let (over, outcome) = match transport {
                Transport::Tcp => ("http", row.observe_http(scene)),
                Transport::Udp => ("udp", row.observe(scene, transport)),
            };
            let (shown, verdict) = told(outcome, |outcome| row.judge(scene, outcome));
            judge(
                &row.number.to_string(),
                row.family,
                row.what,
                over,
                Ok(shown),
                verdict,
            );
        }
    }
    for family in Family::ALL {
        check(interrupts)?;
        let outcome = rows::observe_ping(scene, family, 7);
        let (shown, verdict) = told(outcome, |outcome| rows::judge_ping(family, outcome));
        judge("7", family, "c1 -> remote", "ping", Ok(shown), verdict);
    }
    for refusal in refusals::all(scene) {
        check(interrupts)?;
        let (by, verdict) = match refusal.observe(scene) {
            Ok(moved) => (
                format!("dropped: {}", moved.dropped().join(", ")),
                refusal.judge(&moved),
            ),
            Err(error) => (String::new(), Err(error)),
        };
        judge(
            "8",
            refusal.attempt.family(),
            refusal.what,
            refusal.attempt.name(),
            Ok((by, "-".to_owned())),
            verdict,
        );
    }
    println!();
    match failures {
        0 => println!("Every row is as it should be."),
        failures => println!(
            "{failures} rows are wrong. The daemon's log:\n{}",
            scene.netmap.log()
        ),
    }
    Ok(failures)
}

/// What a row's outcome looks like in the table, and whether it is right.
fn told(outcome: Result<Outcome>, judge: impl Fn(&Outcome) -> Result<()>) -> ((String, String), Result<()>) {
    match outcome {
        Ok(outcome) => (
            (carriers(&outcome.moved), outcome.seen.to_string()),
            judge(&outcome),
        ),
        Err(error) => ((String::new(), String::new()), Err(error)),
    }
}

fn carriers(moved: &Moved) -> String {
    let counters: Vec<_> = moved.carried().into_iter().chain(moved.dropped()).collect();
    counters.join(", ")
}

fn check(interrupts: &Receiver<()>) -> Result<()> {
    match interrupts.try_recv() {
        Ok(()) => bail!(Interrupted),
        Err(TryRecvError::Empty) => Ok(()),
        Err(TryRecvError::Disconnected) => bail!("the signal handler is gone"),
    }
}

fn print_line(row: &str, family: &str, what: &str, over: &str, by: &str, seen: &str, verdict: &str) {
    println!("{row:<4}{family:<6}{what:<40}{over:<6}{by:<50}{seen:<15}{verdict}");
}

/// Prints what netmap itself lists.
fn show(scene: &Scene) -> Result<()> {
    for listing in ["ports", "flows", "stats"] {
        let text = scene.netmap.done(&[listing])?;
        ensure!(!text.trim().is_empty(), "`netmap {listing}` shows nothing");
        println!("\n$ netmap {listing}\n{}", text.trim_end());
    }
    Ok(())
}

/// Says how to enter the lab.
fn invite(scene: &Scene) {
    let (lab, netmap) = (&scene.lab, &scene.netmap);
    let enter = |who: &netmap_tests::Namespace| format!("nsenter --net={}", who.path().display());
    println!(
        "\nThe lab stays up until Ctrl-C. In another shell, as root:\n\n\
         # the remote host asks for a page of c1, then has a shell\n\
         {remote} curl http://{HOST}:{PUBLISHED}/\n\
         {remote} curl http://[{host6}]:{PUBLISHED}/\n\
         {remote} bash\n\
         # the containers\n\
         {c1} bash    # {C1}, the published one\n\
         {c1b} bash   # its neighbour\n\
         {c2} bash    # on the other bridge\n\
         # the host, where netmap runs\n\
         {host} env NETMAP_SOCKET={socket} NETMAP_PIN_DIR={pins} NETMAP_STATE={state} PATH=\"{binary}:$PATH\" bash\n\
         #   there: netmap ports | flows | stats | status, curl http://127.0.0.1:{PUBLISHED}/",
        host6 = ipv6::HOST,
        remote = enter(&lab.remote),
        c1 = enter(&lab.c1),
        c1b = enter(&lab.c1b),
        c2 = enter(&lab.c2),
        host = enter(&lab.host),
        socket = netmap.socket().display(),
        pins = netmap.pins().display(),
        state = netmap.state().display(),
        binary = netmap.binary().parent().unwrap_or(netmap.binary()).display(),
    );
}
