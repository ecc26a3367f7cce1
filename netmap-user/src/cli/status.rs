//! `netmap status`: what runs, what is attached, how full the tables are, what is carried where, and what is not in force.

mod kernel;
mod shortfall;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    io::Write,
    net::IpAddr,
    path::Path,
    time::Duration,
};

use serde::Serialize;

pub use self::kernel::Kernel;
use super::{
    args::{Instance, ListArgs},
    failure::Failure,
    output, publish,
    read::{self, Bridge, ReadError, TableUse, Tables, Uplink},
};
use crate::{
    api::{
        client::{Client, ClientError},
        types::{Attachment, DaemonStatus, EngineStatus, UplinkXdp},
    },
    dataplane::{self, LoadedPrograms},
};

/// How long a daemon may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that `netmap status` knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The version of this command.
    pub version: &'static str,
    /// The daemon.
    pub daemon: Daemon,
    /// Where the pins are.
    pub pin_dir: String,
    /// Every program that is attached.
    pub attachments: Vec<Attachment>,
    /// Which families each uplink carries, by its addresses.
    pub uplinks: Vec<Uplink>,
    /// How each managed bridge is kept.
    pub bridges: Vec<Bridge>,
    /// How each uplink runs XDP, and why not: the daemon knows the reasons.
    pub xdp: Vec<UplinkXdp>,
    /// How full the tables are, by name; empty when nothing is attached.
    pub tables: BTreeMap<&'static str, TableUse>,
    /// How much is left of the lifetimes of flows that are no established connections, in hundredths: less than 100 where
    /// the flow table is nearly full. The daemon knows.
    pub lifetimes_percent: Option<u32>,
    /// Interfaces that were asked for and are not there. The daemon knows.
    pub missing_interfaces: Vec<String>,
    /// Published containers whose place is not known: the proxy serves them. The daemon knows.
    pub unresolved_containers: Vec<IpAddr>,
    /// The container engine that is followed, with `netmap run --docker`. The daemon knows.
    pub engine: Option<EngineStatus>,
    /// Why the configuration file as it is now is not what counts, if that is so. The daemon knows.
    pub config_pending: Option<String>,
    /// What programs are loaded; none where nothing is.
    pub data_plane: Option<LoadedPrograms>,
    /// The kernel, and what of it netmap needs.
    pub kernel: Kernel,
    /// What was asked for, or is to be expected, and is not so at the moment: a sentence each.
    pub not_in_force: Vec<String>,
}

/// The daemon, as far as it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Daemon {
    /// Whether somebody listens on the socket.
    pub running: bool,
    /// Its process.
    pub pid: Option<u32>,
    /// Since it started.
    pub uptime_seconds: Option<u64>,
    /// Its version, which an update may have left behind this command's.
    pub version: Option<String>,
}

