//! What an engine tells its user when a port cannot be had.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Launcher, Place, Scene,
    launcher::{self, Port},
    scene::{PUBLISHED, SERVED, Transport},
};

use super::{any, ensure_contains, owners, scene, web};

#[test]
fn a_port_that_another_program_has_is_refused_in_the_engines_words() -> Result<()> {
    let scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let c1 = Family::V4.at(Place::C1, SERVED);
    let _tcp = scene.lab.host.try_run(|| TcpListener::bind("0.0.0.0:8080"))?;
    let _udp = scene.lab.host.try_run(|| UdpSocket::bind("192.168.50.2:8081"))?;
    ensure_contains(
        &engine.refused(&web())?,
        &[
            "error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
            "by another program listening on 0.0.0.0:8080",
        ],
    )?;
    let udp = Port::new(Transport::Udp, any(Family::V4, 8_081), c1);
    ensure_contains(
        &engine.refused(&udp)?,
        &[
            "listen udp4 0.0.0.0:8081: bind: address already in use",
            "192.168.50.2:8081",
        ],
    )?;
    // An engine that binds by itself says it by itself.
    ensure_contains(
        &engine.refused(&web().with_socket())?,
        &["failed to bind host port"],
    )?;
    ensure!(scene.netmap.ports()?.is_empty());
    Ok(())
}

#[test]
fn a_port_that_the_operator_has_published_stays_the_operators() -> Result<()> {
    let scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    scene.publish_c1("8080:80/tcp")?;
    for port in [
        web(),
        Port::new(
            Transport::Tcp,
            any(Family::V6, PUBLISHED),
            Family::V6.at(Place::C1, SERVED),
        ),
    ] {
        let family = if port.host.is_ipv4() {
            "tcp4 0.0.0.0"
        } else {
            "tcp6 [::]"
        };
        ensure_contains(
            &engine.refused(&port)?,
            &[
                &format!("listen {family}:8080: bind: address already in use"),
                "which is published already",
            ],
        )?;
    }
    ensure!(owners(&scene.netmap)? == ["operator", "operator"]);

    // And the other way round.
    scene.netmap.unpublish("8080/tcp")?;
    engine.publish(&web())?;
    let said = scene
        .netmap
        .refused(&["publish", "8080:80", "--to", "172.30.1.2"], 1)?;
    ensure_contains(&said, &["which is published already by docker"])?;
    ensure!(owners(&scene.netmap)? == ["docker"]);
    Ok(())
}

#[test]
fn two_proxies_cannot_have_one_port_for_two_containers() -> Result<()> {
    let scene = scene(true)?;
    let mut one = Launcher::start(&scene.netmap)?;
    let mut other = Launcher::start(&scene.netmap)?;
    one.publish(&web())?;
    let mut elsewhere = web();
    elsewhere.container = Family::V4.at(Place::C2, SERVED);
    ensure_contains(
        &other.refused(&elsewhere)?,
        &[
            "bind: address already in use",
            "another netmap-docker-proxy has published",
        ],
    )?;
    let ports = scene.netmap.ports()?;
    ensure!(
        ports.len() == 1 && ports[0]["container"] == "172.30.1.2",
        "{ports:?}"
    );
    Ok(())
}

#[test]
fn what_netmap_does_not_carry_is_named() -> Result<()> {
    let scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let mut sctp = web();
    "sctp".clone_into(&mut sctp.proto);
    ensure_contains(
        &engine.refused(&sctp)?,
        &["error starting userland proxy: netmap publishes tcp and udp ports, no sctp"],
    )?;
    let mut upwards = web();
    upwards.container = Family::V6.at(Place::C1, SERVED);
    ensure_contains(&engine.refused(&upwards)?, &["error starting userland proxy: "])?;
    let mut unknown = web();
    unknown.arguments = vec!["-new-in-2031=yes".to_owned()];
    ensure_contains(
        &engine.refused(&unknown)?,
        &["flag provided but not defined: -new-in-2031"],
    )?;
    // Descriptor 4 is promised and not there.
    let mut socketless = web();
    socketless.arguments = vec!["-use-listen-fd".to_owned()];
    ensure_contains(&engine.refused(&socketless)?, &["file descriptor 4 is no socket"])?;
    ensure!(scene.netmap.ports()?.is_empty());
    Ok(())
}

