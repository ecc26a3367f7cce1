use super::*;

/// As Docker 20.10 tells (API 1.41), shortened.
const OLD: &str = r#"{"Id":"c1","Name":"/web","State":{"Status":"running"},"HostConfig":{"NetworkMode":"default","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}},
 "NetworkSettings":{"Bridge":"","SandboxKey":"/var/run/docker/netns/1","Ports":{"443/tcp":null,"53/udp":[{"HostIp":"127.0.0.1","HostPort":"5353"}],
   "80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]},
   "Gateway":"172.17.0.1","IPAddress":"172.17.0.2","GlobalIPv6Address":"","MacAddress":"02:42:ac:11:00:02",
   "Networks":{"bridge":{"IPAMConfig":null,"Links":null,"Aliases":null,"NetworkID":"n1","EndpointID":"e1","Gateway":"172.17.0.1","IPAddress":"172.17.0.2","IPPrefixLen":16,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DriverOpts":null}}}}"#;

/// As Docker 29 tells (API 1.52): no addresses but the networks', priorities, and an address of IPv6.
const NEW: &str = r#"{"Id":"c2","Name":"/dns","NetworkSettings":{"SandboxID":"s","Ports":{"53/tcp":[],"53/udp":[{"HostIp":"192.0.2.1","HostPort":"53"},{"HostIp":"2001:db8::1","HostPort":"53"}]},
   "Networks":{"back":{"NetworkID":"n2","Gateway":"172.18.0.1","IPAddress":"172.18.0.3","GwPriority":0,"GlobalIPv6Address":"","IPv6Gateway":""},
     "front":{"NetworkID":"n3","Gateway":"172.19.0.1","IPAddress":"172.19.0.3","GwPriority":0,"IPv6Gateway":"fd19::1","GlobalIPv6Address":"fd19::3","GlobalIPv6PrefixLen":64,"DNSNames":["dns"]}}}}"#;

fn container(json: &str) -> Container {
    serde_json::from_str(json).unwrap()
}

fn network(id: &str, name: &str, more: &str) -> types::Network {
    serde_json::from_str(&format!(
        r#"{{"Id":"{id}","Name":"{name}","Driver":"bridge"{more}}}"#
    ))
    .unwrap()
}

fn known(containers: &[&str]) -> Known {
    let networks = [
        network(
            "n1",
            "bridge",
            r#","Options":{"com.docker.network.bridge.name":"docker0","com.docker.network.bridge.default_bridge":"true"}"#,
        ),
        network("n2", "back", ""),
        network("n3", "front", ""),
        network("n4", "inside", r#","Internal":true"#),
    ];
    Known {
        networks: networks
            .into_iter()
            .map(|network| (network.id.clone(), network))
            .collect(),
        containers: containers
            .iter()
            .map(|json| (container(json).id, container(json)))
            .collect(),
        info: types::Info::default(),
    }
}

fn bindings(known: &Known) -> Vec<String> {
    let picture = known.picture().unwrap();
    picture.bindings.iter().map(ToString::to_string).collect()
}

fn names(known: &Known) -> Vec<String> {
    let picture = known.picture().unwrap();
    let names = picture.names.iter();
    names
        .map(|(address, name)| format!("{address} {} {}", name.container, name.network))
        .collect()
}

#[test]
fn an_old_engines_container_publishes_by_either_family() {
    let known = known(&[OLD]);
    assert_eq!(
        bindings(&known),
        [
            "0.0.0.0:8080->172.17.0.2:80/tcp",
            "127.0.0.1:5353->172.17.0.2:53/udp",
            "[::]:8080->172.17.0.2:80/tcp",
        ]
    );
    assert_eq!(names(&known), ["172.17.0.2 web bridge"]);
    assert!(known.picture().unwrap().notes.is_empty());
}

#[test]
fn a_new_engines_container_publishes_by_the_network_with_both_families() {
    let known = known(&[NEW]);
    assert_eq!(
        bindings(&known),
        [
            "192.0.2.1:53->172.19.0.3:53/udp",
            "[2001:db8::1]:53->[fd19::3]:53/udp"
        ]
    );
    assert_eq!(
        names(&known),
        ["172.18.0.3 dns back", "172.19.0.3 dns front", "fd19::3 dns front"]
    );
}

/// A container with port 80 published in these networks.
fn in_networks(networks: &str) -> Vec<String> {
    let json = format!(
        r#"{{"Id":"c1","Name":"/x","NetworkSettings":{{"Ports":{{"80/tcp":[{{"HostIp":"0.0.0.0","HostPort":"80"}},{{"HostIp":"::","HostPort":"80"}}]}},"Networks":{{{networks}}}}}}}"#
    );
    bindings(&known(&[&json]))
}

#[test]
fn the_network_with_the_default_route_is_the_one_that_publishes() {
    let place = |name: &str, id: &str, priority: i64, net: u8, has_gateway: bool| {
        let gateway = if has_gateway {
            format!("10.0.{net}.1")
        } else {
            String::new()
        };
        format!(
            r#""{name}":{{"NetworkID":"{id}","GwPriority":{priority},"IPAddress":"10.0.{net}.2","Gateway":"{gateway}"}}"#
        )
    };
    let back = place("back", "n2", 0, 2, true);
    let front = place("front", "n3", 0, 3, true);
    let inside = place("inside", "n4", 9, 4, false);
    assert_eq!(
        in_networks(&format!("{front},{back},{inside}")),
        ["0.0.0.0:80->10.0.2.2:80/tcp", "[::]:80->10.0.2.2:80/tcp"],
        "the first by name"
    );
    let preferred = place("front", "n3", 1, 3, true);
    assert_eq!(
        in_networks(&format!("{preferred},{back}")),
        ["0.0.0.0:80->10.0.3.2:80/tcp", "[::]:80->10.0.3.2:80/tcp"],
        "the highest priority"
    );
    let swarm = place("docker_gwbridge", "n3", 0, 1, true);
    assert_eq!(in_networks(&format!("{swarm},{back}")).len(), 2);
    assert!(in_networks(&format!("{swarm},{back}"))[0].contains("10.0.2.2"));
    assert!(
        in_networks(&inside).is_empty(),
        "an internal network has no way out"
    );
}

#[test]
fn the_families_may_go_by_different_networks() {
    let found = in_networks(
        r#""back":{"NetworkID":"n2","GwPriority":5,"IPAddress":"10.0.2.2","Gateway":"10.0.2.1"},
           "front":{"NetworkID":"n3","IPAddress":"10.0.3.2","Gateway":"10.0.3.1","GlobalIPv6Address":"fd03::2","IPv6Gateway":"fd03::1"}"#,
    );
    assert_eq!(
        found,
        ["0.0.0.0:80->10.0.2.2:80/tcp", "[::]:80->[fd03::2]:80/tcp"]
    );
    let six = in_networks(
        r#""six":{"NetworkID":"n3","IPAddress":"","GlobalIPv6Address":"fd03::2","IPv6Gateway":"fd03::1"}"#,
    );
    assert_eq!(
        six,
        ["[::]:80->[fd03::2]:80/tcp"],
        "nothing leads from IPv4 to IPv6"
    );
}

#[test]
fn containers_without_an_own_network_are_left_alone() {
    for networks in [
        r#""host":{"NetworkID":"n9","IPAddress":"","Gateway":""}"#,
        r#""none":{"NetworkID":"n9","IPAddress":"","Gateway":""}"#,
        r#""gone":null"#,
        "",
    ] {
        assert!(in_networks(networks).is_empty());
    }
    for json in [
        r#"{"Id":"c1","Name":"/x","NetworkSettings":null}"#,
        r#"{"Id":"c1","Name":null,"NetworkSettings":{"Ports":null,"Networks":null}}"#,
        r#"{"Id":"c1","NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":null,"HostPort":null}]},"Networks":{"bridge":{"NetworkID":null,"IPAddress":null,"GwPriority":null}}}}"#,
    ] {
        let known = known(&[json]);
        assert!(bindings(&known).is_empty() && names(&known).is_empty());
    }
}

#[test]
fn a_routed_networks_ports_are_not_translated() {
    let json = NEW.replace(r#""HostPort":"53""#, r#""HostPort":"""#);
    let mut known = known(&[&json]);
    assert!(bindings(&known).is_empty());
    known.networks.insert(
        "n3".to_owned(),
        network("n3", "front", r#","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"routed","com.docker.network.bridge.name":"br-f"}"#),
    );
    let picture = known.picture().unwrap();
    let bridge = picture
        .bridges
        .iter()
        .find(|bridge| bridge.network == "front")
        .unwrap();
    assert!(!bridge.v4.masquerades && bridge.v6.masquerades);
    assert!(
        picture
            .notes
            .iter()
            .any(|note| note.contains("--direct br-f=allow"))
    );
}

#[test]
fn what_netmap_does_not_carry_is_said_and_left() {
    let json = OLD.replace("53/udp", "53/sctp");
    let of_sctp = known(&[&json]);
    assert_eq!(bindings(&of_sctp).len(), 2);
    let notes = of_sctp.picture().unwrap().notes;
    assert!(notes.iter().all(|note| note.contains("SCTP")) && notes.len() == 1);
    let local = OLD.replace(r#""HostIp":"127.0.0.1""#, r#""HostIp":"fe80::1""#);
    let picture = known(&[&local]).picture().unwrap();
    assert_eq!(picture.bindings.len(), 2);
    assert!(
        picture.notes.iter().any(|note| note.contains("link-local")),
        "{:?}",
        picture.notes
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_no_picture() {
    for (what, instead) in [
        (r#""HostPort":"5353""#, r#""HostPort":"65536""#),
        (r#""HostPort":"5353""#, r#""HostPort":"0""#),
        (r#""HostPort":"5353""#, r#""HostPort":"80-90""#),
        (r#""HostIp":"127.0.0.1""#, r#""HostIp":"localhost""#),
        ("53/udp", "0/udp"),
        ("53/udp", "x/udp"),
        ("53/udp", "53/udplite"),
        (
            r#""IPAddress":"172.17.0.2","IPPrefixLen""#,
            r#""IPAddress":"172.17.0.2/16","IPPrefixLen""#,
        ),
    ] {
        assert!(OLD.contains(what));
        let error = known(&[&OLD.replace(what, instead)]).picture().unwrap_err();
        assert!(error.to_string().contains("\"/web\""), "{error}");
    }
}

#[test]
fn the_same_knowledge_makes_the_same_picture() {
    let one = known(&[OLD, NEW]).picture().unwrap();
    let other = known(&[NEW, OLD]).picture().unwrap();
    assert_eq!(one, other);
    let interfaces: Vec<_> = one
        .bridges
        .iter()
        .map(|bridge| bridge.interface.as_str())
        .collect();
    assert_eq!(interfaces, ["br-n2", "br-n3", "br-n4", "docker0"]);
    assert!(one.bridges[2].internal && !one.bridges[3].internal);
}

#[test]
fn a_rootless_engine_and_a_swarm_are_told_of() {
    let mut known = known(&[]);
    known.info = serde_json::from_str(
        r#"{"SecurityOptions":["name=seccomp,profile=default","name=rootless"],"Swarm":{"LocalNodeState":"active","NodeID":"x"}}"#,
    )
    .unwrap();
    assert_eq!(known.picture().unwrap().notes.len(), 2);
    known.info = serde_json::from_str(r#"{"SecurityOptions":null,"Swarm":null}"#).unwrap();
    assert!(known.picture().unwrap().notes.is_empty());
}
