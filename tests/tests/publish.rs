//! Publishing and taking back: whom it reaches, whom it does not, and that the next packet knows.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Options, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, C1B, C2, GATEWAY1, HOST, REMOTE, REMOTE2},
    udp, wait_for,
};

const ANYWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

#[test]
fn a_port_published_twice_is_refused_and_the_first_stays() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    for second in [
        "8080:81/tcp",
        "192.168.50.2:8080:80/tcp",
        "8070-8089:8070-8089/tcp",
        "8080:80/tcp",
    ] {
        let said = scene
            .netmap
            .refused(&["publish", second, "--to", &C2.to_string()], 1)?;
        ensure!(
            said.contains("8080") && said.contains(&C1.to_string()),
            "the refusal of {second} does not name the existing rule: {said}"
        );
    }
    ensure!(scene.netmap.ports()? == before);
    ensure!(
        tcp::request(&scene.lab.remote, SocketAddrV4::new(HOST, 8_080), "still there")?
            .local
            .ip()
            == C1
    );
    Ok(())
}

#[test]
fn one_port_of_several_addresses_leads_to_several_containers() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.serve(&scene.lab.c2.clone(), SocketAddrV4::new(C2, 80))?;
    scene.publish_both(&format!("{HOST}:8081:80"), C1)?;
    scene.publish_both(&format!("{GATEWAY1}:8081:80"), C2)?;
    for transport in Transport::ALL {
        let answer = transport.request(&scene.lab.c1b, SocketAddrV4::new(HOST, 8_081), "to c1")?;
        ensure!(
            (answer.client.ip(), answer.local.ip()) == (C1B.into(), C1.into()),
            "{answer:?}"
        );
        let answer = transport.request(&scene.lab.c1b, SocketAddrV4::new(GATEWAY1, 8_081), "to c2")?;
        ensure!(
            (answer.client.ip(), answer.local.ip()) == (C1B.into(), C2.into()),
            "{answer:?}"
        );
    }
    Ok(())
}

#[test]
fn a_rule_for_one_address_serves_no_other() -> Result<()> {
    let scene = Scene::new()?;
    scene.netmap.publish(&format!("{HOST}:8081:80/tcp"), C1)?;
    scene.netmap.publish("127.0.0.1:8082:80/tcp", C1)?;
    let lab = &scene.lab;
    let refused = |client: &netmap_tests::Namespace, address, port| -> Result<()> {
        let at = SocketAddrV4::new(address, port);
        let error = tcp::connect(client, None, at, SILENCE)?
            .err()
            .map(|error| error.kind());
        ensure!(
            error == Some(ErrorKind::ConnectionRefused),
            "{at} from {}: {error:?}",
            client.name()
        );
        Ok(())
    };
    tcp::request(&lab.remote, SocketAddrV4::new(HOST, 8_081), "to the address")?;
    refused(&lab.c1b, GATEWAY1, 8_081)?;
    refused(&lab.host, Ipv4Addr::LOCALHOST, 8_081)?;
    tcp::request(
        &lab.host,
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_082),
        "to localhost",
    )?;
    refused(&lab.remote, HOST, 8_082)?;
    refused(&lab.c1b, GATEWAY1, 8_082)?;
    refused(&lab.host, HOST, 8_082)
}

#[test]
fn a_rule_for_every_address_serves_one_that_comes_later_and_not_one_that_left() -> Result<()> {
    const LATER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 9);
    let scene = Scene::new()?;
    scene.lab.host.batch(&format!("addr add {LATER}/24 dev up0\n"))?;
    for transport in Transport::ALL {
        wait_for("the new address is served with the client's own", || {
            let at = SocketAddrV4::new(LATER, 8_080);
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "later"))?;
            let carried = moved.carried() == ["port-in published-reply", "uplink-in published-in"];
            Ok((answer.client.ip() == REMOTE && carried).then_some(()))
        })?;
    }
    scene.lab.host.batch(&format!("addr del {LATER}/24 dev up0\n"))?;
    // The remote host routes to the address as if it were still there, and the host does not forward for strangers.
    scene
        .lab
        .remote
        .batch(&format!("route add {LATER}/32 via {HOST}\n"))?;
    let client = udp::Client::unconnected(&scene.lab.remote, ANYWHERE, SocketAddrV4::new(LATER, 8_080))?;
    wait_for("the lost address is not served", || {
        client.send("gone")?;
        Ok(client.receive(SILENCE)?.is_none().then_some(()))
    })
}

