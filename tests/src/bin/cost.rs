//! What the packet programs cost on this machine: what the verifier found, and the time that a packet of an
//! established flow takes.
//!
//! The time is `BPF_PROG_TEST_RUN`'s mean over a run of the same packet. The kernel does not restore the packet
//! between the rounds of a run, so each flow here has a second one that translates its packets back: every round is
//! a full translation of addresses and ports, there and back in turn. A packet starts with a time to live of 255,
//! which lasts for one run.
//!
//! `NETMAP_OBJECT` names another object than the one that was built last. Needs root.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{self, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_common::maps::{
    Address, Address6, Flow, FlowKey, Generation, Hook, IfIndex, Kind, Port, Protocol, RuleId, Side, Way,
};
use netmap_tests::{
    ground::BPFFS,
    programs::{
        Frame, HOOKS, Programs, REDIRECT, XDP_REDIRECT, flag, object, program_name,
        scenery::{
            self, Places, Scenery,
            interface::{UP0, VC1},
        },
    },
};

/// Rounds of one run: the time to live is 255 and must not end.
const ROUNDS: u32 = 250;
/// Runs of one flow.
const RUNS: usize = 2_000;

fn main() -> Result<()> {
    let stacks = stack_depths(&object()?).unwrap_or_else(|error| {
        eprintln!("stack depths are not known: {error:#}");
        Vec::new()
    });
    Scenery::run(|_| {
        let mut programs = Programs::load_both(&scenery::world(), &scenery::world())?;
        sizes(&programs, &stacks)?;
        println!(
            "\nTime of one packet: median of {RUNS} runs of {ROUNDS} rounds each, and the fastest run.\n"
        );
        println!("{:<42} {:>9} {:>9}", "packet", "median", "fastest");
        for hook in [Hook::UplinkIn, Hook::UplinkXdp, Hook::PortIn] {
            let arrival = if hook == Hook::PortIn { VC1 } else { UP0 };
            let mut arp = Frame::new(<FlowKey>::default(), 0).bytes()?;
            arp[12..14].copy_from_slice(&[0x08, 0x06]);
            report(
                &programs,
                (hook, arrival),
                &arp,
                &format!("{}, not IPv4", hook.name()),
            )?;
        }
        established::<Address>(&mut programs, "")?;
        established::<Address6>(&mut programs, " IPv6")
    })
}

fn established<A: Places>(programs: &mut Programs, family: &str) -> Result<()> {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        for shuttle in shuttles::<A>(protocol, family) {
            shuttle.measure(programs)?;
        }
    }
    Ok(())
}

/// A flow and the one that undoes it, as one direction's hook sees them.
struct Shuttle<A: Places> {
    name: String,
    place: (Hook, IfIndex),
    there: FlowKey<A>,
    back: FlowKey<A>,
    entry: Flow<A>,
}

/// Both directions of a published port, and of a container's way out.
fn shuttles<A: Places>(protocol: Protocol, family: &str) -> Vec<Shuttle<A>> {
    let key = |src, src_port, dst, dst_port| FlowKey::new(protocol, src, Port(src_port), dst, Port(dst_port));
    let published = (
        key(A::FAR, 40_000, A::HOST, 8_080),
        key(A::FAR, 40_000, A::C1, 80),
    );
    let egress = (key(A::C1, 40_000, A::FAR, 53), key(A::HOST, 1_025, A::FAR, 53));
    // Rule 1 is TCP's port 8080, rule 2 UDP's.
    let rule = RuleId(if protocol == Protocol::Tcp { 1 } else { 2 });
    let inwards = ((Hook::UplinkIn, UP0), Way::Peer, VC1);
    let outwards = ((Hook::PortIn, VC1), Way::Neigh, UP0);
    // To another source address, for XDP asks the kernel who is the neighbour with the destination's: the container,
    // in both directions of the shuttle.
    let off_the_wire = ((Hook::UplinkXdp, UP0), Way::Peer, VC1);
    let near = (key(A::FAR, 40_000, A::C1, 8_080), key(A::FAR, 40_000, A::C1, 80));
    [
        (Kind::Published, Side::Original, rule, published, inwards),
        (Kind::Published, Side::Original, rule, near, off_the_wire),
        (Kind::Published, Side::Reply, rule, reversed(published), outwards),
        (Kind::Egress, Side::Original, RuleId(0), egress, outwards),
        (Kind::Egress, Side::Reply, RuleId(0), reversed(egress), inwards),
    ]
    .into_iter()
    .map(|(kind, side, rule, (there, back), (place, way, out))| Shuttle {
        name: format!(
            "{},{family} {protocol} {} {}",
            place.0.name(),
            kind.name(),
            name(side)
        ),
        place,
        there,
        back,
        entry: Flow {
            out,
            nonce: 1,
            rule,
            generation: Generation(0),
            way: way as u8,
            kind: kind as u8,
            side: side as u8,
            ..Flow::default()
        },
    })
    .collect()
}

