//! One of every event.

use super::{Endpoint, Ends, Event, FlowOpened, Happening, Missed, Packet, Rule, Watching};
use crate::api::{flows::FlowRow, types::Attachment};

/// All of them, in the order in which they are declared.
pub(crate) fn all() -> Vec<Event> {
    let happenings = [
        Happening::Watching(Watching {
            version: "1.2.3".to_owned(),
        }),
        Happening::PacketDropped(dropped()),
        Happening::PacketPassed(passed()),
        Happening::FlowOpened(FlowOpened {
            protocol: "tcp".to_owned(),
            kind: "published".to_owned(),
            interface: "up0".to_owned(),
            out: Some("veth1".to_owned()),
            original: ends("192.0.2.1", 8_080),
            translated: ends("172.30.1.2", 80),
        }),
        Happening::FlowClosed(FlowRow {
            protocol: "tcp".into(),
            kind: "published".into(),
            way: "peer".into(),
            state: "closed".into(),
            original: ends("192.0.2.1", 8_080),
            translated: ends("172.30.1.2", 80),
            age_seconds: 65,
            idle_seconds: 2,
            packets_original: 6,
            bytes_original: 482,
            packets_reply: 5,
            bytes_reply: 607,
            rule: Some(1),
        }),
        Happening::RulePublished(rule()),
        Happening::RuleUnpublished(rule()),
        Happening::EndpointFound(endpoint()),
        Happening::EndpointLost(endpoint()),
        Happening::Attached(attachment()),
        Happening::Detached(attachment()),
        Happening::Missed(Missed { count: 7 }),
    ];
    let events = happenings.into_iter().map(|what| Event {
        time: "2026-11-23T18:31:02.123456Z".to_owned(),
        what,
    });
    events.collect()
}

fn dropped() -> Packet {
    Packet {
        reason: "not-allowed".to_owned(),
        hook: "uplink-in".to_owned(),
        interface: "up0".to_owned(),
        protocol: Some("tcp".to_owned()),
        src: "10.0.0.9".parse().ok(),
        sport: Some(4_242),
        dst: "192.0.2.1".parse().ok(),
        dport: Some(8_080),
        length: 74,
        frame: Some("0200ff".to_owned()),
    }
}

fn passed() -> Packet {
    Packet {
        reason: "other-protocol".to_owned(),
        protocol: Some("47".to_owned()),
        src: "fd00::9".parse().ok(),
        sport: None,
        dst: "fd00::1".parse().ok(),
        dport: None,
        length: 90,
        frame: None,
        ..dropped()
    }
}

fn ends(dst: &str, dport: u16) -> Ends {
    Ends {
        src: "10.0.0.9".parse().unwrap(),
        sport: 4_242,
        dst: dst.parse().unwrap(),
        dport,
    }
}

fn rule() -> Rule {
    Rule {
        host: "0.0.0.0".parse().unwrap(),
        port: 8_080,
        end: 8_081,
        protocol: "tcp".to_owned(),
        container: "172.30.1.2".parse().unwrap(),
        container_port: 80,
        container_end: 81,
        allow: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        address: "172.30.1.2".parse().unwrap(),
        way: "peer".to_owned(),
        interface: Some("veth1".to_owned()),
    }
}

fn attachment() -> Attachment {
    Attachment {
        interface: "veth1".to_owned(),
        role: "port".to_owned(),
        hook: "ingress".to_owned(),
        mode: "tcx".to_owned(),
    }
}
