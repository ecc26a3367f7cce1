//! Docker's own rules, by either iptables.
//!
//! They are those that Docker 28 and 29 document for a published port with the userland proxy on
//! (`integration/network/bridge/iptablesdoc` of moby), for one bridge and one container.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use netmap_tests::{Lab, command, topology::C1};

use crate::ports::{Port, Ports};

/// Which iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The one that makes nftables of its rules, every distribution's default.
    Nft,
    /// The one with tables of its own in the kernel.
    Legacy,
}

impl Flavour {
    /// Loads all rules at once.
    pub(crate) fn install(self, lab: &Lab, ports: Ports) -> Result<Self> {
        let restore = format!("iptables-{}-restore", self.name());
        command::feed(&mut lab.host.command(restore), &tables(ports))?;
        Ok(self)
    }

    /// Adds a port's rules as Docker does: each is looked for first.
    pub(crate) fn publish(self, lab: &Lab, port: Port) -> Result<()> {
        for rule in rules(port) {
            ensure!(!self.has(lab, &rule)?, "the port is published already");
            self.run(lab, "-A", &rule)?;
        }
        Ok(())
    }

    /// Removes them the same way.
    pub(crate) fn unpublish(self, lab: &Lab, port: Port) -> Result<()> {
        for rule in rules(port) {
            ensure!(self.has(lab, &rule)?, "the port is not published");
            self.run(lab, "-D", &rule)?;
        }
        Ok(())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }

    fn has(self, lab: &Lab, rule: &Rule) -> Result<bool> {
        let output = self.command(lab, "-C", rule).output()?;
        Ok(output.status.success())
    }

    fn run(self, lab: &Lab, action: &str, rule: &Rule) -> Result<()> {
        command::run(&mut self.command(lab, action, rule)).map(drop)
    }

    fn command(self, lab: &Lab, action: &str, rule: &Rule) -> std::process::Command {
        let mut command = lab.host.command(format!("iptables-{}", self.name()));
        command.args(["--wait", "-t", rule.table, action, "DOCKER"]);
        command.args(rule.matches.split(' '));
        command
    }
}

/// A rule of chain DOCKER.
struct Rule {
    table: &'static str,
    matches: String,
}

/// The rules of one port.
fn rules(port: Port) -> [Rule; 2] {
    let (transport, target) = (port.transport.name(), port.target());
    [
        Rule {
            table: "nat",
            matches: format!(
                "! -i br1 -p {transport} -m {transport} --dport {} -j DNAT --to-destination {target}",
                port.host
            ),
        },
        Rule {
            table: "filter",
            matches: format!(
                "-d {C1}/32 ! -i br1 -o br1 -p {transport} -m {transport} --dport {} -j ACCEPT",
                port.container
            ),
        },
    ]
}

/// All tables, as `iptables-restore` reads them.
fn tables(ports: Ports) -> String {
    let (mut nat, mut filter) = (String::new(), String::new());
    for port in ports.all() {
        let [translate, accept] = rules(port);
        // Writing to a string does not fail.
        let _written = writeln!(nat, "-A DOCKER {}", translate.matches);
        let _written = writeln!(filter, "-A DOCKER {}", accept.matches);
    }
    format!(
        "*raw\n\
         :PREROUTING ACCEPT [0:0]\n\
         :OUTPUT ACCEPT [0:0]\n\
         -A PREROUTING -d {C1}/32 ! -i br1 -j DROP\n\
         COMMIT\n\
         *nat\n\
         :PREROUTING ACCEPT [0:0]\n\
         :INPUT ACCEPT [0:0]\n\
         :OUTPUT ACCEPT [0:0]\n\
         :POSTROUTING ACCEPT [0:0]\n\
         :DOCKER - [0:0]\n\
         -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
         -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
         -A POSTROUTING -s 172.30.1.0/24 ! -o br1 -j MASQUERADE\n\
         {nat}\
         COMMIT\n\
         *filter\n\
         :INPUT ACCEPT [0:0]\n\
         :FORWARD DROP [0:0]\n\
         :OUTPUT ACCEPT [0:0]\n\
         :DOCKER - [0:0]\n\
         :DOCKER-BRIDGE - [0:0]\n\
         :DOCKER-CT - [0:0]\n\
         :DOCKER-FORWARD - [0:0]\n\
         :DOCKER-INTERNAL - [0:0]\n\
         :DOCKER-USER - [0:0]\n\
         -A FORWARD -j DOCKER-USER\n\
         -A FORWARD -j DOCKER-FORWARD\n\
         {filter}\
         -A DOCKER ! -i br1 -o br1 -j DROP\n\
         -A DOCKER-BRIDGE -o br1 -j DOCKER\n\
         -A DOCKER-CT -o br1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A DOCKER-FORWARD -j DOCKER-CT\n\
         -A DOCKER-FORWARD -j DOCKER-INTERNAL\n\
         -A DOCKER-FORWARD -j DOCKER-BRIDGE\n\
         -A DOCKER-FORWARD -i br1 -j ACCEPT\n\
         COMMIT\n"
    )
}