#[test]
fn transit_traffic_to_a_published_port_number_is_left_alone() -> Result<()> {
    let mut scene = Scene::new()?;
    let beyond = scene.lab.add_routed_container("vt", Ipv4Addr::new(10, 9, 9, 9))?;
    scene
        .lab
        .remote
        .batch(&format!("route add 10.9.9.9/32 via {HOST}\n"))?;
    let at = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 8_080);
    scene.serve(&beyond, at)?;
    for transport in Transport::ALL {
        let (answer, moved) = scene
            .netmap
            .watch(|| transport.request(&scene.lab.remote, at, "transit"))?;
        ensure!(
            answer.client.ip() == REMOTE && answer.local == at.into(),
            "{answer:?}"
        );
        moved.ensure_carried_by(&[])?;
    }
    Ok(())
}

#[test]
fn the_next_datagram_knows_what_is_published() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.serve(&scene.lab.c2.clone(), SocketAddrV4::new(C2, 80))?;
    let at = SocketAddrV4::new(HOST, 8_081);
    let clients = [&scene.lab.remote, &scene.lab.c1b]
        .map(|client| udp::Client::unconnected(client, ANYWHERE, at).map(|socket| (client, socket)));
    for client in clients {
        let (_, client) = client?;
        client.send("not yet")?;
        ensure!(client.receive(SILENCE)?.is_none());
        for target in [C1, C2, C1] {
            scene.netmap.publish("8081:80/udp", target)?;
            let answer = client.ask("published")?;
            ensure!(answer.local.ip() == target, "meant for {target}: {answer:?}");
            scene.netmap.unpublish("8081/udp")?;
            client.send("not any more")?;
            ensure!(
                client.receive(SILENCE)?.is_none(),
                "{target} answers after it was taken back"
            );
        }
    }
    Ok(())
}

#[test]
fn taking_a_port_back_cuts_its_connections() -> Result<()> {
    let scene = Scene::new()?;
    scene.netmap.publish("8081:80/tcp", C1)?;
    scene.netmap.publish("8082:80/tcp", C1)?;
    for client in [&scene.lab.remote, &scene.lab.c2, &scene.lab.c1] {
        let mut cut = tcp::Client::connect(client, SocketAddrV4::new(HOST, 8_081))?;
        let mut kept = tcp::Client::connect(client, SocketAddrV4::new(HOST, 8_082))?;
        cut.ask("before")?;
        kept.ask("before")?;
        scene.netmap.unpublish("8081/tcp")?;
        cut.set_patience(Duration::from_secs(1))?;
        ensure!(cut.ask("after").is_err(), "{} is still connected", client.name());
        kept.ask("after")?;
        kept.finish()?;
        let error = tcp::connect(client, None, SocketAddrV4::new(HOST, 8_081), SILENCE)?.err();
        let error = error.map(|error| error.kind());
        ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
        scene.netmap.publish("8081:80/tcp", C1)?;
        tcp::request(client, SocketAddrV4::new(HOST, 8_081), "published again")?;
    }
    Ok(())
}

#[test]
fn an_allow_list_admits_and_refuses_by_source() -> Result<()> {
    let scene = Scene::with(Options {
        second_remote: true,
        ..Options::default()
    })?;
    let (to, remote, neighbours) = (C1.to_string(), format!("{REMOTE}/32"), "172.30.2.0/24");
    for transport in ["tcp", "udp"] {
        let spec = format!("8083:80/{transport}");
        scene.netmap.done(&[
            "publish", &spec, "--to", &to, "--allow", &remote, "--allow", neighbours,
        ])?;
    }
    let (at, lab) = (SocketAddrV4::new(HOST, 8_083), &scene.lab);
    for transport in Transport::ALL {
        ensure!(transport.request(&lab.remote, at, "allowed")?.client.ip() == REMOTE);
        ensure!(transport.request(&lab.c2, at, "allowed")?.client.ip() == C2);
    }
    for (client, from, hook) in [(&lab.remote, REMOTE2, "uplink-in"), (&lab.c1b, C1B, "port-in")] {
        let from = SocketAddrV4::new(from, 0);
        let (connected, moved) = scene
            .netmap
            .watch(|| tcp::connect(client, Some(from), at, SILENCE))?;
        ensure!(connected.is_err(), "{from} connected");
        moved.ensure_dropped_by(&[&format!("{hook} not-allowed")])?;
        let ((), moved) = scene.netmap.watch(|| {
            let socket = udp::Client::unconnected(client, from, at)?;
            socket.send("not allowed")?;
            ensure!(socket.receive(SILENCE)?.is_none(), "{from} was answered");
            Ok(())
        })?;
        moved.ensure_dropped_by(&[&format!("{hook} not-allowed")])?;
    }
    Ok(())
}

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
