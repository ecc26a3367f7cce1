//! After a reboot: nothing is pinned any more, and what the operator had published is published again.

use std::{
    fs,
    net::{SocketAddr, SocketAddrV4},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Lab, Launcher, Netmap, Options, Scene,
    launcher::Port,
    rows,
    scene::Transport,
    tcp,
    topology::{C1, C1B, HOST},
    wait_for,
};
use serde_json::{Value, json};

/// Nothing in the kernel, everything on the disk.
fn reboot(netmap: &mut Netmap) -> Result<()> {
    netmap.kill()?;
    lose_kernel(netmap)?;
    netmap.run()
}

/// Whatever is pinned goes, and what is attached by it.
fn lose_kernel(netmap: &Netmap) -> Result<()> {
    fs::remove_dir_all(netmap.pins())?;
    fs::remove_file(netmap.socket())?;
    Ok(())
}

fn record(netmap: &Netmap) -> PathBuf {
    netmap.state().join("published.json")
}

/// What is recorded, as in `0.0.0.0 8080-8080 tcp`.
fn recorded(netmap: &Netmap) -> Result<Vec<String>> {
    let record: Value = serde_json::from_str(&fs::read_to_string(record(netmap))?)?;
    ensure!(record["version"] == 1, "{record}");
    let rules = record["published"].as_array().context("no list")?;
    let mut rows: Vec<String> = rules
        .iter()
        .map(|rule| {
            let published = &rule["published"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (first, last) = (&published["ports"][0], &published["ports"][1]);
            format!(
                "{} {first}-{last} {}",
                text(&published["host"]),
                text(&published["transport"])
            )
        })
        .collect();
    rows.sort();
    Ok(rows)
}

/// Rules without their numbers and generations, in an order that does not depend on when they were published.
fn sorted(mut ports: Vec<Value>) -> Vec<String> {
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        port.remove("rule");
        port.remove("generation");
    }
    let mut rows: Vec<String> = ports.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The names of what was kept aside.
fn asides(netmap: &Netmap) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(netmap.state())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains(".bad-") {
            names.push(name);
        }
    }
    Ok(names)
}

#[test]
fn published_ports_survive_a_reboot() -> Result<()> {
    let mut scene = Scene::with(Options {
        ipv6: true,
        ..Options::default()
    })?;
    let netmap = &mut scene.netmap;
    netmap.done(&[
        "publish",
        "192.168.50.2:7000-7999:17000-17999/udp",
        "--to",
        "172.30.1.3",
        "--allow",
        "192.168.50.0/24",
    ])?;
    netmap.publish("9000:80/tcp", C1B)?;
    netmap.unpublish("9000/tcp")?;
    let published = netmap.ports()?;
    reboot(netmap)?;
    ensure!(netmap.ports()? == published, "{:?}", netmap.ports()?);
    ensure!(
        netmap.log().contains("published 9 rules again"),
        "{}",
        netmap.log()
    );
    ensure!(asides(netmap)?.is_empty());
    scene.netmap.settle()?;
    rows::check_all(&scene)?;
    // Also the ports of this host are kept, as before.
    let reserved = scene
        .lab
        .host
        .try_run(|| fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports"))?;
    ensure!(reserved.trim() == "7000-7999", "{reserved}");

    // A later change counts, after the next one.
    scene.netmap.unpublish("192.168.50.2:7000-7999/udp")?;
    let published = scene.netmap.ports()?;
    reboot(&mut scene.netmap)?;
    ensure!(scene.netmap.ports()? == published);
    Ok(())
}

#[test]
fn pins_win_over_the_record_and_down_forgets_both() -> Result<()> {
    let mut scene = Scene::new()?;
    let published = scene.netmap.ports()?;
    let rows = [
        "0.0.0.0 8080-8080 tcp",
        "0.0.0.0 8080-8080 udp",
        ":: 8080-8080 tcp",
        ":: 8080-8080 udp",
    ];
    ensure!(recorded(&scene.netmap)? == rows);
    scene.netmap.stop()?;
    // Of an older time: with a rule that was taken back since, and without one that is there.
    let old = fs::read_to_string(record(&scene.netmap))?.replacen("[8080,8080]", "[8081,8081]", 1);
    fs::write(record(&scene.netmap), old)?;
    scene.netmap.run()?;
    ensure!(scene.netmap.ports()? == published);
    ensure!(recorded(&scene.netmap)? == rows);

    let done = scene.netmap.done(&["down", "--keep-published"])?;
    ensure!(!done.contains("forgot"), "{done}");
    scene.netmap.stop()?;
    scene.netmap.run()?;
    ensure!(scene.netmap.ports()? == published);
    let done = scene.netmap.done(&["down"])?;
    ensure!(done.contains("forgot what was published"), "{done}");
    scene.netmap.stop()?;
    ensure!(!record(&scene.netmap).exists());
    scene.netmap.run()?;
    ensure!(scene.netmap.ports()?.is_empty());
    Ok(())
}

#[test]
fn a_restoration_that_is_cut_short_is_finished_by_the_next_daemon() -> Result<()> {
    let mut scene = Scene::new()?;
    let published = scene.netmap.ports()?;
    reboot(&mut scene.netmap)?;
    // As if that one had been killed after the first rule.
    let text = fs::read_to_string(record(&scene.netmap))?;
    scene.netmap.unpublish("8080/udp")?;
    scene.netmap.kill()?;
    fs::write(record(&scene.netmap), text)?;
    fs::remove_dir(scene.netmap.layout()?.join("restored"))?;
    scene.netmap.run()?;
    ensure!(sorted(scene.netmap.ports()?) == sorted(published));
    ensure!(
        scene.netmap.log().contains("published 2 rules again"),
        "{}",
        scene.netmap.log()
    );
    Ok(())
}

#[test]
fn a_record_that_cannot_be_used_is_kept_aside_and_said_in_one_line() -> Result<()> {
    let mut scene = Scene::new()?;
    let whole = fs::read_to_string(record(&scene.netmap))?;
    let cut = whole.get(..whole.len() - 20).context("short")?.to_owned();
    let published = scene.netmap.ports()?;
    for (bad, why) in [
        (cut.as_str(), "is not what netmap has written"),
        (
            "{\"version\":2}",
            "is of version 2, and this netmap knows version 1",
        ),
        (
            "{\"version\":1,\"published\":[{}]}",
            "is not what netmap has written",
        ),
    ] {
        for is_pinned in [true, false] {
            scene.netmap.stop()?;
            for aside in asides(&scene.netmap)? {
                fs::remove_file(scene.netmap.state().join(aside))?;
            }
            if !is_pinned {
                fs::remove_dir_all(scene.netmap.pins())?;
            }
            fs::write(record(&scene.netmap), bad)?;
            let before = scene.netmap.log().len();
            scene.netmap.run()?;
            let log = scene.netmap.log();
            let said: Vec<&str> = log
                .get(before..)
                .unwrap_or_default()
                .lines()
                .filter(|line| line.contains(why))
                .collect();
            let [said] = said[..] else {
                anyhow::bail!("{log}");
            };
            let kept = asides(&scene.netmap)?;
            let [kept] = &kept[..] else {
                anyhow::bail!("{kept:?}");
            };
            ensure!(said.contains("WARN") && said.contains(kept.as_str()), "{said}");
            ensure!(fs::read_to_string(scene.netmap.state().join(kept))? == bad);
            if is_pinned {
                ensure!(said.contains("what is pinned stays published"), "{said}");
                ensure!(scene.netmap.ports()? == published);
            } else {
                ensure!(
                    said.contains("what was published before is not restored"),
                    "{said}"
                );
                ensure!(scene.netmap.ports()?.is_empty());
                scene.publish_both("8080:80", C1)?;
            }
            ensure!(fs::read_to_string(record(&scene.netmap))? == whole);
        }
    }
    tcp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 8_080), "carried")?;
    Ok(())
}

