//! What is explained is what the kernel does: the same packet, at random, to both.

use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use netmap_tests::{
    Family, Options, Place, Scene, many,
    programs::{DROP, NEXT, REDIRECT},
};
use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

use super::explain;

/// Questions; each is asked once more when the packet has been, and so is the answer to it.
const QUESTIONS: u64 = 60;

/// A packet.
#[derive(Clone, Debug)]
struct Case {
    protocol: &'static str,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    at: Option<&'static str>,
    established: bool,
}

#[test]
fn what_is_explained_is_what_the_kernel_does() -> Result<()> {
    let seed = seed()?;
    println!("seed {seed}; NETMAP_SEED={seed} in the environment asks the same questions");
    compare(seed).with_context(|| format!("seed {seed}"))
}

fn compare(seed: u64) -> Result<()> {
    let scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    for arguments in [
        &["8085:80", "--to", "172.30.1.2", "--allow", "172.30.0.0/16"][..],
        &["192.168.50.2:443:80", "--to", "172.30.1.3"],
        &["8086:80/udp", "--to", "172.30.1.99"],
        &["9000-9009:90-99/udp", "--to", "172.30.2.2"],
    ] {
        scene.netmap.done(&[&["publish"], arguments].concat())?;
    }
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let cases = cases();
    let mut carried = 0;
    for number in 0..many(QUESTIONS) {
        let case = cases
            .new_tree(&mut runner)
            .map_err(|why| anyhow!("{why}"))?
            .current();
        let show = |case: &Case| show(&scene, case).with_context(|| format!("question {number}, {case:?}"));
        let first = show(&case)?;
        if first["hooks"][0]["class"] != "carried" {
            continue;
        }
        carried += 1;
        // Its flow is there now.
        if number % 2 == 0 {
            show(&case)?;
        }
        let answer = &first["answer"];
        let end = |address: &str, port: &str| -> Result<(IpAddr, u16)> {
            let address = answer[address].as_str().context("no address")?.parse()?;
            Ok((address, u16::try_from(answer[port].as_u64().context("no port")?)?))
        };
        let reply = Case {
            from: end("src", "sport")?,
            to: end("dst", "dport")?,
            at: None,
            established: true,
            ..case.clone()
        };
        // An echo's answer has its identifier where a request has none.
        if case.protocol != "icmp" {
            show(&reply)?;
        }
    }
    ensure!(carried * 10 > many(QUESTIONS), "only {carried} were carried");
    Ok(())
}

/// Asks, then lets the kernel have the packet, and compares: verdict, counter, and what became of the packet.
fn show(scene: &Scene, case: &Case) -> Result<Value> {
    let (from, to) = (end(case.from), end(case.to));
    let to = match case.protocol {
        "icmp" => format!("{}/icmp", case.to.0),
        protocol => format!("{to}/{protocol}"),
    };
    let mut question = vec![from.as_str(), to.as_str()];
    if let Some(at) = case.at {
        question.extend(["--from", at]);
    }
    if case.established {
        question.push("--established");
    }
    let answer = explain(&scene.netmap, &question)?;
    let hook = &answer["hooks"][0];
    let Some(name) = hook["hook"].as_str() else {
        // A process of the host's own: no packet of it is at a hook.
        return Ok(answer);
    };
    let reason = hook["reason"].as_str().context("no reason")?;
    let interface = hook["interface"].as_str().context("no interface")?;
    let pin = scene
        .netmap
        .layout()?
        .join("programs")
        .join(name.replace('-', "_"));
    let frame = frame(case)?;
    let before = scene.netmap.packets(name, reason)?;
    let (verdict, after) = scene.lab.host.run(|| run(&pin, interface, &frame))??;
    let counted = scene.netmap.packets(name, reason)? - before;
    let expected = match (hook["class"].as_str(), hook["way"].as_str()) {
        (Some("carried"), Some("stack")) | (Some("passed"), _) => NEXT,
        (Some("carried"), _) => REDIRECT,
        _ => DROP,
    };
    ensure!(
        verdict == expected,
        "the kernel says {verdict}, not {expected}: {answer:#}"
    );
    ensure!(counted >= 1, "it did not count {name} {reason}: {answer:#}");
    let told = &hook["after"];
    ensure!(
        ends(&after)?
            == [
                told["src"].clone(),
                told["sport"].clone(),
                told["dst"].clone(),
                told["dport"].clone()
            ],
        "the kernel makes {:?} of it: {answer:#}",
        ends(&after)?
    );
    Ok(answer)
}

/// What the pinned program makes of a frame at an interface of this thread's network namespace.
fn run(pin: &std::path::Path, interface: &str, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
    const CONTEXT: usize = 192;
    let index = nix::net::if_::if_nametoindex(interface)?;
    let program = SchedClassifier::from_pin(pin)?;
    let mut context = vec![0; CONTEXT];
    context[40..44].copy_from_slice(&index.to_ne_bytes());
    let mut after = vec![0; frame.len() + 64];
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut after),
        ctx_in: Some(&context),
        ..TestRunOptions::default()
    })?;
    after.truncate(result.data_size_out as usize);
    Ok((result.return_value, after))
}

