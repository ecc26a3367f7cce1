//! With which rights the daemon runs, and who may come near it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{Lab, Netmap, Options, Scene, nobody::NOBODY, refusals, rows, topology::C1};

/// What netmap cannot do without.
const THREE: &str = "+bpf,+net_admin,+perfmon";
/// Those and what single features take, as in `dist/netmap.service`.
const FIVE: &str = "+bpf,+net_admin,+perfmon,+net_bind_service,+net_broadcast";

/// Their bits, as `/proc/PID/status` has them.
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_BROADCAST: u64 = 1 << 11;
const NET_ADMIN: u64 = 1 << 12;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;
const OF_THREE: u64 = BPF | NET_ADMIN | PERFMON;
const OF_FIVE: u64 = OF_THREE | NET_BIND_SERVICE | NET_BROADCAST;

fn options(capabilities: &'static str) -> Options {
    Options {
        ipv6: true,
        capabilities: Some(capabilities),
        ..Options::default()
    }
}

#[test]
fn every_row_holds_with_nobodys_daemon_and_three_capabilities() -> Result<()> {
    let scene = Scene::with(options(THREE))?;
    rows::check_all(&scene)?;
    for refusal in refusals::all(&scene) {
        refusal.check(&scene)?;
    }
    ensure_threads(&scene.netmap, OF_THREE, NOBODY)?;
    ensure_says(&scene.netmap.log(), "it takes CAP_NET_BROADCAST")
}

#[test]
fn every_row_holds_with_nobodys_proxy() -> Result<()> {
    let scene = Scene::with(Options {
        socket_hooks: false,
        ..options(THREE)
    })?;
    rows::check_all(&scene)?;
    rows::all(&scene).try_for_each(|row| row.check_bulk(&scene, 1_000_001))
}

#[test]
fn nobodys_daemon_is_started_anew_and_takes_over() -> Result<()> {
    let mut scene = Scene::with(options(FIVE))?;
    scene.publish_c1("20000-20099:80-179/tcp")?;
    let before = scene.netmap.ports()?;
    scene.netmap.restart()?;
    ensure!(scene.netmap.ports()? == before);
    rows::check_all(&scene)?;
    ensure_threads(&scene.netmap, OF_FIVE, NOBODY)?;
    let log = scene.netmap.log();
    ensure!(!log.contains("CAP_"), "it has all that it asks for: {log}");
    scene.netmap.stop()?;
    scene.netmap.down()?;
    ensure!(!scene.netmap.pins().exists());
    Ok(())
}

#[test]
fn a_daemon_that_root_starts_keeps_five_capabilities() -> Result<()> {
    let scene = Scene::new()?;
    ensure_threads(&scene.netmap, OF_FIVE, 0)
}

#[test]
fn a_port_below_1024_takes_a_capability_that_is_named() -> Result<()> {
    let scene = Scene::with(options(THREE))?;
    let before = scene.netmap.ports()?;
    let to = C1.to_string();
    let said = scene
        .netmap
        .refused(&["publish", "0.0.0.0:443:80/tcp", "--to", &to], 1)?;
    ensure_says(
        &said,
        "port 443/tcp of 0.0.0.0 takes CAP_NET_BIND_SERVICE, which netmap runs without",
    )?;
    ensure!(scene.netmap.ports()? == before, "a refusal changes nothing");
    drop(scene);
    Scene::with(options(FIVE))?
        .netmap
        .publish("0.0.0.0:443:80/tcp", C1)
}

#[test]
fn pins_are_closed_to_others_also_where_they_were_open() -> Result<()> {
    let mut scene = Scene::new()?;
    let folders = |netmap: &Netmap| -> Result<Vec<(String, u32)>> {
        let output = Command::new("find")
            .arg(netmap.pins())
            .args(["-type", "d", "-printf", "%p %m\n"])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        text.lines()
            .map(|line| {
                let (path, mode) = line.split_once(' ').context("find says path and mode")?;
                Ok((path.to_owned(), u32::from_str_radix(mode, 8)?))
            })
            .collect()
    };
    ensure!(folders(&scene.netmap)?.len() >= 5);
    for (path, mode) in folders(&scene.netmap)? {
        ensure!(mode == 0o700, "{path} is {mode:o}");
    }
    scene.netmap.stop()?;
    fs::set_permissions(scene.netmap.pins(), fs::Permissions::from_mode(0o755))?;
    scene.netmap.run()?;
    for (path, mode) in folders(&scene.netmap)? {
        ensure!(mode == 0o700, "{path} is {mode:o} after the next start");
    }
    rows::check_all(&scene)
}