/// Prints how things are. That nothing runs is no failure: the answer says so.
pub(super) fn command(args: &ListArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let (running, answer) = ask(instance.socket())?;
    let tables = match read::open(instance.pin_dir()) {
        Ok(tables) => Some(tables),
        Err(ReadError::NotAttached(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut status = gather(instance.pin_dir(), running, answer, tables.as_ref())?;
    status.kernel = kernel::probe();
    status.data_plane = dataplane::loaded_programs(instance.pin_dir());
    status.not_in_force = shortfall::of(&status);
    render(&status, args.json, out)?;
    Ok(())
}

/// Whether a daemon runs, and what it says.
fn ask(socket: &Path) -> Result<(bool, Option<DaemonStatus>), Failure> {
    let client = Client::new(socket).with_patience(PATIENCE);
    match publish::wait(client.status())? {
        Ok(status) => Ok((true, Some(status))),
        Err(ClientError::NotRunning(_)) => Ok((false, None)),
        Err(error @ ClientError::Timeout(..)) => {
            output::complain(error);
            Ok((true, None))
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts together what the daemon says and what the tables hold.
///
/// # Errors
///
/// A table cannot be read.
pub fn gather(
    pin_dir: &Path,
    running: bool,
    answer: Option<DaemonStatus>,
    tables: Option<&impl Tables>,
) -> anyhow::Result<Status> {
    let usage = tables.map(Tables::usage).transpose()?.unwrap_or_default();
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION"),
        daemon: Daemon {
            running,
            ..Daemon::default()
        },
        pin_dir: pin_dir.display().to_string(),
        attachments: Vec::new(),
        uplinks: tables.map(Tables::uplinks).transpose()?.unwrap_or_default(),
        bridges: tables.map(Tables::bridges).transpose()?.unwrap_or_default(),
        xdp: Vec::new(),
        tables: usage.into_iter().map(|table| (table.name, table)).collect(),
        lifetimes_percent: None,
        missing_interfaces: Vec::new(),
        unresolved_containers: Vec::new(),
        engine: None,
        config_pending: None,
        data_plane: None,
        kernel: Kernel::default(),
        not_in_force: Vec::new(),
    };
    let Some(answer) = answer else {
        status.attachments = tables.map(Tables::attachments).transpose()?.unwrap_or_default();
        status.xdp = xdp_of(&status.attachments);
        return Ok(status);
    };
    status.daemon = Daemon {
        running,
        pid: Some(answer.pid),
        uptime_seconds: Some(answer.uptime_seconds),
        version: Some(answer.version),
    };
    status.attachments = answer.attachments;
    status.xdp = answer.xdp;
    status.lifetimes_percent = Some(answer.lifetimes_percent);
    status.missing_interfaces = answer.missing_interfaces;
    status.unresolved_containers = answer.unresolved_containers;
    status.engine = answer.engine;
    status.config_pending = answer.config_pending;
    Ok(status)
}

/// The uplinks' XDP by what is attached.
fn xdp_of(attachments: &[Attachment]) -> Vec<UplinkXdp> {
    let uplinks: BTreeSet<&str> = attachments
        .iter()
        .filter(|at| at.role == "uplink")
        .map(|at| at.interface.as_str())
        .collect();
    let mode = |uplink: &str| {
        let mut here = attachments.iter().filter(|at| at.interface == uplink);
        here.find(|at| at.hook == "xdp").map_or("off", |at| &at.mode)
    };
    uplinks
        .into_iter()
        .map(|uplink| UplinkXdp {
            interface: uplink.to_owned(),
            mode: mode(uplink).to_owned(),
            reason: None,
        })
        .collect()
}

/// Prints it for people or as JSON.
///
/// # Errors
///
/// The output refuses.
pub fn render(status: &Status, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return output::json(out, status);
    }
    writeln!(out, "netmap {}", status.version)?;
    writeln!(out, "daemon      {}", daemon(&status.daemon))?;
    writeln!(out, "pins        {}", status.pin_dir)?;
    if let Some(pending) = &status.config_pending {
        writeln!(out, "config      not in force: {pending}")?;
    }
    if let Some(LoadedPrograms {
        digest,
        programs,
        is_sealed,
    }) = &status.data_plane
    {
        let seal = if *is_sealed { "sealed" } else { "not sealed" };
        writeln!(out, "programs    {programs} loaded, {digest}, {seal}")?;
    }
    if let Some(line) = kernel::line(&status.kernel) {
        writeln!(out, "kernel      {line}")?;
    }
    for (name, table) in &status.tables {
        writeln!(out, "{name:<10}  {} of {} entries", table.entries, table.capacity)?;
    }
    for uplink in &status.uplinks {
        writeln!(out, "uplink      {} {}", uplink.interface, carried(uplink))?;
    }
    for bridge in &status.bridges {
        writeln!(out, "bridge      {} {}", bridge.interface, kept(bridge))?;
    }
    if let Some(engine) = &status.engine {
        writeln!(out, "engine      {}", followed(engine))?;
    }
    if let Some(percent) = status.lifetimes_percent.filter(|percent| *percent < 100) {
        writeln!(
            out,
            "lifetimes   at {percent} %, but for established connections: the flow table is nearly full"
        )?;
    }
    for uplink in &status.xdp {
        let why = uplink
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        writeln!(out, "xdp         {} {}{why}", uplink.interface, uplink.mode)?;
    }
    for interface in &status.missing_interfaces {
        writeln!(
            out,
            "missing     interface {interface} was asked for and is not there"
        )?;
    }
    for container in &status.unresolved_containers {
        writeln!(
            out,
            "unresolved  container {container} is on no managed bridge; the proxy serves it"
        )?;
    }
    for sentence in &status.not_in_force {
        writeln!(out, "not so      {sentence}")?;
    }
    if status.attachments.is_empty() {
        return writeln!(out, "nothing is attached");
    }
    writeln!(out)?;
    output::table(
        out,
        ["INTERFACE", "ROLE", "HOOK", "MODE"].map(str::to_owned).to_vec(),
        status.attachments.iter().map(|at| {
            vec![
                at.interface.clone(),
                at.role.clone(),
                at.hook.clone(),
                at.mode.clone(),
            ]
        }),
    )
}

/// By which addresses containers are outside, and what is not carried for want of one.
fn carried(uplink: &Uplink) -> String {
    let family = |name, address: Option<IpAddr>| match address {
        Some(address) => format!("{name} as {address}"),
        None => format!("{name} not carried: it has no address"),
    };
    let (ipv4, ipv6) = (family("IPv4", uplink.ipv4), family("IPv6", uplink.ipv6));
    format!("{ipv4}; {ipv6}")
}

/// What is known of an engine.
fn followed(engine: &EngineStatus) -> String {
    let EngineStatus {
        socket,
        answers,
        networks,
        addresses,
        ports,
    } = engine;
    let state = if *answers { "answers" } else { "does not answer" };
    format!(
        "{socket} {state}; networks: {networks}; containers' addresses: {addresses}; published ports: {ports}"
    )
}

/// How a bridge's containers leave, and how they are reached.
fn kept(bridge: &Bridge) -> String {
    let mut leaves: Vec<String> = bridge.egress.iter().map(ToString::to_string).collect();
    leaves.extend(bridge.egress_missing.iter().map(|family| {
        let family = if *family == "ipv4" { "IPv4" } else { "IPv6" };
        format!("no {family} address yet")
    }));
    leaves.extend(bridge.not_masqueraded.iter().map(|family| {
        let family = if *family == "ipv4" { "IPv4" } else { "IPv6" };
        format!("{family} addresses of their own")
    }));
    if bridge.internal {
        return format!("internal: nobody leaves it; direct {}", bridge.direct);
    }
    let leaves = if leaves.is_empty() {
        "the uplink's address".to_owned()
    } else {
        leaves.join(", ")
    };
    let mappings = if bridge.nat == "eim" {
        let plural = if bridge.mappings == 1 { "" } else { "s" };
        format!(" ({} mapping{plural})", bridge.mappings)
    } else {
        String::new()
    };
    format!(
        "leaves by {leaves}; nat {}{mappings}; direct {}",
        bridge.nat, bridge.direct
    )
}

fn daemon(daemon: &Daemon) -> String {
    let (Some(pid), Some(uptime)) = (daemon.pid, daemon.uptime_seconds) else {
        let state = if daemon.running {
            "does not answer"
        } else {
            "not running"
        };
        return state.to_owned();
    };
    let uptime = output::duration(uptime);
    let version = daemon.version.as_deref().unwrap_or_default();
    format!("running for {uptime}, pid {pid}, version {version}")
}

#[cfg(test)]
mod tests {
    use super::{super::sample::Sample, *};

    fn rendered(status: &Status, json: bool) -> String {
        let mut out = Vec::new();
        render(status, json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn answer() -> DaemonStatus {
        DaemonStatus {
            version: "0.0.9".to_owned(),
            pid: 42,
            uptime_seconds: 3_723,
            attachments: Vec::new(),
            xdp: vec![UplinkXdp {
                interface: "eth0".to_owned(),
                mode: "off".to_owned(),
                reason: Some("veth is no physical network card".to_owned()),
            }],
            lifetimes_percent: 63,
            missing_interfaces: vec!["br9".to_owned()],
            unresolved_containers: vec!["172.30.1.9".parse().unwrap()],
            engine: Some(EngineStatus {
                socket: "/run/docker.sock".to_owned(),
                answers: true,
                networks: 2,
                addresses: 3,
                ports: 4,
            }),
            config_pending: Some("max_flows is another".to_owned()),
        }
    }

    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn json_has_every_key_while_the_daemon_runs() {
        let status = gather(Path::new("/pins"), true, Some(answer()), Some(&Sample)).unwrap();
        let expected = format!(
            "{}{VERSION}{}",
            r#"{"version":""#,
            concat!(
                r#"","daemon":{"running":true,"pid":42,"uptime_seconds":3723,"version":"0.0.9"},"pin_dir":"/pins","#,
                r#""attachments":[],"uplinks":[{"interface":"eth0","ipv4":"198.51.100.1","ipv6":"2001:db8::1"},"#,
                r#"{"interface":"eth1","ipv4":"192.0.2.1","ipv6":null}],"bridges":["#,
                r#"{"interface":"br0","nat":"edm","mappings":0,"direct":"trusted","egress":[],"egress_missing":[],"internal":false,"not_masqueraded":[]},"#,
                r#"{"interface":"br1","nat":"eim","mappings":3,"direct":"deny","egress":["198.51.100.7","198.51.100.8"],"#,
                r#""egress_missing":["ipv6"],"internal":false,"not_masqueraded":[]},"#,
                r#"{"interface":"br2","nat":"edm","mappings":0,"direct":"deny","egress":[],"egress_missing":[],"#,
                r#""internal":true,"not_masqueraded":["ipv6"]}],"xdp":[{"interface":"eth0","mode":"off","#,
                r#""reason":"veth is no physical network card"}],"tables":{"flows":{"entries":5,"capacity":262144},"#,
                r#""flows6":{"entries":2,"capacity":262144},"#,
                r#""rules":{"entries":2,"capacity":65535}},"lifetimes_percent":63,"missing_interfaces":["br9"],"#,
                r#""unresolved_containers":["172.30.1.9"],"engine":{"socket":"/run/docker.sock","answers":true,"networks":2,"#,
                r#""addresses":3,"ports":4},"config_pending":"max_flows is another","data_plane":null,"#,
                r#""kernel":{"release":"","features":[]},"not_in_force":[]}"#,
                "\n"
            )
        );
        assert_eq!(rendered(&status, true), expected);
        let text = rendered(&status, false);
        assert!(
            text.contains("bridge      br2 internal: nobody leaves it; direct deny\n"),
            "{text}"
        );
        assert!(
            text.contains("engine      /run/docker.sock answers; networks: 2; containers' addresses: 3; published ports: 4\n"),
            "{text}"
        );
        assert!(
            text.contains("xdp         eth0 off: veth is no physical network card\n"),
            "{text}"
        );
        assert!(
            text.contains("lifetimes   at 63 %, but for established connections"),
            "{text}"
        );
        assert!(
            text.contains("running for 1h 2m, pid 42, version 0.0.9"),
            "{text}"
        );
        assert!(
            text.contains("interface br9 was asked for and is not there"),
            "{text}"
        );
    }

    #[test]
    fn what_is_attached_is_told_without_the_daemon() {
        let status = gather(Path::new("/pins"), false, None, Some(&Sample)).unwrap();
        assert_eq!(status.daemon, Daemon::default());
        assert!(rendered(&status, true).contains(concat!(
            r#""daemon":{"running":false,"pid":null,"uptime_seconds":null,"version":null}"#,
            r#","pin_dir":"/pins","attachments":[{"interface":"eth0","role":"uplink","hook":"ingress","mode":"tcx"}]"#,
            r#","uplinks":[{"interface":"eth0","ipv4":"198.51.100.1","ipv6":"2001:db8::1"},"#,
            r#"{"interface":"eth1","ipv4":"192.0.2.1","ipv6":null}]"#,
            r#","bridges":[{"interface":"br0","nat":"edm","mappings":0,"direct":"trusted","egress":[],"egress_missing":[],"internal":false,"not_masqueraded":[]},"#,
            r#"{"interface":"br1","nat":"eim","mappings":3,"direct":"deny","egress":["198.51.100.7","198.51.100.8"],"#,
            r#""egress_missing":["ipv6"],"internal":false,"not_masqueraded":[]},"#,
            r#"{"interface":"br2","nat":"edm","mappings":0,"direct":"deny","egress":[],"egress_missing":[],"#,
            r#""internal":true,"not_masqueraded":["ipv6"]}]"#,
            r#","xdp":[{"interface":"eth0","mode":"off","reason":null}]"#,
        )));
        let text = rendered(&status, false);
        assert!(
            text.contains("not running")
                && text.contains("xdp         eth0 off\n")
                && text.contains("flows       5 of 262144 entries")
                && text.contains("flows6      2 of 262144 entries")
                && text.contains("uplink      eth0 IPv4 as 198.51.100.1; IPv6 as 2001:db8::1\n")
                && text.contains("uplink      eth1 IPv4 as 192.0.2.1; IPv6 not carried: it has no address\n"),
            "{text}"
        );
        assert!(
            text.contains("bridge      br0 leaves by the uplink's address; nat edm; direct trusted\n")
                && text.contains(
                    "bridge      br1 leaves by 198.51.100.7, 198.51.100.8, no IPv6 address yet; nat eim (3 mappings); direct deny\n"
                ),
            "{text}"
        );
        assert!(text.ends_with("eth0       uplink  ingress  tcx\n"), "{text}");
    }

    #[test]
    fn nothing_at_all_is_told_too() {
        let status = gather(Path::new("/pins"), false, None, None::<&Sample>).unwrap();
        assert!(
            rendered(&status, true)
                .contains(r#""attachments":[],"uplinks":[],"bridges":[],"xdp":[],"tables":{},"#)
        );
        assert!(rendered(&status, false).ends_with("nothing is attached\n"));
    }
}
