//! Publishing and taking back: whom it reaches, whom it does not, and that the next packet knows.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Family, Options, Place, SILENCE, Scene,
    scene::Transport,
    tcp,
    topology::{C1, C1B, C2, GATEWAY1, HOST, REMOTE},
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

/// Until the kernel has found a container, the proxy serves its clients: who publishes waits for that.
#[test]
fn the_first_client_of_a_container_that_the_host_has_forgotten_is_seen_as_itself() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.serve(&scene.lab.c2.clone(), SocketAddrV4::new(C2, 80))?;
    for round in 0..20 {
        scene.lab.host.line("ip neigh flush dev br2")?;
        scene.netmap.publish("8081:80/tcp", C2)?;
        let at = SocketAddrV4::new(HOST, 8_081);
        let answer = tcp::request(&scene.lab.remote, at, "at once")?;
        ensure!(
            (answer.client.ip(), answer.local.ip()) == (REMOTE.into(), C2.into()),
            "round {round}: {answer:?}"
        );
        scene.netmap.unpublish("8081/tcp")?;
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

/// A scene of both families.
fn both() -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        second_remote: true,
        ..Options::default()
    })
}

/// `spec`, as in `8080:80/tcp`, for one family.
fn of(family: Family, spec: &str) -> String {
    match family {
        Family::V4 => format!("0.0.0.0:{spec}"),
        Family::V6 => format!("[::]:{spec}"),
    }
}

const fn anywhere(family: Family) -> SocketAddr {
    SocketAddr::new(
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        },
        0,
    )
}

#[test]
fn transit_traffic_to_a_published_port_number_is_left_alone() -> Result<()> {
    let mut scene = both()?;
    for (family, port, beyond) in [(Family::V4, "vt", "10.9.9.9"), (Family::V6, "vt6", "fd00:9::9")] {
        let address: IpAddr = beyond.parse()?;
        let beyond = scene.lab.add_routed_container(port, address)?;
        let gateway = family.address(Place::Host);
        scene
            .lab
            .remote
            .batch(&format!("route add {address} via {gateway}\n"))?;
        let at = SocketAddr::new(address, 8_080);
        scene.serve(&beyond, at)?;
        for transport in Transport::ALL {
            let (answer, moved) = scene
                .netmap
                .watch(|| transport.request(&scene.lab.remote, at, "transit"))?;
            ensure!(
                answer.client.ip() == family.address(Place::Remote) && answer.local == at,
                "{answer:?}"
            );
            moved.ensure_carried_by(&[])?;
        }
    }
    Ok(())
}

#[test]
fn the_next_datagram_knows_what_is_published() -> Result<()> {
    let mut scene = both()?;
    for family in Family::ALL {
        scene.serve(&scene.lab.c2.clone(), family.at(Place::C2, 80))?;
    }
    for family in Family::ALL {
        let at = family.at(Place::Host, 8_081);
        for client in [&scene.lab.remote, &scene.lab.c1b] {
            let client = udp::Client::unconnected(client, anywhere(family), at)?;
            client.send("not yet")?;
            ensure!(client.receive(SILENCE)?.is_none());
            for target in [Place::C1, Place::C2, Place::C1] {
                let target = family.address(target);
                scene.netmap.publish(&of(family, "8081:80/udp"), target)?;
                let answer = client.ask("published")?;
                ensure!(answer.local.ip() == target, "meant for {target}: {answer:?}");
                scene.netmap.unpublish(&of(family, "8081/udp"))?;
                client.send("not any more")?;
                ensure!(
                    client.receive(SILENCE)?.is_none(),
                    "{target} answers after it was taken back"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn taking_a_port_back_cuts_its_connections() -> Result<()> {
    let scene = both()?;
    for family in Family::ALL {
        let (cut_spec, kept_spec) = (of(family, "8081:80/tcp"), of(family, "8082:80/tcp"));
        let target = family.address(Place::C1);
        scene.netmap.publish(&cut_spec, target)?;
        scene.netmap.publish(&kept_spec, target)?;
        let (at_cut, at_kept) = (family.at(Place::Host, 8_081), family.at(Place::Host, 8_082));
        for client in [&scene.lab.remote, &scene.lab.c2, &scene.lab.c1] {
            let mut cut = tcp::Client::connect(client, at_cut)?;
            let mut kept = tcp::Client::connect(client, at_kept)?;
            cut.ask("before")?;
            kept.ask("before")?;
            scene.netmap.unpublish(&of(family, "8081/tcp"))?;
            cut.set_patience(Duration::from_secs(1))?;
            ensure!(cut.ask("after").is_err(), "{} is still connected", client.name());
            kept.ask("after")?;
            kept.finish()?;
            let error = tcp::connect(client, None, at_cut, SILENCE)?.err();
            let error = error.map(|error| error.kind());
            ensure!(error == Some(ErrorKind::ConnectionRefused), "{error:?}");
            scene.netmap.publish(&cut_spec, target)?;
            tcp::request(client, at_cut, "published again")?;
        }
    }
    Ok(())
}

#[test]
fn an_allow_list_admits_and_refuses_by_source() -> Result<()> {
    let scene = both()?;
    for (family, remote, neighbours) in [
        (Family::V4, "192.168.50.3/32", "172.30.2.0/24"),
        (Family::V6, "fd00:50::3/128", "fd00:2::/64"),
    ] {
        let to = family.address(Place::C1).to_string();
        for transport in ["tcp", "udp"] {
            let spec = of(family, &format!("8083:80/{transport}"));
            scene.netmap.done(&[
                "publish", &spec, "--to", &to, "--allow", remote, "--allow", neighbours,
            ])?;
        }
        let (at, lab) = (family.at(Place::Host, 8_083), &scene.lab);
        for transport in Transport::ALL {
            for (client, place) in [(&lab.remote, Place::Remote), (&lab.c2, Place::C2)] {
                let answer = transport.request(client, at, "allowed")?;
                ensure!(answer.client.ip() == family.address(place), "{answer:?}");
            }
        }
        for (client, from, hook) in [
            (&lab.remote, Place::Remote2, "uplink-in"),
            (&lab.c1b, Place::C1b, "port-in"),
        ] {
            let from = family.at(from, 0);
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
    }
    Ok(())
}