#[test]
fn pins_of_another_user_are_refused_in_a_sentence() -> Result<()> {
    let lab = Lab::with(Options {
        capabilities: Some(FIVE),
        ..Options::default()
    })?;
    let mut netmap = Netmap::prepare(&lab)?;
    netmap.set_arguments(&["--uplink", "up0", "--bridge", "br1"]);
    std::os::unix::fs::chown(netmap.pins(), Some(0), Some(0))?;
    fs::set_permissions(netmap.pins(), fs::Permissions::from_mode(0o755))?;
    let error = netmap.run().err().context("it runs on root's pins")?;
    ensure_says(
        &format!("{error:#}"),
        &format!(
            "the pins in {} belong to user 0, and this is user {NOBODY}",
            netmap.pins().display()
        ),
    )?;
    fs::set_permissions(netmap.pins(), fs::Permissions::from_mode(0o700))?;
    let error = netmap.run().err().context("it runs on root's pins")?;
    ensure_says(
        &format!("{error:#}"),
        &format!("is out of reach for user {NOBODY}; have root make it once"),
    )
}

#[test]
fn the_api_is_for_root_its_own_user_and_the_sockets_group() -> Result<()> {
    const GROUP: u32 = 60_606;
    let scene = Scene::new()?;
    let socket = scene.netmap.socket();
    let before = scene.netmap.ports()?;
    let publish = |caller: &[&str]| -> Result<Output> {
        let mut command = scene.netmap.host_command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534"])
            .args(caller)
            .args(["curl", "--silent", "--show-error", "--unix-socket"])
            .arg(socket)
            .args(["--data", r#"{"published":["9999/tcp"]}"#])
            .arg("http://netmap/v1/unpublish");
        Ok(command.output()?)
    };
    let text = |output: &Output| {
        let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).into_owned()
    };
    let stranger = publish(&["--clear-groups"])?;
    ensure!(!stranger.status.success(), "the file's mode keeps strangers out");
    // Not even where the file is anybody's.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    let stranger = text(&publish(&["--clear-groups"])?);
    ensure_says(
        &stranger,
        "this is for root, netmap's own user and the group of its socket",
    )?;
    ensure_says(&scene.netmap.log(), "user 65534 may not use netmap's API")?;
    ensure!(scene.netmap.ports()? == before);
    std::os::unix::fs::chown(socket, None, Some(GROUP))?;
    let member = text(&publish(&["--groups=60606"])?);
    ensure!(!member.contains("this is for root"), "{member}");
    ensure_says(&member, "9999")?;
    let stranger = text(&publish(&["--groups=60607"])?);
    ensure_says(&stranger, "this is for root")
}

/// Every thread of the daemon has these capabilities, the proxy's and that of the metrics fewer, and none can get more.
fn ensure_threads(netmap: &Netmap, capabilities: u64, user: u32) -> Result<()> {
    let pid = netmap.pid().context("no daemon runs")?;
    let mut proxies = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = task?.path();
        let name = fs::read_to_string(folder.join("comm"))?;
        let name = name.trim();
        let status = fs::read_to_string(folder.join("status"))?;
        let fields: BTreeMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        let field = |key| {
            let value = fields.get(key).with_context(|| format!("no {key} in {status}"));
            value.copied()
        };
        let is_proxy = name.starts_with("proxy-");
        proxies += usize::from(is_proxy);
        let left = if is_proxy {
            capabilities & (NET_ADMIN | NET_BIND_SERVICE)
        } else if name == "metrics" {
            capabilities & BPF
        } else {
            capabilities
        };
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let found = u64::from_str_radix(field(set)?, 16)?;
            // Who may not change the bounding set leaves it as it was given.
            let most = if set == "CapBnd" { capabilities } else { left };
            ensure!(
                found == left || found == most,
                "{name}: {set} is {found:x}, not {left:x}"
            );
        }
        for set in ["CapInh", "CapAmb"] {
            ensure!(
                u64::from_str_radix(field(set)?, 16)? == 0,
                "{name}: {set} is {}",
                field(set)?
            );
        }
        ensure!(field("NoNewPrivs")? == "1", "{name} may gain rights");
        let filtered = if is_proxy { "2" } else { "0" };
        ensure!(
            field("Seccomp")? == filtered,
            "{name}: Seccomp {}",
            field("Seccomp")?
        );
        let users = vec![user.to_string(); 4].join("\t");
        ensure!(field("Uid")? == users, "{name} is {}", field("Uid")?);
    }
    ensure!(proxies >= 2, "only {proxies} threads are the proxy's");
    Ok(())
}

fn ensure_says(text: &str, words: &str) -> Result<()> {
    ensure!(text.contains(words), "it does not say {words:?}: {text}");
    Ok(())
}
