//! Four faults that somebody may have planted: each is found by one command, and mended by what it says.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Lab, Options, Scene, command,
    topology::{C1B, REMOTE},
    udp,
};
use serde_json::{Value, json};

use super::{ensure_says, explain};

#[test]
fn each_planted_fault_is_found_and_mended_by_what_is_said() -> Result<()> {
    let lab = Lab::with(Options {
        forwarding: false,
        ..Options::default()
    })?;
    // Four source ports for masquerading.
    lab.host.sysctl("ipv4/ip_local_port_range", "1024 65531")?;
    let mut scene = Scene::in_lab(lab)?;
    stopped_container(&scene)?;
    allow_list(&scene)?;
    forwarding(&scene)?;
    pool(&mut scene)
}

/// Runs the shell command that an advice has, in the host.
fn follow(scene: &Scene, advice: &Value) -> Result<()> {
    let line = advice["command"].as_str().context("there is no command")?;
    let line = line.replace("netmap ", &format!("{} ", scene.netmap.binary().display()));
    let mut shell = scene.netmap.command("--version");
    let environment: Vec<_> = shell
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    shell = scene.netmap.host_command("sh");
    shell.args(["-ec", &line]).envs(environment);
    command::run(&mut shell).map(drop)
}

fn stopped_container(scene: &Scene) -> Result<()> {
    scene
        .netmap
        .publish("8090:80", "172.30.1.99".parse::<std::net::IpAddr>()?)?;
    let question = ["192.168.50.3:40000", "192.168.50.2:8090/tcp"];
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(
        &answer,
        &[
            ("/outcome", json!("proxied")),
            ("/reason", json!("no-endpoint")),
            ("/rule/container", json!("172.30.1.99")),
            (
                "/advice/1/command",
                json!("netmap unpublish 8090/tcp && netmap publish 8090:80/tcp --to CONTAINER_IP"),
            ),
            ("/advice/2/command", json!("netmap unpublish 8090/tcp")),
        ],
        &[
            "172.30.1.99 is not there",
            "its address belongs to br1",
            "The container is stopped",
        ],
    )?;
    follow(scene, &answer["advice"][2])?;
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(&answer, &[("/reason", json!("to-host"))], &[])
}

fn allow_list(scene: &Scene) -> Result<()> {
    scene.netmap.done(&[
        "publish",
        "8091:80",
        "--to",
        "172.30.1.2",
        "--allow",
        "10.0.0.0/8",
    ])?;
    let question = ["192.168.50.3:40000", "192.168.50.2:8091/tcp"];
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(
        &answer,
        &[
            ("/outcome", json!("dropped")),
            ("/reason", json!("not-allowed")),
            ("/rule/allow", json!(["10.0.0.0/8"])),
            (
                "/advice/0/command",
                json!(
                    "netmap unpublish 8091/tcp && netmap publish 8091:80/tcp --to 172.30.1.2 --allow 10.0.0.0/8,192.168.50.3"
                ),
            ),
        ],
        &["Its allow-list misses 192.168.50.3: 10.0.0.0/8"],
    )?;
    follow(scene, &answer["advice"][0])?;
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(
        &answer,
        &[("/reason", json!("published-in"))],
        &["Its allow-list has 192.168.50.3"],
    )
}

fn forwarding(scene: &Scene) -> Result<()> {
    let question = ["172.30.1.2:40000", "192.168.50.3:80/tcp"];
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(
        &answer,
        &[
            ("/outcome", json!("dropped")),
            ("/reason", json!("forwarding-off")),
            ("/advice/0/command", json!("sysctl -w net.ipv4.ip_forward=1")),
        ],
        &["The host does not forward what comes in there"],
    )?;
    follow(scene, &answer["advice"][0])?;
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(&answer, &[("/reason", json!("egress-out"))], &[])
}

fn pool(scene: &mut Scene) -> Result<()> {
    let nowhere = SocketAddrV4::new(REMOTE, 9);
    let mut flows = Vec::new();
    for port in 30_000..30_004 {
        let client = udp::Client::unconnected(&scene.lab.c1b, SocketAddrV4::new(C1B, port), nowhere)?;
        client.send("one of four")?;
        flows.push(client);
    }
    let question = ["172.30.1.2:40000", "192.168.50.3:9/udp"];
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(
        &answer,
        &[
            ("/outcome", json!("dropped")),
            ("/reason", json!("ports-exhausted")),
            (
                "/advice/0/command",
                json!("sysctl -w net.ipv4.ip_local_port_range=\"49152 60999\""),
            ),
        ],
        &["source ports were tried"],
    )?;
    let pool = answer["advice"][0]["text"].as_str().unwrap_or_default();
    ensure!(
        pool.contains("65532-65535") && pool.contains("192.168.50.3"),
        "{pool}"
    );
    follow(scene, &answer["advice"][0])?;
    // The daemon looks every ten seconds, and when it starts.
    scene.netmap.restart()?;
    let answer = explain(&scene.netmap, &question)?;
    ensure_says(&answer, &[("/reason", json!("egress-out"))], &[])
}
