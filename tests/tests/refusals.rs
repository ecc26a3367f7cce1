//! What the command line refuses: with the right exit status, in words that help, and without changing anything.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use anyhow::{Result, ensure};
use netmap_tests::{Lab, Netmap, Scene, rows, tcp, topology::C1};

/// Exit status of wrong usage.
const USAGE: i32 = 2;
/// Exit status of what could not be done.
const FAILED: i32 = 1;

#[test]
fn refused_commands_say_why_and_change_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    let to = C1.to_string();
    let publish = |spec| vec!["publish", spec, "--to", &to];
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (publish("70000:80/tcp"), USAGE, "70000"),
        (publish("8081:99999/tcp"), USAGE, "99999"),
        (publish("0:80/tcp"), USAGE, "0"),
        (publish("8090-8081:8090-8081/tcp"), USAGE, "8090-8081"),
        (publish("8081-:80/tcp"), USAGE, "8081-"),
        (publish(":80/tcp"), USAGE, ""),
        (publish("8081-8090:80-85/tcp"), USAGE, "10"),
        (publish("8081:80/sctp"), USAGE, "sctp"),
        (publish("8081:80/"), USAGE, ""),
        (publish("8081"), USAGE, "8081"),
        (publish("1.2.3:8081:80"), USAGE, "1.2.3"),
        (publish("::1:8081:80"), USAGE, "[::1]:8080"),
        (publish("[::1:8081:80"), USAGE, "[::1:8081:80"),
        (publish("[fe80::1]:8081:80"), USAGE, "link-local"),
        (publish("[::ffff:192.0.2.1]:8081:80"), USAGE, "write 192.0.2.1"),
        (
            vec!["publish", "8081:80", "--to", "172.30.1.256"],
            USAGE,
            "172.30.1.256",
        ),
        (vec!["publish", "8081:80", "--to", "fe80::2"], USAGE, "fe80::2"),
        (vec!["publish", "8081:80", "--to", "::1"], USAGE, "loopback"),
        (
            vec!["publish", "0.0.0.0:8081:80", "--to", "fd01::2"],
            USAGE,
            "fd01::2",
        ),
        (
            vec!["publish", "8081:80", "--to", &to, "--to", "172.30.2.2"],
            USAGE,
            "172.30.2.2",
        ),
        (
            vec!["publish", "8081:80", "--to", "fd01::2", "--allow", "10.0.0.0/8"],
            USAGE,
            "another family",
        ),
        (
            vec!["publish", "8081:80", "--to", &to, "--allow", "10.0.0.0/33"],
            USAGE,
            "10.0.0.0/33",
        ),
        (vec!["publish", "8081:80"], USAGE, "--to"),
        (vec!["unpublish", "70000/tcp"], USAGE, "70000"),
        (vec!["nonsense"], USAGE, "nonsense"),
        (vec!["ports", "--nonsense"], USAGE, "--nonsense"),
        (publish("8080:81/tcp"), FAILED, "8080"),
        (publish("8000-8100:8000-8100/tcp"), FAILED, "8080"),
        (vec!["unpublish", "8081/tcp"], FAILED, "8081"),
        (vec!["unpublish", "192.168.50.2:8080/tcp"], FAILED, "8080"),
        (vec!["unpublish", "[2001:db8::1]:8080/tcp"], FAILED, "[::]:8080"),
        (publish("[2001:db8::1]:8080:81/tcp"), FAILED, "[::]:8080"),
    ];
    for (arguments, status, mentions) in cases {
        let said = scene.netmap.refused(&arguments, status)?;
        ensure!(
            said.contains(mentions),
            "`netmap {}` does not say {mentions:?}: {said}",
            arguments.join(" ")
        );
        ensure!(!said.contains("panicked"), "{said}");
        ensure!(
            scene.netmap.ports()? == before,
            "`netmap {}` changed the rules",
            arguments.join(" ")
        );
    }
    rows::check_all(&scene)
}

