//! What everybody has at hand: `ping`, `curl`, `dig`, `traceroute`, `mtr` and `nmap`, and what they say.

use std::{
    net::{IpAddr, SocketAddr},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Namespace, Scene, command, rows::Who};

/// How many seconds a program may take.
const SECONDS: &str = "30";

/// A command line for one of the lab's machines; the host's own programs run in netmap's control group.
pub fn of(scene: &Scene, who: Who, line: &str) -> Command {
    let mut command = match who {
        Who::Host => scene.netmap.host_command("timeout"),
        who => who.namespace(&scene.lab).command("timeout"),
    };
    command.arg(SECONDS).args(line.split_whitespace());
    command
}

/// The same for any machine.
pub fn within(namespace: &Namespace, line: &str) -> Command {
    let mut command = namespace.command("timeout");
    command.arg(SECONDS).args(line.split_whitespace());
    command
}

/// How many answers came to so many pings of `bytes` each.
pub fn pings(mut command: Command, to: IpAddr, count: u32, more: &str) -> Result<u32> {
    command.args(["ping", "-n", "-i", "0.01", "-W", "2", "-c"]);
    command.args([&count.to_string(), &to.to_string()]);
    command.args(more.split_whitespace());
    // It fails where no answer comes.
    let Output { stdout, stderr, .. } = command.output()?;
    let (said, complaint) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let summary = said.lines().find(|line| line.contains("packets transmitted"));
    let received = summary.and_then(|line| line.split(", ").nth(1)?.split(' ').next()?.parse().ok());
    received.with_context(|| format!("ping said {said:?} and {complaint:?}"))
}

/// The page that the scenes' servers have at `path`, and the client's address in it.
pub fn curl(command: &mut Command, to: SocketAddr, path: &str) -> Result<IpAddr> {
    command.args(["curl", "--silent", "--show-error", "--globoff", "--noproxy", "*"]);
    command
        .args(["--max-time", "10"])
        .arg(format!("http://{to}{path}"));
    let page = command::run(command)?;
    ensure!(page.contains(&format!("you asked for: {path}\n")), "{page}");
    let client = page.lines().find_map(|line| line.strip_prefix("client: "));
    client
        .and_then(|client| client.parse().ok())
        .with_context(|| format!("the page does not say who the client is: {page}"))
}

/// The text that a server of [`crate::dns`] has for `name`.
pub fn dig(command: &mut Command, server: SocketAddr, name: &str, more: &str) -> Result<String> {
    command.args(["dig", "+short", "+tries=1", "+time=5", "-t", "TXT"]);
    command.args([
        &format!("@{}", server.ip()),
        "-p",
        &server.port().to_string(),
        name,
    ]);
    let said = command::run(command.args(more.split_whitespace()))?;
    let pieces: Vec<_> = said
        .trim()
        .split("\" \"")
        .map(|piece| piece.trim_matches('"'))
        .collect();
    Ok(pieces.concat())
}

/// The routers on the way and who is asked, as `traceroute` lists them; `how` is its kind of probes.
pub fn traceroute(command: &mut Command, to: IpAddr, how: &str) -> Result<Vec<String>> {
    command.args(["traceroute", "-n", "-q", "1", "-w", "3", "-m", "6"]);
    let said = command::run(command.args(how.split_whitespace()).arg(to.to_string()))?;
    // "traceroute to ..", then a line a hop.
    let hops = said.lines().skip(1).map(|line| line.split_whitespace().nth(1));
    hops.map(|hop| hop.map(str::to_owned).with_context(|| said.clone()))
        .collect()
}

/// The same of `mtr`, which says how much each lost, too: nothing.
pub fn mtr(command: &mut Command, to: IpAddr, how: &str) -> Result<Vec<String>> {
    command.args(["mtr", "-n", "--report", "-c", "2", "-i", "0.1", "-G", "1"]);
    let said = command::run(command.args(how.split_whitespace()).arg(to.to_string()))?;
    let mut hops = Vec::new();
    for line in said.lines().filter(|line| line.contains("|--")) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(hop), Some(lost)) = (words.next(), words.next()) else {
            bail!("mtr said {said}");
        };
        ensure!(lost == "0.0%", "mtr lost some: {said}");
        hops.push(hop.to_owned());
    }
    Ok(hops)
}

/// What `nmap` finds the state of each port to be, with one way to ask (`-sS`).
pub fn nmap(command: &mut Command, to: IpAddr, how: &str, ports: &[u16]) -> Result<Vec<(u16, String)>> {
    let wanted: Vec<_> = ports.iter().map(ToString::to_string).collect();
    command.args(["nmap", "-n", "-Pn", "-oG", "-", "--max-retries", "2", how]);
    if to.is_ipv6() {
        command.arg("-6");
    }
    let said = command::run(command.args(["-p", &wanted.join(",")]).arg(to.to_string()))?;
    let found = said
        .lines()
        .find_map(|line| line.split_once("Ports: "))
        .with_context(|| format!("nmap said {said}"))?
        .1;
    let found = found.split('\t').next().unwrap_or_default().split(", ");
    let state = |entry: &str| {
        let mut parts = entry.trim().split('/');
        Some((parts.next()?.parse().ok()?, parts.next()?.to_owned()))
    };
    found
        .map(|entry| state(entry).with_context(|| said.clone()))
        .collect()
}