#[test]
fn without_a_daemon_the_engine_hears_what_to_do() -> Result<()> {
    let mut scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    for accident in [false, true] {
        if accident {
            scene.netmap.run()?;
            scene.netmap.kill()?;
        } else {
            scene.netmap.stop()?;
        }
        ensure_contains(
            &engine.refused(&web())?,
            &[
                "error starting userland proxy: netmap is not there to carry this port",
                &scene.netmap.shim_socket().display().to_string(),
                "start it with `netmap run`, or set NETMAP_FALLBACK=1",
            ],
        )?;
    }
    Ok(())
}

#[test]
fn without_a_daemon_the_engines_own_proxy_may_run_instead() -> Result<()> {
    let mut scene = scene(true)?;
    let mut engine = Launcher::start(&scene.netmap)?;
    let folder = scene.netmap.shim_socket().with_extension("fallback");
    fs::create_dir_all(&folder)?;
    let program = folder.join("docker-proxy");
    // It is SIGINT's to end, as this one would be.
    fs::write(
        &program,
        "#!/bin/sh\necho \"$@\" > \"$0.log\"\n[ -S /proc/self/fd/4 ] && echo socket >> \"$0.log\"\n\
         echo 0 >&3\nexec sleep 60 3>&-\n",
    )?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;

    let mut port = web().with_socket();
    port.environment = [("NETMAP_FALLBACK".to_owned(), program.display().to_string())].into();
    // It is not asked while there is a daemon.
    engine.publish(&port)?;
    ensure!(owners(&scene.netmap)? == ["docker"] && !log(&program).exists());
    engine.unpublish(&port)?;
    scene.netmap.stop()?;
    engine.publish(&port)?;
    let said = fs::read_to_string(log(&program))?;
    let expected = "-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.30.1.2 -container-port 80 \
                    -use-listen-fd\nsocket\n";
    ensure!(said == expected, "{said}");
    engine.unpublish(&port)?;

    // Looked for where engines look for it, by the word that an administrator sets.
    let mut port = web();
    port.environment = [
        ("NETMAP_FALLBACK".to_owned(), "1".to_owned()),
        ("PATH".to_owned(), format!("{}:/usr/bin:/bin", folder.display())),
    ]
    .into();
    if !FOLDERS
        .iter()
        .any(|folder| Path::new(folder).join("docker-proxy").exists())
    {
        engine.publish(&port)?;
        engine.unpublish(&port)?;
    }
    port.environment = [("NETMAP_FALLBACK".to_owned(), "/nowhere/docker-proxy".to_owned())].into();
    ensure_contains(
        &engine.refused(&port)?,
        &["netmap is not there", "nor can /nowhere/docker-proxy be run"],
    )?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Where engines look before `$PATH`.
const FOLDERS: [&str; 4] = [
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
];

fn log(program: &Path) -> std::path::PathBuf {
    program.with_extension("log")
}

#[test]
fn nobody_but_root_comes_in() -> Result<()> {
    let scene = scene(true)?;
    let mode = fs::metadata(scene.netmap.shim_socket())?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let said = as_nobody(&scene)?;
    ensure_contains(&said, &["netmap is not there", "Permission denied"])?;
    // Not even where the file is anybody's.
    fs::set_permissions(scene.netmap.shim_socket(), fs::Permissions::from_mode(0o666))?;
    as_nobody(&scene)?;
    ensure!(scene.netmap.ports()?.is_empty());
    ensure_contains(&scene.netmap.log(), &["somebody else than root"])
}

/// What the program says that a user without rights starts.
fn as_nobody(scene: &Scene) -> Result<String> {
    // Where that user finds it.
    let folder = std::env::temp_dir().join(format!("netmap-nobody-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let program = folder.join("proxy");
    fs::copy(launcher::proxy()?, &program)?;
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .arg("-socket")
        .arg(scene.netmap.shim_socket())
        .args(["-host-ip", "0.0.0.0", "-host-port", "8080"])
        .args(["-container-ip", "172.30.1.2", "-container-port", "80"])
        .output()?;
    fs::remove_dir_all(folder)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn the_version_is_printed_as_the_engine_reads_it() -> Result<()> {
    for flag in ["-v", "--version"] {
        let output = Command::new(launcher::proxy()?).arg(flag).output()?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success());
        ensure!(
            said.starts_with("docker-proxy (commit ") && said.contains(") version ") && said.ends_with('\n'),
            "{said}"
        );
    }
    let output = Command::new(launcher::proxy()?).output()?;
    ensure!(output.status.code() == Some(2));
    ensure_contains(&String::from_utf8(output.stderr)?, &["flag -host-ip is missing"])
}
