//! What is not in force.

use super::Status;

/// A sentence each, of what the rest of the status says.
pub(super) fn of(status: &Status) -> Vec<String> {
    let mut told = Vec::new();
    if status.attachments.is_empty() {
        return told;
    }
    if !status.daemon.running {
        told.push("no daemon runs: idle flows are not ended, and the proxy serves nobody".to_owned());
    }
    if let Some(version) = &status.daemon.version
        && version != status.version
    {
        told.push(format!(
            "the daemon is version {version}, and this command {}: restart it",
            status.version
        ));
    }
    let clsact = status.attachments.iter().filter(|at| at.mode == "clsact").count();
    if clsact > 0 {
        told.push(format!(
            "{clsact} programs are attached by clsact: tcx came with Linux 6.6"
        ));
    }
    for interface in &status.missing_interfaces {
        told.push(format!("{interface} is not there: nothing is attached to it"));
    }
    for container in &status.unresolved_containers {
        told.push(format!(
            "what is published to {container} goes by the proxy: no managed bridge has it"
        ));
    }
    for uplink in &status.uplinks {
        for (family, address) in [("IPv4", uplink.ipv4), ("IPv6", uplink.ipv6)] {
            if address.is_none() {
                let name = &uplink.interface;
                told.push(format!("{family} is not carried by {name}: it has no address"));
            }
        }
    }
    for bridge in status
        .bridges
        .iter()
        .filter(|bridge| !bridge.egress_missing.is_empty())
    {
        let (name, families) = (&bridge.interface, bridge.egress_missing.join(" and "));
        told.push(format!(
            "{families} does not leave {name}: this host has not the address of --egress"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{super::*, of};
    use crate::cli::sample::Sample;

    #[test]
    fn what_is_missing_behind_or_not_carried_is_told() {
        let mut status = gather(Path::new("/pins"), false, None, Some(&Sample)).unwrap();
        assert_eq!(
            of(&status),
            [
                "no daemon runs: idle flows are not ended, and the proxy serves nobody",
                "IPv6 is not carried by eth1: it has no address",
                "ipv6 does not leave br1: this host has not the address of --egress",
            ]
        );
        status.daemon.running = true;
        status.daemon.version = Some("0.0.1".to_owned());
        status.attachments[0].mode = "clsact".to_owned();
        status.missing_interfaces.push("br9".to_owned());
        let told = of(&status);
        assert!(told[0].starts_with("the daemon is version 0.0.1"), "{told:?}");
        assert!(
            told[1].starts_with("1 programs are attached by clsact"),
            "{told:?}"
        );
        assert!(told[2].starts_with("br9 is not there"), "{told:?}");
        status.attachments.clear();
        assert_eq!(
            of(&status),
            [""; 0],
            "nothing runs, and nothing is to be expected"
        );
    }
}
