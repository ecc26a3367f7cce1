//! netmap itself: whether it runs, who is in front of it, whom it does not find.

use std::{net::IpAddr, path::Path};

use netmap_common::maps::Role;

use super::{Finding, Patient};
use crate::{
    api::client::ClientError,
    dataplane::{self, Attachment, Direction, Place},
    sys::{Xdp, xdp_of},
};

/// What is wrong with it.
pub(super) fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(kernel());
    match &patient.status {
        Ok(status) => {
            let containers = status.unresolved_containers.iter();
            findings.extend(containers.map(|container| unresolved(patient, *container)));
            findings.extend(status.missing_interfaces.iter().map(|interface| Finding {
                id: "missing-interface",
                found: format!("{interface}, which netmap was told to attach to, is not there"),
                means: "nothing is carried by it until it comes",
                mend: format!("ip link show dev {interface}"),
            }));
        }
        Err(ClientError::NotRunning(_)) => findings.push(stopped(&patient.attachments)),
        Err(error) => findings.push(Finding {
            id: "daemon",
            found: format!("netmap's daemon does not answer: {error}"),
            means: "ports are neither published nor taken back until it does; what is carried goes on",
            mend: "systemctl restart netmap".to_owned(),
        }),
    }
    findings.extend(patient.attachments.iter().filter_map(in_front));
    let foreign = |attachment| foreign_xdp(attachment, &patient.attachments);
    findings.extend(patient.attachments.iter().filter_map(foreign));
    findings
}

fn stopped(attachments: &[Attachment]) -> Finding {
    let (found, means) = if attachments.is_empty() {
        (
            "netmap does not run, and nothing is attached",
            "nothing is published, and Docker starts no container with published ports when it was set up for netmap",
        )
    } else {
        (
            "netmap's daemon does not run; its programs are attached",
            "what is published goes on, but nothing can be published or taken back, the proxy serves nobody, and flows do not \
             expire",
        )
    };
    let has_unit = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .any(|folder| Path::new(folder).join("netmap.service").exists());
    let mend = if has_unit {
        "systemctl start netmap"
    } else {
        "netmap run --docker &"
    };
    Finding {
        id: "daemon",
        found: found.to_owned(),
        means,
        mend: mend.to_owned(),
    }
}

fn kernel() -> Option<Finding> {
    let feature = dataplane::missing_feature()?;
    Some(Finding {
        id: "kernel",
        found: format!("this kernel lacks {feature}"),
        means: "netmap does not start without it; it is tested from Linux 6.1 on",
        mend: "apt-get install linux-image-amd64 && reboot".to_owned(),
    })
}

fn in_front(attachment: &Attachment) -> Option<Finding> {
    let Place::Interface {
        name: Some(interface),
        direction,
        ..
    } = &attachment.place
    else {
        return None;
    };
    if attachment.in_front.is_empty() {
        return None;
    }
    let direction = direction.name();
    Some(Finding {
        id: "program-in-front",
        found: format!(
            "{} sees packets of {interface} ({direction}) before netmap does",
            attachment.in_front.join(" and ")
        ),
        means: "it may drop or redirect packets of published ports, and netmap never counts them",
        mend: format!("bpftool net detach tcx_{direction} dev {interface}"),
    })
}

/// An XDP program of somebody else's at an uplink: all of XDP comes before TC.
fn foreign_xdp(attachment: &Attachment, all: &[Attachment]) -> Option<Finding> {
    let Place::Interface {
        index,
        name: Some(interface),
        role: Role::Uplink,
        direction: Direction::Ingress,
    } = &attachment.place
    else {
        return None;
    };
    let (mode, program) = xdp_of(*index).ok()?;
    let is_ours = all.iter().any(|other| {
        let link = other.link.as_ref();
        matches!(other.place, Place::Wire { .. }) && link.is_some_and(|link| link.program_id == program)
    });
    if mode == Xdp::Off || is_ours {
        return None;
    }
    let kind = match mode {
        Xdp::Generic => "xdpgeneric",
        _ => "xdp",
    };
    let name = mode.name();
    Some(Finding {
        id: "xdp-in-front",
        found: format!("{interface} runs an XDP program that is not netmap's ({name}, program {program})"),
        means: "it may drop or redirect packets of published ports, and netmap never counts them",
        mend: format!("ip link set dev {interface} {kind} off"),
    })
}

fn unresolved(patient: &Patient, container: IpAddr) -> Finding {
    let published = patient
        .published
        .iter()
        .filter(|(_, target)| *target == container);
    let mend: Vec<_> = published
        .map(|(spec, _)| format!("netmap unpublish {spec}"))
        .collect();
    Finding {
        id: "no-endpoint",
        found: format!(
            "{container}, to which {} rules publish, is behind no bridge that netmap knows",
            mend.len()
        ),
        means: "clients get no answer, or one by the slower proxy: the container is gone or has another address now, or its bridge \
            is not among those of `netmap run`",
        mend: mend.join(" && "),
    }
}
