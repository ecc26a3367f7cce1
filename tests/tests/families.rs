//! Ports of both address families: published and taken back as one, and each by itself.

use std::{
    io::{BufReader, ErrorKind, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpStream},
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Answer, DEADLINE, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, GATEWAY1, HOST, REMOTE},
};
use socket2::{Domain, Type};

/// The published sides of a port's rules, as `netmap ports` lists them.
fn hosts(scene: &Scene, port: u16) -> Result<Vec<String>> {
    let ports = scene.netmap.ports()?;
    let rules = ports.iter().filter(|rule| rule["port"] == port);
    Ok(rules
        .filter_map(|rule| rule["host"].as_str().map(str::to_owned))
        .collect())
}

#[test]
fn a_port_of_both_families_comes_and_goes_as_one_or_by_its_family() -> Result<()> {
    let scene = Scene::new()?;
    let at = SocketAddrV4::new(HOST, 8_081);
    let before = scene.netmap.ports()?;
    scene.netmap.publish("8081:80/tcp", C1)?;
    ensure!(hosts(&scene, 8_081)? == ["0.0.0.0", "::"]);

    scene.netmap.unpublish("[::]:8081/tcp")?;
    ensure!(hosts(&scene, 8_081)? == ["0.0.0.0"]);
    tcp::request(&scene.lab.remote, at, "IPv4 stays")?;
    let said = scene.netmap.refused(&["unpublish", "[::]:8081/tcp"], 1)?;
    ensure!(said.contains("[::]:8081/tcp is not published"), "{said}");

    // IPv4 is taken: IPv6, which is free, is not published either.
    let again = ["publish", "8081:80/tcp", "--to", &C1.to_string()];
    let said = scene.netmap.refused(&again, 1)?;
    ensure!(said.contains("0.0.0.0:8081/tcp overlaps"), "{said}");
    ensure!(hosts(&scene, 8_081)? == ["0.0.0.0"]);

    // The other way round.
    scene.netmap.unpublish("8081/tcp")?;
    scene.netmap.publish("[::]:8081:80/tcp", C1)?;
    ensure!(hosts(&scene, 8_081)? == ["::"]);
    let said = scene.netmap.refused(&again, 1)?;
    ensure!(said.contains("[::]:8081/tcp overlaps"), "{said}");
    ensure!(hosts(&scene, 8_081)? == ["::"]);
    let error = tcp::connect(&scene.lab.remote, None, at, SILENCE)?.err();
    let error = error.map(|error| error.kind());
    ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");

    // One of each family never collide.
    scene.netmap.publish("0.0.0.0:8081:80/tcp", C1)?;
    tcp::request(&scene.lab.remote, at, "beside IPv6")?;
    scene.netmap.unpublish("8081/tcp")?;
    ensure!(scene.netmap.ports()? == before);
    Ok(())
}

#[test]
fn a_container_with_an_address_of_each_family_gets_each_by_its_own() -> Result<()> {
    let scene = Scene::new()?;
    let (to, before) = (C1.to_string(), scene.netmap.ports()?);
    scene
        .netmap
        .done(&["publish", "8081:80", "--to", &to, "--to", "fd01::2"])?;
    let ports = scene.netmap.ports()?;
    let containers: Vec<_> = ports.iter().filter(|rule| rule["port"] == 8_081).collect();
    ensure!(
        containers.len() == 2
            && (&containers[0]["container"], &containers[0]["proxied"]) == (&to.into(), &false.into())
            && (&containers[1]["container"], &containers[1]["proxied"]) == (&"fd01::2".into(), &false.into()),
        "{containers:?}"
    );
    tcp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 8_081), "by IPv4")?;
    scene.netmap.unpublish("8081")?;
    ensure!(scene.netmap.ports()? == before);
    Ok(())
}

