//! The words for every way that a packet can go.

use anyhow::{Result, ensure};
use netmap_tests::{
    Options, Scene, tcp,
    topology::{C1, HOST},
};
use serde_json::{Value, json};

use super::{ensure_says, explain};

#[test]
fn every_way_has_its_words_and_nothing_is_written() -> Result<()> {
    let mut scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    scene.netmap.settle()?;
    let flows = scene.netmap.flows()?.len();
    let ((), moved) = scene.netmap.watch(|| every_way(&scene))?;
    ensure!(
        moved.carried().is_empty() && moved.dropped().is_empty(),
        "{moved}"
    );
    ensure!(scene.netmap.flows()?.len() == flows, "a flow was opened");
    established(&scene)?;
    for (question, words) in [
        (["192.168.50.3", "192.168.50.2"], "lacks the port"),
        (["192.168.50.3", "[fd00::1]:80"], "different families"),
        (["nobody", "192.168.50.2:80"], "no address"),
    ] {
        let said = scene.netmap.refused(&["explain", question[0], question[1]], 2)?;
        ensure!(said.contains(words), "{said}");
    }
    without_the_daemon(&mut scene)
}

fn every_way(scene: &Scene) -> Result<()> {
    let says = |question: &[&str], keys: &[(&str, Value)], words: &[&str]| {
        ensure_says(&explain(&scene.netmap, question)?, keys, words)
    };
    from_outside(&says)?;
    from_containers(&says)?;
    from_processes(&says)?;
    not_published(&says)
}

/// Asks, and compares keys and words.
type Says<'scene> = dyn Fn(&[&str], &[(&str, Value)], &[&str]) -> Result<()> + 'scene;

fn from_outside(says: &Says<'_>) -> Result<()> {
    // From outside to a published port.
    says(
        &["192.168.50.3:40000", "192.168.50.2:8080/tcp"],
        &[
            ("/from/interface", json!("up0")),
            ("/from/role", json!("uplink")),
            ("/outcome", json!("carried")),
            ("/reason", json!("published-in")),
            ("/hooks/0/hook", json!("uplink-in")),
            ("/hooks/0/way", json!("peer")),
            ("/hooks/0/out", json!("vc1")),
            (
                "/translated",
                json!({"src": "192.168.50.3", "sport": 40_000, "dst": "172.30.1.2", "dport": 80}),
            ),
            (
                "/answer_translated",
                json!({"src": "192.168.50.2", "sport": 8_080, "dst": "192.168.50.3", "dport": 40_000}),
            ),
            ("/rule/published", json!("0.0.0.0:8080/tcp")),
            (
                "/flow",
                json!({"exists": false, "kind": "published", "side": "original"}),
            ),
            ("/advice", json!([])),
        ],
        &[
            "opens a connection (SYN)",
            "It has no flow yet",
            "published to port 80 of 172.30.1.2",
            "straight into the container behind vc1",
        ],
    )?;
    // Of IPv6, by the same words.
    let host6 = netmap_tests::Family::V6
        .at(netmap_tests::Place::Host, 8_080)
        .to_string();
    let remote6 = netmap_tests::Family::V6
        .at(netmap_tests::Place::Remote, 40_000)
        .to_string();
    says(
        &[&remote6, &format!("{host6}/udp")],
        &[
            ("/outcome", json!("carried")),
            ("/reason", json!("published-in")),
            ("/hooks/0/out", json!("vc1")),
        ],
        &["UDP, a datagram"],
    )
}

fn from_containers(says: &Says<'_>) -> Result<()> {
    // Hairpin, and a container's own port.
    says(
        &["172.30.1.3:40000", "192.168.50.2:8080/tcp"],
        &[
            ("/from/interface", json!("vc1b")),
            ("/reason", json!("hairpin-in")),
            ("/translated/src", json!("172.30.1.3")),
            ("/translated/dport", json!(80)),
        ],
        &["A container sends it, behind vc1b"],
    )?;
    says(
        &["172.30.1.2:40000", "192.168.50.2:8080/tcp"],
        &[
            ("/from/interface", json!("vc1")),
            ("/reason", json!("own-port-in")),
            ("/translated/src", json!("172.30.1.1")),
        ],
        &["straight into the container behind vc1"],
    )?;
    // Out, and a ping.
    says(
        &["172.30.1.2:5000", "192.168.50.3:80/udp"],
        &[
            ("/reason", json!("egress-out")),
            ("/hooks/0/way", json!("neigh")),
            ("/hooks/0/out", json!("up0")),
            (
                "/translated",
                json!({"src": "192.168.50.2", "sport": 5_000, "dst": "192.168.50.3", "dport": 80}),
            ),
        ],
        &[
            "routes it out of up0",
            "The answer 192.168.50.3:80 -> 192.168.50.2:5000 becomes 192.168.50.3:80 -> 172.30.1.2:5000",
        ],
    )?;
    says(
        &["172.30.2.2", "192.168.50.3/icmp"],
        &[
            ("/protocol", json!("icmp")),
            ("/reason", json!("egress-out")),
            ("/translated/src", json!("192.168.50.2")),
        ],
        &["an echo request"],
    )
}