fn cases() -> impl Strategy<Value = Case> {
    const PORTS: &[u16] = &[
        80, 443, 8_079, 8_080, 8_080, 8_080, 8_085, 8_085, 8_086, 8_089, 9_000, 9_005, 9_010,
    ];
    const PLACES: &[&str] = &["up0", "vc1", "vc1b", "vc2", "br1", "br2"];
    const OTHERS: &[&str] = &["10.1.2.3", "172.30.1.77", "192.168.50.9", "8.8.8.8", "fd00:9::9"];
    const TARGETS: &[&str] = &[
        "10.1.2.3",
        "172.30.1.99",
        "224.0.0.1",
        "127.0.0.1",
        "8.8.8.8",
        "255.255.255.255",
        "ff02::1",
        "fd00:9::9",
    ];
    let own = [Place::Remote, Place::C1, Place::C1b, Place::C2];
    let here = [
        Place::Host,
        Place::Host,
        Place::Host,
        Place::Gateway1,
        Place::Gateway2,
        Place::C1,
        Place::C1b,
        Place::C2,
        Place::Remote,
    ];
    let family = select(vec![Family::V4, Family::V6]);
    let parse = |text: &str| text.parse::<IpAddr>().unwrap_or(IpAddr::from([0; 4]));
    (
        family,
        (select(own.to_vec()), prop::option::weighted(0.1, select(OTHERS))),
        (
            select(here.to_vec()),
            prop::option::weighted(0.15, select(TARGETS)),
        ),
        (prop_oneof![Just(40_000_u16), Just(500), 1_u16..], select(PORTS)),
        prop_oneof![4 => Just("tcp"), 3 => Just("udp"), 1 => Just("icmp")],
        prop::option::weighted(0.15, select(PLACES)),
        prop::bool::weighted(0.15),
    )
        .prop_filter_map(
            "of one family",
            move |(family, (own, other), (here, target), (sport, dport), protocol, at, established)| {
                let from = other.map_or(family.address(own), parse);
                let to = target.map_or(family.address(here), parse);
                if from.is_ipv4() != to.is_ipv4() {
                    return None;
                }
                Some(Case {
                    protocol,
                    from: (from, sport),
                    to: (to, if protocol == "icmp" { 0 } else { dport }),
                    at,
                    established: established && protocol != "icmp",
                })
            },
        )
}

fn end((address, port): (IpAddr, u16)) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn frame(case: &Case) -> Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8]);
    let internet = match (case.from.0, case.to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => return Err(anyhow!("of two families")),
    };
    let mut frame = Vec::new();
    let (from, to) = (case.from.1, case.to.1);
    match (case.protocol, case.established) {
        ("tcp", false) => internet.tcp(from, to, 7, 1_000).syn().write(&mut frame, &[])?,
        ("tcp", true) => internet
            .tcp(from, to, 7, 1_000)
            .ack(8)
            .write(&mut frame, b"more")?,
        ("udp", _) => internet.udp(from, to).write(&mut frame, b"a datagram")?,
        _ if case.from.0.is_ipv4() => internet.icmpv4_echo_request(from, 7).write(&mut frame, b"echo")?,
        _ => internet.icmpv6_echo_request(from, 7).write(&mut frame, b"echo")?,
    }
    Ok(frame)
}

/// Source address and port, destination address and port, as JSON has them.
fn ends(frame: &[u8]) -> Result<[Value; 4]> {
    use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice};
    let packet = SlicedPacket::from_ethernet(frame)?;
    let (src, dst): (IpAddr, IpAddr) = match packet.net.context("no packet")? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return Err(anyhow!("ARP")),
    };
    let (sport, dport) = match packet.transport.context("no transport")? {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port()),
        TransportSlice::Icmpv4(icmp) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(echo) => (echo.id, 0),
            other => return Err(anyhow!("{other:?}")),
        },
        TransportSlice::Icmpv6(icmp) => match icmp.icmp_type() {
            Icmpv6Type::EchoRequest(echo) => (echo.id, 0),
            other => return Err(anyhow!("{other:?}")),
        },
        TransportSlice::Igmp(_) => return Err(anyhow!("IGMP")),
    };
    let address = |address: IpAddr| Value::from(address.to_string());
    Ok([address(src), sport.into(), address(dst), dport.into()])
}

fn seed() -> Result<u64> {
    match std::env::var("NETMAP_SEED") {
        Ok(seed) => seed.parse().context("NETMAP_SEED is not a number"),
        Err(_) => Ok(u64::try_from(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
        )?),
    }
}
