use super::*;
use crate::{
    cli::args::{Instance, RunArgs},
    config::Effective,
    options::{Direct, LogOptions, RunOptions, Shares},
};

fn overridden(config: &Config, args: RunArgs, instance: Instance) -> RunOptions {
    Effective::of(config, &args.into_config(instance)).options
}

fn read(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netmap.toml");
    fs::write(&path, text).unwrap();
    Config::read(&path).map_err(|error| {
        let text = error.to_string();
        text.replace(&path.display().to_string(), "FILE")
    })
}

const WHOLE: &str = r#"
    uplinks = ["eth0", "eth1"]
    bridges = ["br0"]
    xdp = "off"
    socket = "/run/x.sock"
    shim_socket = "/run/x-shim.sock"
    pin_dir = "/sys/fs/bpf/x"
    state = "/var/lib/x"
    cgroup = "/sys/fs/cgroup/x"
    socket_hooks = false
    flow_entries = 1000
    mark_bit = 3
    direct = ["br0=allow"]
    trusted = ["eth0"]
    timeouts = { udp-answered = 200, tcp-established = 7440 }
    max_flows = 7
    max_new_flows = 8
    max_source_flows = 0
    nat = ["eim", "br0=edm"]
    docker = "/run/other/docker.sock"
    egress = ["192.0.2.1", "br0=2001:db8::7"]
    publish_on = ["eth0", "203.0.113.5"]
    own_addresses = ["br0=off"]
    metrics = "[::1]:9469"
    log_level = "warn"
    log_format = "json"
"#;

fn names(names: &[&str]) -> Vec<InterfaceName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

const NO_INSTANCE: Instance = Instance {
    socket: None,
    pin_dir: None,
    state: None,
};

#[test]
fn every_key_is_read() {
    let options = overridden(&read(WHOLE).unwrap(), RunArgs::default(), NO_INSTANCE);
    let expected = RunOptions {
        uplinks: names(&["eth0", "eth1"]),
        bridges: names(&["br0"]),
        xdp: XdpMode::Off,
        socket: "/run/x.sock".into(),
        shim_socket: Some("/run/x-shim.sock".into()),
        pin_dir: "/sys/fs/bpf/x".into(),
        state: "/var/lib/x".into(),
        cgroup: Some("/sys/fs/cgroup/x".into()),
        socket_hooks: false,
        flow_entries: Some(1000),
        mark_bit: 3,
        direct: Direct {
            rules: vec!["br0=allow".parse().unwrap()],
            trusted: names(&["eth0"]),
        },
        lifetimes: options::lifetimes([
            "udp-answered=200".parse().unwrap(),
            "tcp-established=7440".parse().unwrap(),
        ]),
        docker: Some("/run/other/docker.sock".into()),
        mappings: ["eim", "br0=edm"]
            .map(|choice| choice.parse().unwrap())
            .into_iter()
            .collect(),
        egress: ["192.0.2.1", "br0=2001:db8::7"]
            .map(|choice| choice.parse().unwrap())
            .into_iter()
            .collect(),
        shares: Shares {
            container_flows: Some(7),
            container_rate: Some(8),
            source_flows: Some(0),
        },
        outlets: vec!["eth0".parse().unwrap(), "203.0.113.5".parse().unwrap()].into(),
        ownership: ["br0=off".parse().unwrap()].into_iter().collect(),
        metrics: Some("[::1]:9469".parse().unwrap()),
        log: LogOptions {
            level: "warn".parse().unwrap(),
            format: Some(LogFormat::Json),
        },
    };
    assert_eq!(options, expected);
}

#[test]
fn an_empty_file_changes_nothing() {
    let options = overridden(&read("").unwrap(), RunArgs::default(), NO_INSTANCE);
    assert_eq!(options, RunOptions::default());
    let args = RunArgs {
        no_socket_hooks: true,
        ..RunArgs::default()
    };
    let options = overridden(&read("socket_hooks = true").unwrap(), args, NO_INSTANCE);
    assert!(!options.socket_hooks && RunOptions::default().socket_hooks);
}

#[test]
fn flags_win_over_the_file() {
    let args = RunArgs {
        uplinks: names(&["wan"]),
        xdp: Some(XdpMode::Auto),
        flow_entries: Some(64),
        ..RunArgs::default()
    };
    let instance = Instance {
        socket: Some("/flag.sock".into()),
        ..NO_INSTANCE
    };
    let options = overridden(&read(WHOLE).unwrap(), args, instance);
    assert_eq!(options.uplinks, names(&["wan"]));
    assert_eq!(options.bridges, names(&["br0"]));
    assert_eq!(options.xdp, XdpMode::Auto);
    assert_eq!((options.flow_entries, options.mark_bit), (Some(64), 3));
    assert_eq!(options.socket, Path::new("/flag.sock"));
    assert!(!options.socket_hooks);
    assert_eq!(options.pin_dir, Path::new("/sys/fs/bpf/x"));
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_line() {
    let error = |text| read(text).unwrap_err();
    assert_eq!(
        error("xdp = \"auto\"\nxdp2 = 1\n"),
        "the configuration file FILE, line 2: there is no key `xdp2` (did you mean `xdp`?)"
    );
    assert_eq!(
        error("\n\nxdp = \"generic\""),
        "the configuration file FILE, line 3: \"generic\" is not an XDP mode; use auto, native or off"
    );
    assert_eq!(
        error("mark_bit = 32"),
        "the configuration file FILE, line 1: \"32\" is not a bit of the packet mark; give 0 to 31"
    );
    assert_eq!(
        error("flow_entries = 1"),
        "the configuration file FILE, line 1: \"1\" is not a number of flow entries; give 64 to 16777216"
    );
    assert!(error("socket = \"\"").ends_with("line 1: `socket` takes a path"));
    assert!(error("docker = \"\"").ends_with("`docker` takes true, false or the path of a socket"));
    assert!(error("uplinks = [\"a b\"]").contains("line 1: \"a b\" is not an interface name"));
    assert!(error("bridges = \"br0\"").ends_with("line 1: `bridges` takes a list of bridges' names"));
    assert!(error("max_flows = -1").ends_with("line 1: `max_flows` takes a number, 0 for any"));
    assert!(
        error("\n[timeouts]\nudp-answered = 200\nudp-anwsered = 9")
            .ends_with("(did you mean `udp-answered`?)")
    );
    assert!(
        error("[timeouts]\n\nudp-answered = 9").contains("line 3: udp-answered may not be 9: at least 120")
    );
    assert!(
        error("log_level = \"loud\"")
            .contains("line 1: \"loud\" does not say how much to log; use off, error")
    );
    assert!(error("uplinks = [\n\"eth0\",\n\"a b\"]").contains("line 3: \"a b\" is not an interface name"));
    assert!(error("uplinks = [").contains("FILE, line 1: "));
}

#[test]
fn an_engine_is_where_it_usually_is_unless_told_otherwise() {
    let docker = |text: &str| read(text).map(|config| config.docker);
    assert_eq!(docker("docker = true"), Ok(Some(DEFAULT_ENGINE.into())));
    assert_eq!(docker("docker = false"), Ok(None));
    assert_eq!(docker("docker = \"/x\""), Ok(Some("/x".into())));
    assert!(
        docker("docker = 1")
            .unwrap_err()
            .ends_with("line 1: the path of a socket, or true or false, is expected")
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read(Path::new("/nowhere/netmap.toml")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the configuration file /nowhere/netmap.toml cannot be read: No such file"));
}
