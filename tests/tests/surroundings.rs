//! What the host's surroundings are of IPv6: found, followed, and told.

use std::{collections::BTreeSet, net::Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use bytemuck::{Zeroable as _, cast};
use netmap_common::maps::{Address6, Flow, FlowKey, Kind, Port, Protocol, Seconds, Side, Way, name};
use netmap_tests::{Lab, Netmap, wait_for};
use serde_json::{Value, json};

const FLOW_KEY: usize = size_of::<FlowKey<Address6>>();
const FLOW: usize = size_of::<Flow<Address6>>();

type Flows = HashMap<MapData, [u8; FLOW_KEY], [u8; FLOW]>;

/// A lab with IPv6 on its uplink (two addresses) and its first bridge, c1 included.
fn dual() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.host.batch(
        "addr add 2001:db8:50::3/64 dev up0 nodad\n\
         addr add 2001:db8:50::2/64 dev up0 nodad\n\
         addr add fd00:1::1/64 dev br1 nodad\n",
    )?;
    lab.c1.batch("addr add fd00:1::2/64 dev eth0 nodad\n")?;
    Ok(lab)
}

fn ipv6_of_uplink(netmap: &Netmap) -> Result<Value> {
    Ok(netmap.json("status")?["uplinks"][0]["ipv6"].clone())
}

fn entries(netmap: &Netmap, table: &str) -> Result<Value> {
    Ok(netmap.json("status")?["tables"][table]["entries"].clone())
}

#[test]
fn uplinks_and_published_containers_are_found_by_ipv6_as_well() -> Result<()> {
    let lab = dual()?;
    let netmap = Netmap::start(&lab)?;
    ensure!(
        netmap.json("status")?["uplinks"]
            == json!([{"interface": "up0", "ipv4": "192.168.50.2", "ipv6": "2001:db8:50::2"}])
    );
    ensure!(
        netmap
            .done(&["status"])?
            .contains("uplink      up0 IPv4 as 192.168.50.2; IPv6 as 2001:db8:50::2\n")
    );
    netmap.done(&["publish", "[::]:8081:80", "--to", "fd00:1::2"])?;
    wait_for("the container answered neighbour discovery", || {
        Ok((entries(&netmap, "endpoints6")? == 1).then_some(()))
    })?;
    let status = netmap.json("status")?;
    ensure!(status["unresolved_containers"] == json!([]), "{status}");
    ensure!(
        status["tables"]["interfaces6"] == status["tables"]["interfaces"],
        "{status}"
    );

    // There is no such container.
    netmap.done(&["publish", "[::]:8082:80", "--to", "fd00:1::9"])?;
    let status = netmap.json("status")?;
    ensure!(
        status["unresolved_containers"] == json!(["fd00:1::9"]),
        "{status}"
    );
    netmap.done(&["unpublish", "[::]:8081"])?;
    ensure!(entries(&netmap, "endpoints6")? == 0);
    Ok(())
}

/// Both entries of what container c1 asked somebody outside by this address.
fn twins(outside_address: &str, port: u16) -> Result<[(FlowKey<Address6>, Flow<Address6>); 2]> {
    let address = |text: &str| -> Result<Address6> { Ok(text.parse::<Ipv6Addr>()?.into()) };
    let (c1, peer) = (address("fd00:1::2")?, address("2001:db8:50::99")?);
    let key = FlowKey::new(Protocol::Udp, c1, Port(port), peer, Port(53));
    let to = FlowKey {
        src: address(outside_address)?,
        ..key
    };
    let original = Flow {
        to,
        nonce: 7,
        way: Way::Neigh as u8,
        kind: Kind::Egress as u8,
        // It does not grow old while the test runs.
        created: Seconds(u32::MAX),
        last_seen: Seconds(u32::MAX),
        packets: 1,
        ..Flow::zeroed()
    };
    let reply = Flow {
        to: key.reversed(),
        side: Side::Reply as u8,
        ..original
    };
    Ok([(key, original), (to.reversed(), reply)])
}

#[test]
fn flows_go_with_the_address_that_they_have_outside_and_no_others() -> Result<()> {
    let lab = dual()?;
    let netmap = Netmap::start(&lab)?;
    let pin = wait_for("the tables are pinned", || {
        let layouts = std::fs::read_dir(netmap.pins())?.flatten();
        let mut pins = layouts.map(|layout| layout.path().join("maps").join(name::FLOWS6));
        Ok(pins.find(|pin| pin.exists()))
    })?;
    let mut flows: Flows = Map::HashMap(MapData::from_pin(pin)?).try_into()?;
    for (address, port) in [("2001:db8:50::2", 1), ("2001:db8:50::3", 2)] {
        for (key, flow) in twins(address, port)? {
            flows.insert(cast::<_, [u8; FLOW_KEY]>(key), cast::<_, [u8; FLOW]>(flow), 0)?;
        }
    }
    let outside = || -> Result<BTreeSet<String>> {
        let flows = netmap.flows()?;
        let sources = flows
            .iter()
            .map(|flow| flow["translated"]["src"].as_str().map(str::to_owned));
        sources.collect::<Option<_>>().context("a flow without a source")
    };
    ensure!(outside()?.len() == 2);
    let text = netmap.done(&["flows", "--address", "2001:db8:50::3"])?;
    ensure!(
        text.contains("[2001:db8:50::3]:2->[2001:db8:50::99]:53") && text.contains("1 of 1 flows, 4 entries"),
        "{text}"
    );

    lab.host.batch("addr del 2001:db8:50::2/64 dev up0\n")?;
    wait_for("its flows were ended", || {
        Ok((entries(&netmap, "flows6")? == 2).then_some(()))
    })?;
    ensure!(outside()? == BTreeSet::from(["2001:db8:50::3".to_owned()]));
    ensure!(ipv6_of_uplink(&netmap)? == "2001:db8:50::3");
    lab.host.batch("addr del 2001:db8:50::3/64 dev up0\n")?;
    wait_for("all flows were ended", || {
        Ok((entries(&netmap, "flows6")? == 0).then_some(()))
    })?;
    ensure!(ipv6_of_uplink(&netmap)?.is_null());
    ensure!(
        netmap
            .done(&["status"])?
            .contains("IPv6 not carried: it has no address")
    );
    Ok(())
}