#[test]
fn a_port_that_another_program_listens_on_is_not_taken() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    let host = &scene.lab.host;
    for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let at = SocketAddrV4::new(address, 8_081);
        let service = tcp::Server::start(host, at)?;
        let datagrams = host.try_run(|| UdpSocket::bind(at))?;
        for spec in ["8081:80/tcp", "8081:80/udp", "8070-8099:8070-8099/udp"] {
            let said = scene
                .netmap
                .refused(&["publish", spec, "--to", &C1.to_string()], FAILED)?;
            ensure!(
                said.contains("8081") || said.contains("8080"),
                "the refusal does not name the port: {said}"
            );
            ensure!(scene.netmap.ports()? == before);
        }
        let answer = tcp::request(host, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_081), "still mine")?;
        ensure!(answer.client.ip() == Ipv4Addr::LOCALHOST, "{answer:?}");
        drop((service, datagrams));
    }
    scene.publish_both("8081:80", C1)
}

#[test]
fn another_program_cannot_take_a_published_port() -> Result<()> {
    let scene = Scene::new()?;
    let host = &scene.lab.host;
    for address in ["0.0.0.0:8080", "127.0.0.1:8080", "192.168.50.2:8080"] {
        let at: SocketAddrV4 = address.parse()?;
        let tcp = host
            .run(|| TcpListener::bind(at).map(drop))?
            .err()
            .map(|error| error.kind());
        let udp = host
            .run(|| UdpSocket::bind(at).map(drop))?
            .err()
            .map(|error| error.kind());
        let in_use = Some(std::io::ErrorKind::AddrInUse);
        ensure!(
            tcp == in_use && udp == in_use,
            "{address}: TCP {tcp:?}, UDP {udp:?}"
        );
    }
    for transport in ["tcp", "udp"] {
        scene.netmap.unpublish(&format!("8080/{transport}"))?;
    }
    host.try_run(|| TcpListener::bind("0.0.0.0:8080"))?;
    host.try_run(|| UdpSocket::bind("0.0.0.0:8080"))?;
    Ok(())
}

#[test]
fn commands_without_a_daemon_say_so() -> Result<()> {
    let lab = Lab::new()?;
    let netmap = Netmap::prepare(&lab)?;
    for arguments in [
        &["publish", "8080:80", "--to", "172.30.1.2"][..],
        &["unpublish", "8080/tcp"],
    ] {
        let said = netmap.refused(arguments, FAILED)?;
        ensure!(said.contains("netmap run"), "it does not say what to do: {said}");
    }
    Ok(())
}

#[test]
fn a_second_daemon_is_refused_and_the_first_keeps_working() -> Result<()> {
    let scene = Scene::new()?;
    let cgroup = scene.netmap.cgroup().display().to_string();
    let arguments = ["run", "--uplink", "up0", "--bridge", "br1", "--cgroup", &cgroup];
    scene.netmap.refused(&arguments, FAILED)?;
    rows::check_all(&scene)
}

#[test]
fn somebody_who_is_not_root_is_told_so() -> Result<()> {
    let lab = Lab::new()?;
    let netmap = Netmap::prepare(&lab)?;
    // Where everybody may run it from, wherever it was built.
    let copy = std::env::temp_dir().join(format!("{}-netmap", lab.name()));
    fs::copy(netmap.binary(), &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let run = |caller: &[&str]| {
        let mut command = lab.host.command("setpriv");
        command
            .args(caller)
            .arg(&copy)
            .args(["run", "--uplink", "up0", "--bridge", "br1", "--socket"]);
        command.arg(netmap.socket()).arg("--pin-dir").arg(netmap.pins());
        refusal(&mut command)
    };
    let nobody = run(&["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let powerless = run(&["--bounding-set=-all", "--inh-caps=-all"]);
    fs::remove_file(&copy)?;
    let (nobody, powerless) = (nobody?, powerless?);
    ensure!(nobody.contains("root"), "{nobody}");
    ensure!(
        powerless.contains("CAP_"),
        "it does not name the missing capability: {powerless}"
    );
    Ok(())
}

/// What a command says that must fail with [`FAILED`].
fn refusal(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(FAILED), "{}: {said}", output.status);
    ensure!(
        said.trim().lines().count() == 1,
        "more than one clear sentence: {said}"
    );
    Ok(said)
}