#[test]
fn an_allow_list_of_one_family_admits_nobody_of_the_other() -> Result<()> {
    let mut scene = Scene::new()?;
    let to = C1.to_string();
    let allow = |scene: &Scene, host: &str| -> Result<String> {
        let ports = scene.netmap.ports()?;
        let rule = ports
            .iter()
            .find(|rule| rule["port"] == 8_083 && rule["host"] == host);
        Ok(rule.map(|rule| rule["allow"].to_string()).unwrap_or_default())
    };
    scene
        .netmap
        .done(&["publish", "8083:80", "--to", &to, "--allow", "2001:db8::/32"])?;
    for _ in ["this daemon", "the next"] {
        ensure!(allow(&scene, "0.0.0.0")? == "[\"0.0.0.0/32\"]");
        ensure!(allow(&scene, "::")? == "[\"2001:db8::/32\"]");
        let at = SocketAddrV4::new(HOST, 8_083);
        let (connected, moved) = scene
            .netmap
            .watch(|| tcp::connect(&scene.lab.remote, None, at, SILENCE))?;
        ensure!(connected.is_err(), "IPv4 was not meant");
        moved.ensure_dropped_by(&["uplink-in not-allowed"])?;
        let answer = tcp::request(&scene.lab.host, at, "this host's own are never refused")?;
        ensure!(answer.local.ip() == C1, "{answer:?}");
        scene.netmap.restart()?;
    }
    Ok(())
}

#[test]
fn a_host_without_ipv6_publishes_for_ipv4() -> Result<()> {
    let scene = Scene::new()?;
    scene.lab.host.sysctl("ipv6/conf/all/disable_ipv6", "1")?;
    scene.lab.host.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    scene.publish_both("8081:80", C1)?;
    for transport in Transport::ALL {
        let at = SocketAddrV4::new(HOST, 8_081);
        let answer = transport.request(&scene.lab.remote, at, "IPv4 alone")?;
        ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    }
    Ok(())
}

/// What a process of the host is answered at an address of IPv6.
fn ask6(scene: &Scene, at: SocketAddrV6) -> Result<Answer> {
    let mut stream = scene.lab.host.try_run(|| TcpStream::connect(at))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"ask by IPv6\n")?;
    Answer::read(&mut BufReader::new(stream))
}

#[test]
fn ipv6_clients_of_this_host_reach_an_ipv4_container() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.netmap.publish("8081:80/tcp", C1)?;
    scene.netmap.publish("[::1]:8082:80/tcp", C1)?;
    for _ in ["this daemon", "the next"] {
        for port in [8_080, 8_081, 8_082] {
            let answer = ask6(&scene, SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0))?;
            ensure!(
                answer.payload == "by IPv6" && answer.local == SocketAddrV4::new(C1, 80).into(),
                "{answer:?}"
            );
            ensure!(answer.client.ip() == GATEWAY1, "{answer:?}");
        }
        let localhost = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_082);
        let error = tcp::connect(&scene.lab.host, None, localhost, SILENCE)?.err();
        let error = error.map(|error| error.kind());
        ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
        scene.netmap.restart()?;
    }
    scene.netmap.unpublish("[::]:8081/tcp")?;
    let at = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8_081, 0, 0);
    ensure!(ask6(&scene, at).is_err(), "IPv6 was taken back");
    let localhost = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_081);
    tcp::request(&scene.lab.host, localhost, "IPv4 was not")?;
    Ok(())
}

#[test]
fn a_port_that_another_program_has_in_one_family_is_published_in_the_other() -> Result<()> {
    let scene = Scene::new()?;
    let to = C1.to_string();
    let other = scene.lab.host.socket(Domain::IPV6, Type::STREAM)?;
    other.set_only_v6(true)?;
    other.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 8_081, 0, 0).into())?;
    other.listen(1)?;
    let said = scene.netmap.refused(&["publish", "8081:80", "--to", &to], 1)?;
    ensure!(
        said.contains("port 8081/tcp is in use by another program"),
        "{said}"
    );
    ensure!(hosts(&scene, 8_081)?.is_empty(), "half of it is published");
    scene.netmap.publish("0.0.0.0:8081:80", C1)?;
    tcp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 8_081), "IPv4 is free")?;
    scene.netmap.unpublish("8081")?;
    drop(other);
    scene.netmap.publish("8081:80", C1)?;
    ensure!(hosts(&scene, 8_081)? == ["0.0.0.0", "::"]);
    Ok(())
}