fn from_processes(says: &Says<'_>) -> Result<()> {
    // The host's own processes.
    says(
        &["192.168.50.2", "192.168.50.2:8080/tcp"],
        &[
            ("/from/role", json!("host")),
            ("/outcome", json!("connected")),
            ("/reason", json!("connected")),
            ("/translated/src", json!("192.168.50.2")),
            ("/translated/dst", json!("172.30.1.2")),
        ],
        &["socket hook leads the process straight to 172.30.1.2:80"],
    )?;
    says(
        &["127.0.0.1", "127.0.0.1:8080/tcp"],
        &[
            ("/outcome", json!("connected")),
            ("/translated/src", json!("172.30.1.1")),
        ],
        &["The container sees 172.30.1.1; the process sees 127.0.0.1:8080"],
    )?;
    says(
        &["::1", "[::1]:8089/tcp"],
        &[
            ("/outcome", json!("proxied")),
            ("/translated/dst", json!("172.30.1.2")),
        ],
        &["no address of this family", "the container sees 172.30.1.1"],
    )
}

fn not_published(says: &Says<'_>) -> Result<()> {
    // Not published, and what comes close.
    says(
        &["192.168.50.3:40000", "192.168.50.2:8081/tcp"],
        &[
            ("/outcome", json!("refused")),
            ("/reason", json!("to-host")),
            ("/rule", json!(null)),
            (
                "/advice/0/command",
                json!("netmap publish 8081:CONTAINER_PORT/tcp --to CONTAINER_IP"),
            ),
        ],
        &[
            "Nothing is published at 192.168.50.2:8081/tcp",
            "0.0.0.0:8080/tcp ends one below port 8081",
        ],
    )?;
    says(
        &["192.168.50.3:40000", "172.30.1.2:80/tcp"],
        &[
            ("/outcome", json!("dropped")),
            ("/reason", json!("direct-access")),
        ],
        &["port 80 of 172.30.1.2 is published as 0.0.0.0:8080/tcp"],
    )?;
    // Between neighbours, and a lie.
    says(
        &["172.30.1.3", "172.30.1.2:80/tcp"],
        &[("/outcome", json!("forwarded")), ("/reason", json!("on-link"))],
        &["The bridge switches it"],
    )?;
    says(
        &["172.30.1.2", "192.168.50.2:8080/tcp", "--from", "vc2"],
        &[
            ("/outcome", json!("dropped")),
            ("/reason", json!("spoofed-source")),
            ("/from/interface", json!("vc2")),
        ],
        &["drops it: spoofed-source"],
    )
}

/// A connection that is there is found.
fn established(scene: &Scene) -> Result<()> {
    let published = std::net::SocketAddrV4::new(HOST, 8_080);
    let mut client = tcp::Client::connect(&scene.lab.remote, published)?;
    client.ask("is there")?;
    let (from, to) = (client.local()?.to_string(), format!("{published}/tcp"));
    let answer = explain(&scene.netmap, &[&from, &to, "--established"])?;
    ensure_says(
        &answer,
        &[
            ("/flow/exists", json!(true)),
            ("/flow/kind", json!("published")),
            ("/reason", json!("published-in")),
        ],
        &["It belongs to a flow: published"],
    )?;
    let container = format!("{C1}:80");
    let answer = explain(
        &scene.netmap,
        &[&container, &format!("{from}/tcp"), "--established"],
    )?;
    ensure_says(
        &answer,
        &[
            ("/flow/side", json!("reply")),
            ("/reason", json!("published-reply")),
            ("/translated/src", json!("192.168.50.2")),
        ],
        &["leaves by up0"],
    )?;
    client.finish()
}

fn without_the_daemon(scene: &mut Scene) -> Result<()> {
    scene.netmap.kill()?;
    let answer = explain(&scene.netmap, &["192.168.50.3:40000", "192.168.50.2:8080/tcp"])?;
    ensure_says(
        &answer,
        &[("/outcome", json!("carried")), ("/reason", json!("published-in"))],
        &[],
    )?;
    let answer = explain(&scene.netmap, &["::1", "[::1]:8089/tcp"])?;
    ensure_says(
        &answer,
        &[
            ("/outcome", json!("refused")),
            ("/reason", json!("no-proxy")),
            ("/advice/0/command", json!("systemctl start netmap")),
        ],
        &["daemon that has it does not run"],
    )?;
    let text = scene
        .netmap
        .done(&["explain", "192.168.50.3", "192.168.50.2:8081"])?;
    for part in [
        " 1. TCP, the packet that opens",
        "So it is refused by this host (to-host).",
        "    netmap publish 8081:",
    ] {
        ensure!(text.contains(part), "'{part}' is missing in:\n{text}");
    }
    Ok(())
}
