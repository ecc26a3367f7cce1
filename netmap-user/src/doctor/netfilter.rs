//! What stands in netfilter, by the programs that list it. Where one is missing, it has made no rules either.

use std::{collections::BTreeSet, fs, process::Command};

use super::Finding;

/// Chains that ufw has while it is active.
const UFW_CHAIN: &str = ":ufw-user-input ";

/// What of it does harm.
pub(super) fn examine() -> Vec<Finding> {
    let mut findings = Vec::new();
    for program in programs() {
        let Some(saved) = output(program, &[]) else {
            continue;
        };
        findings.extend(docker(program, &saved));
        findings.extend(policy(program, &saved));
        if saved.contains(UFW_CHAIN) && program == "iptables-save" {
            findings.push(Finding {
                id: "ufw",
                found: "ufw is active".to_owned(),
                means: "its rules do not see what netmap's programs carry, so they protect no published port: `netmap publish \
                    --allow` does. They do see what the proxy carries from outside (clients of IPv6 to containers of IPv4), \
                    and may drop it. Who wants ufw for the host's own ports keeps it and says --ignore ufw",
                mend: "ufw disable".to_owned(),
            });
        }
    }
    let tables = output("nft", &["list", "tables"]).unwrap_or_default();
    for table in tables.lines() {
        findings.extend(nftables(table));
    }
    findings
}

/// The tables of iptables are there twice, in nftables and of old; to list the old ones would load their modules.
fn programs() -> Vec<&'static str> {
    let mut programs = vec!["iptables-save", "ip6tables-save"];
    for (list, program) in [
        ("ip_tables_names", "iptables-legacy-save"),
        ("ip6_tables_names", "ip6tables-legacy-save"),
    ] {
        let names = fs::read_to_string(format!("/proc/thread-self/net/{list}")).unwrap_or_default();
        if !names.trim().is_empty() {
            programs.push(program);
        }
    }
    programs
}

/// Chains that a Docker has made which publishes, or has published, by itself.
fn docker(program: &str, saved: &str) -> Option<Finding> {
    let chains = saved.lines().filter(|line| line.starts_with(":DOCKER")).count();
    if chains == 0 {
        return None;
    }
    let users = saved
        .lines()
        .filter(|line| line.starts_with("-A DOCKER-USER ") && *line != "-A DOCKER-USER -j RETURN")
        .count();
    let own = match users {
        0 => String::new(),
        _ => format!(
            ", and {users} rules of yours in DOCKER-USER (say them by `netmap publish --allow` first)"
        ),
    };
    Some(Finding {
        id: "docker-chains",
        found: format!("{program} lists {chains} chains of Docker's{own}"),
        means: "left over from Docker's own way, they translate what the host's stack still sees to containers that may be gone, \
            and drop what it forwards; while Docker runs its own way, see docker-settings first",
        mend: format!(
            "{program} | grep -vE '{}' | {}",
            pattern(&bridges(saved)),
            program.replace("-save", "-restore")
        ),
    })
}

/// The bridges that Docker's own rules name.
fn bridges(saved: &str) -> BTreeSet<&str> {
    let docker = saved.lines().filter(|line| {
        [
            "-A DOCKER -i ",
            "-A DOCKER ! -i ",
            "-A DOCKER-ISOLATION-STAGE-1 -i ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    });
    let named = docker.filter_map(|line| {
        let (_, rest) = line.split_once("-i ")?;
        rest.split(' ').next()
    });
    let mut bridges: BTreeSet<_> = named.collect();
    bridges.insert("docker0");
    bridges
}

/// Lines that are Docker's: its chains and jumps there, what names its bridges, and containers that ask themselves.
fn pattern(bridges: &BTreeSet<&str>) -> String {
    let bridges: Vec<_> = bridges.iter().copied().collect();
    format!(
        "DOCKER| -[io] ({}) | -s ([0-9a-f.:/]+) -d \\2 .*-j MASQUERADE",
        bridges.join("|")
    )
}

/// A host that forwards nothing, as Docker leaves it.
fn policy(program: &str, saved: &str) -> Option<Finding> {
    saved.contains("\n:FORWARD DROP ").then(|| Finding {
        id: "forward-drop",
        found: format!("{program} lists the policy DROP for FORWARD"),
        means: "what the host's stack forwards is dropped: connections that began before netmap did, containers whose place netmap \
            does not know, and whatever else this host routes. What netmap's programs carry is not affected",
        mend: format!("{} -P FORWARD ACCEPT", program.trim_end_matches("-save")),
    })
}

/// A line of `nft list tables`.
fn nftables(table: &str) -> Option<Finding> {
    match table {
        "table ip docker-bridges" | "table ip6 docker-bridges" => Some(Finding {
            id: "docker-table",
            found: format!("nftables has {table}"),
            means: "left over from Docker's own way, it translates what the host's stack still sees to containers that may be gone",
            mend: format!("nft delete {table}"),
        }),
        "table inet firewalld" => Some(Finding {
            id: "firewalld",
            found: "firewalld is active".to_owned(),
            means: "its zones do not see what netmap's programs carry, so they protect no published port: `netmap publish --allow` \
                does. They do see what the proxy carries from outside (clients of IPv6 to containers of IPv4), and may reject it. \
                Who wants firewalld for the host's own ports keeps it and says --ignore firewalld",
            mend: "systemctl disable --now firewalld".to_owned(),
        }),
        _ => None,
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
        -A POSTROUTING -s 172.30.1.0/24 ! -o docker0 -j MASQUERADE\n\
        -A POSTROUTING -s 172.30.1.2/32 -d 172.30.1.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n\
        -A DOCKER -i br-5 -j RETURN\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n\
        -A DOCKER-USER -s 10.0.0.0/8 -j DROP\nCOMMIT\n";

    #[test]
    fn dockers_lines_are_told_from_others() {
        let finding = docker("iptables-save", SAVED).unwrap();
        assert_eq!(
            finding.mend,
            "iptables-save | grep -vE 'DOCKER| -[io] (br-5|docker0) | -s ([0-9a-f.:/]+) -d \\2 .*-j MASQUERADE' | iptables-restore"
        );
        assert!(finding.found.contains("2 chains"), "{}", finding.found);
        assert!(finding.found.contains("1 rules of yours"), "{}", finding.found);
        assert_eq!(
            docker("iptables-save", "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"),
            None
        );
    }

    #[test]
    fn a_policy_is_of_the_forward_chain_alone() {
        assert_eq!(
            policy("ip6tables-save", SAVED).unwrap().mend,
            "ip6tables -P FORWARD ACCEPT"
        );
        assert_eq!(
            policy(
                "iptables-save",
                "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n"
            ),
            None
        );
    }
}