#[test]
fn without_a_place_for_the_record_ports_are_published_with_a_warning() -> Result<()> {
    let lab = Lab::new()?;
    let mut netmap = Netmap::prepare(&lab)?;
    netmap.set_arguments(&["--uplink", "up0", "--bridge", "br1"]);
    // A file where the directory would be.
    fs::write(netmap.state(), "in the way")?;
    netmap.run()?;
    let output = netmap.cli(&["publish", "8080:80/tcp", "--to", "172.30.1.2"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.lines().count() == 1 && said.contains("gone after a reboot") && said.contains("cannot be used"),
        "{said}"
    );
    ensure!(netmap.ports()?.len() == 2);
    // It is made up for once there is one.
    fs::remove_file(netmap.state())?;
    netmap.publish("8081:80/tcp", C1)?;
    ensure!(
        recorded(&netmap)?
            == [
                "0.0.0.0 8080-8080 tcp",
                "0.0.0.0 8081-8081 tcp",
                ":: 8080-8080 tcp",
                ":: 8081-8081 tcp"
            ]
    );
    let mode = fs::metadata(netmap.state())?.permissions().mode() & 0o777;
    ensure!(mode == 0o700, "{mode:o}");
    wait_for("the log says that it is made up for", || {
        Ok(netmap.log().contains("outlives a reboot again").then_some(()))
    })
}

#[test]
fn what_docker_has_published_is_left_to_docker() -> Result<()> {
    let lab = Lab::new()?;
    let mut netmap = Netmap::prepare(&lab)?;
    netmap.set_arguments(&["--uplink", "up0", "--bridge", "br1"]);
    netmap.run()?;
    let mut launcher = Launcher::start(&netmap)?;
    let host: SocketAddr = ([0, 0, 0, 0], 8_080).into();
    launcher.publish(&Port::new(Transport::Tcp, host, SocketAddrV4::new(C1, 80)))?;
    netmap.publish("0.0.0.0:9000:80/tcp", C1)?;
    let owners = |netmap: &Netmap| -> Result<Vec<Value>> {
        Ok(netmap.ports()?.iter().map(|port| port["owner"].clone()).collect())
    };
    ensure!(
        owners(&netmap)? == [json!("docker"), json!("operator")],
        "{:?}",
        netmap.ports()?
    );
    ensure!(recorded(&netmap)? == ["0.0.0.0 9000-9000 tcp"]);
    netmap.kill()?;
    launcher.kill()?;
    lose_kernel(&netmap)?;
    netmap.run()?;
    ensure!(owners(&netmap)? == [json!("operator")]);
    Ok(())
}
