//! `netmap doctor`: each fault is found, and gone once the command that it prints has run.

use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode, tc::TcAttachOptions},
};
use netmap_common::maps::program;
use netmap_tests::{Lab, Netmap, Scene, programs, topology::C1, wait_for};
use serde_json::Value;

/// Findings of this kind, a file in place of Docker's settings.
fn findings(netmap: &Netmap, id: &str) -> Result<Vec<Value>> {
    let output = netmap.cli(&["doctor", "--json", "--daemon-json", "/nonexistent/daemon.json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let all = report
        .get("findings")
        .and_then(Value::as_array)
        .context("no findings are told")?;
    assert_eq!(output.status.code(), Some(i32::from(!all.is_empty())), "{report}");
    Ok(all
        .iter()
        .filter(|finding| finding["id"] == id)
        .cloned()
        .collect())
}

/// One finding of this kind, which its command mends.
fn is_found_and_mended(netmap: &Netmap, id: &str) -> Result<()> {
    let found = findings(netmap, id)?;
    let mend = found.first().and_then(|finding| finding["mend"].as_str());
    let mend = mend.with_context(|| format!("{id} is not found"))?;
    let netmap_folder = netmap
        .binary()
        .parent()
        .context("no folder")?
        .display()
        .to_string();
    let mut shell = netmap.host_command("sh");
    shell
        .args(["-ec", mend])
        .env("PATH", format!("{netmap_folder}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .env("NETMAP_SOCKET", netmap.socket())
        .env("NETMAP_PIN_DIR", netmap.pins())
        .env("NETMAP_STATE", netmap.state());
    netmap_tests::command::run(&mut shell)?;
    assert_eq!(findings(netmap, id)?, Vec::<Value>::new(), "after `{mend}`");
    Ok(())
}

#[test]
fn what_the_kernel_was_told_is_found_and_mended() -> Result<()> {
    let scene = Scene::new()?;
    let host = &scene.lab.host;
    host.sysctl("ipv4/ip_forward", "0")?;
    is_found_and_mended(&scene.netmap, "ip-forward")?;
    host.sysctl("ipv4/conf/br1/route_localnet", "1")?;
    is_found_and_mended(&scene.netmap, "route-localnet")?;
    host.batch("addr add fd00:1::1/64 dev br1 nodad")?;
    host.sysctl("ipv6/conf/all/forwarding", "0")?;
    is_found_and_mended(&scene.netmap, "ipv6-forwarding")
}

#[test]
fn what_docker_leaves_in_netfilter_is_found_and_mended() -> Result<()> {
    let scene = Scene::new()?;
    let rules = "*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
        -A POSTROUTING -s 172.30.1.0/24 ! -o br1 -j MASQUERADE\n\
        -A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\n\
        -A DOCKER -i br1 -j RETURN\n-A DOCKER ! -i br1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.30.1.9:80\n\
        COMMIT\n*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
    netmap_tests::command::feed(&mut scene.lab.host.command("iptables-restore"), rules)?;
    is_found_and_mended(&scene.netmap, "docker-chains")?;
    is_found_and_mended(&scene.netmap, "forward-drop")?;
    let left = scene.lab.host.line("iptables-save")?;
    assert!(
        left.contains("-s 10.9.0.0/16 -j MASQUERADE"),
        "others' rules stay: {left}"
    );
    assert!(!left.contains("br1"), "{left}");
    scene
        .lab
        .host
        .nft("add table ip docker-bridges\nadd table inet firewalld\n")?;
    is_found_and_mended(&scene.netmap, "docker-table")?;
    assert_eq!(findings(&scene.netmap, "firewalld")?.len(), 1);
    let active = "*filter\n:ufw-user-input - [0:0]\nCOMMIT\n";
    netmap_tests::command::feed(&mut scene.lab.host.command("iptables-restore"), active)?;
    assert_eq!(findings(&scene.netmap, "ufw")?.len(), 1);
    Ok(())
}

#[test]
fn programs_in_front_of_netmaps_are_found_and_an_interface_that_is_not_there() -> Result<()> {
    let lab = Lab::new()?;
    let card = "link add up9 type veth peer name other9";
    lab.host.batch(card)?;
    let netmap = Netmap::start_with_more(&lab, &["--uplink", "up9"])?;
    lab.host.batch("link del up9")?;
    let missing = wait_for("up9 is missed", || {
        let missing = findings(&netmap, "missing-interface")?;
        Ok((!missing.is_empty()).then_some(missing))
    })?;
    assert!(
        missing.len() == 1 && missing[0]["found"].to_string().contains("up9"),
        "{missing:?}"
    );
    lab.host.batch(card)?;
    wait_for("up9 is seen", || {
        Ok(findings(&netmap, "missing-interface")?.is_empty().then_some(()))
    })?;

    for id in ["program-in-front", "xdp-in-front"] {
        assert_eq!(findings(&netmap, id)?, Vec::<Value>::new());
    }
    let mut object = EbpfLoader::new().load_file(programs::object()?)?;
    let first: &mut SchedClassifier = object
        .program_mut(program::UPLINK_IN)
        .context("the object has no such program")?
        .try_into()?;
    first.load()?;
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    lab.host.run(|| {
        first
            .attach_with_options("up0", TcAttachType::Ingress, options)
            .map(drop)
    })??;
    let wire: &mut Xdp = object
        .program_mut(program::UPLINK_XDP)
        .context("the object has no such program")?
        .try_into()?;
    wire.load()?;
    lab.host.run(|| wire.attach("up0", XdpMode::Skb).map(drop))??;
    for id in ["program-in-front", "xdp-in-front"] {
        let found = findings(&netmap, id)?;
        assert!(
            found.len() == 1 && found[0]["found"].to_string().contains("up0"),
            "{id}: {found:?}"
        );
    }
    drop(object);
    for id in ["program-in-front", "xdp-in-front"] {
        assert_eq!(findings(&netmap, id)?, Vec::<Value>::new());
    }
    Ok(())
}

#[test]
fn netmaps_own_state_is_found() -> Result<()> {
    let mut scene = Scene::new()?;
    assert_eq!(findings(&scene.netmap, "daemon")?, Vec::<Value>::new());
    assert_eq!(findings(&scene.netmap, "docker-settings")?, Vec::<Value>::new());
    scene
        .netmap
        .publish("9999:80", std::net::Ipv4Addr::new(172, 30, 1, 77))?;
    wait_for("the container is missed", || {
        Ok((!findings(&scene.netmap, "no-endpoint")?.is_empty()).then_some(()))
    })?;
    is_found_and_mended(&scene.netmap, "no-endpoint")?;
    scene.netmap.publish("9998:80", C1)?;
    scene.netmap.stop()?;
    assert_eq!(findings(&scene.netmap, "daemon")?.len(), 1);
    scene.netmap.run()
}

#[test]
fn a_strict_reverse_path_filter_matters_where_there_are_two_uplinks() -> Result<()> {
    let lab = Lab::new()?;
    lab.host
        .batch("link add up1 type veth peer name other1\nlink set other1 up\naddr add 192.168.51.2/24 dev up1\nlink set up1 up")?;
    let netmap = Netmap::start_with_more(&lab, &["--uplink", "up1"])?;
    lab.host.sysctl("ipv4/conf/all/rp_filter", "0")?;
    lab.host.sysctl("ipv4/conf/up0/rp_filter", "0")?;
    lab.host.sysctl("ipv4/conf/up1/rp_filter", "1")?;
    is_found_and_mended(&netmap, "rp-filter")
}