impl<A: Places> Shuttle<A> {
    fn measure(&self, programs: &mut Programs) -> Result<()> {
        let Self {
            there, back, entry, ..
        } = *self;
        A::tables(programs).clear_flows()?;
        for (from, to) in [(there, back), (back, there)] {
            A::tables(programs).set_flow(from, Flow { to, ..entry })?;
            let twin = Flow {
                to: from.reversed(),
                ..entry
            };
            A::tables(programs).set_flow(to.reversed(), twin)?;
        }
        let frame = Frame {
            ttl: 255,
            ..Frame::new(there, flag::ACK)
        };
        let (hook, arrival) = self.place;
        let once = programs.run(hook, arrival, 0, &frame.bytes()?)?;
        let expected = Frame {
            ttl: 254,
            ..Frame::new(back, flag::ACK)
        };
        let (expected_verdict, link_layer) = match hook {
            Hook::UplinkXdp => (XDP_REDIRECT, 12),
            _ => (REDIRECT, 0),
        };
        ensure!(
            once.verdict == expected_verdict
                && once.frame.get(link_layer..) == expected.bytes()?.get(link_layer..),
            "{} is not translated: {once:x?}",
            self.name
        );
        report(programs, self.place, &frame.bytes()?, &self.name)?;
        let seen: u64 = A::tables(programs)
            .flows()?
            .values()
            .map(|flow| flow.packets)
            .sum();
        ensure!(
            seen == 1 + RUNS as u64 * u64::from(ROUNDS),
            "{}: only {seen} rounds met a flow",
            self.name
        );
        Ok(())
    }
}

fn report(programs: &Programs, (hook, arrival): (Hook, IfIndex), frame: &[u8], name: &str) -> Result<()> {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| programs.time(hook, arrival, frame, ROUNDS))
        .collect::<Result<_>>()?;
    times.sort_unstable();
    let nanoseconds = |time: Option<&Duration>| time.map_or(0, Duration::as_nanos);
    println!(
        "{name:<42} {:>6} ns {:>6} ns",
        nanoseconds(times.get(RUNS / 2)),
        nanoseconds(times.first())
    );
    Ok(())
}

fn sizes(programs: &Programs, stacks: &[(String, String)]) -> Result<()> {
    println!(
        "{:<18} {:>12} {:>12}  stack, a frame each",
        "program", "instructions", "jited bytes"
    );
    for hook in HOOKS {
        let whole = (program_name(hook), programs.program(hook)?);
        for (name, program) in [whole].into_iter().chain(programs.parts(hook)) {
            let info = program.info()?;
            let stack = stacks.iter().find(|(program, _)| program == name);
            println!(
                "{name:<18} {:>12} {:>12}  {}",
                info.verified_instruction_count()
                    .map_or("-".to_owned(), |count| count.to_string()),
                info.size_jitted(),
                stack.map_or("-", |(_, depth)| depth)
            );
        }
    }
    println!("\ninstructions: how many the verifier went through, of 1,000,000 at most");
    Ok(())
}

/// Each program's stack depth. The verifier says it in its log only, which aya drops when all is well.
fn stack_depths(object: &Path) -> Result<Vec<(String, String)>> {
    let pins = Path::new(BPFFS).join(format!("netmap-nm{}-cost", process::id()));
    let mut loading = Command::new("bpftool")
        .args(["--debug", "prog", "loadall"])
        .args([object, &pins])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start bpftool")?;
    let log = loading.stderr.take().context("bpftool has no output")?;
    let mut depths = Vec::new();
    let mut program = String::new();
    for line in BufReader::new(log).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(rest) = line.strip_prefix("libbpf: prog '")
            && let Some((name, _)) = rest.split_once("': -- BEGIN")
        {
            name.clone_into(&mut program);
        } else if let Some(depth) = line.strip_prefix("stack depth ") {
            depths.push((program.clone(), depth.to_owned()));
        }
    }
    let status = loading.wait()?;
    // Nothing but pins, which keep what is not needed any more.
    let _absent = fs::remove_dir_all(&pins);
    ensure!(status.success(), "bpftool cannot load the object ({status})");
    Ok(depths)
}

fn reversed<A: Places>((there, back): (FlowKey<A>, FlowKey<A>)) -> (FlowKey<A>, FlowKey<A>) {
    (back.reversed(), there.reversed())
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Original => "there",
        Side::Reply => "back",
    }
}
