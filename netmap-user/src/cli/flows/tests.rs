use netmap_common::maps::{RuleId, Seconds};

use super::Flows;
use crate::cli::{
    args::{FlowsArgs, KindName, ProtocolName},
    read::Tables as _,
    sample::{NOW, Sample},
};

fn flows() -> Flows {
    Flows::pair(Sample.flows().unwrap(), NOW)
}

fn json(flows: &Flows, limit: Option<usize>) -> String {
    let mut out = Vec::new();
    flows.write_json(limit, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const PUBLISHED: &str = concat!(
    r#"{"protocol":"tcp","kind":"published","way":"peer","state":"established","#,
    r#""original":{"src":"203.0.113.9","sport":41000,"dst":"198.51.100.1","dport":8080},"#,
    r#""translated":{"src":"203.0.113.9","sport":41000,"dst":"172.30.1.2","dport":80},"#,
    r#""age_seconds":100,"idle_seconds":2,"packets_original":12,"bytes_original":1200,"#,
    r#""packets_reply":10,"bytes_reply":90000,"rule":1}"#
);

const EGRESS: &str = concat!(
    r#"{"protocol":"icmp","kind":"egress","way":"neigh","state":"unanswered","#,
    r#""original":{"src":"172.30.1.2","sport":7,"dst":"192.0.2.53","dport":0},"#,
    r#""translated":{"src":"198.51.100.1","sport":7,"dst":"192.0.2.53","dport":0},"#,
    r#""age_seconds":9,"idle_seconds":9,"packets_original":1,"bytes_original":84,"#,
    r#""packets_reply":0,"bytes_reply":0,"rule":null}"#
);

#[test]
fn json_has_every_key_and_the_last_packet_first() {
    let expected = format!("{{\"flows\":[\n{PUBLISHED},\n{EGRESS}\n],\"total\":2,\"entries\":5}}\n");
    assert_eq!(json(&flows(), None), expected);
}

#[test]
fn no_flows_are_an_empty_list() {
    let none = Flows::pair(Vec::new(), NOW);
    let value: serde_json::Value = serde_json::from_str(&json(&none, None)).unwrap();
    assert_eq!(value, serde_json::json!({"flows": [], "total": 0, "entries": 0}));
}

#[test]
fn a_limit_cuts_the_list_and_not_the_total() {
    let expected = format!("{{\"flows\":[\n{PUBLISHED}\n],\"total\":2,\"entries\":5}}\n");
    assert_eq!(json(&flows(), Some(1)), expected);
}

#[test]
fn filters_choose_by_protocol_kind_and_address() {
    let choose = |args: FlowsArgs| -> Vec<String> {
        let flows = flows().filtered(&args);
        flows.rows(None).map(|row| row.protocol.to_owned()).collect()
    };
    let args = |text: &str| FlowsArgs {
        address: Some(text.parse().unwrap()),
        ..FlowsArgs::default()
    };
    assert_eq!(choose(args("172.30.1.2")), ["tcp", "icmp"]);
    assert_eq!(choose(args("203.0.113.9")), ["tcp"]);
    assert_eq!(choose(args("203.0.113.10")), [""; 0]);
    let udp = FlowsArgs {
        protocol: Some(ProtocolName::Udp),
        ..FlowsArgs::default()
    };
    assert_eq!(choose(udp), [""; 0]);
    let egress = FlowsArgs {
        kind: Some(KindName::Egress),
        ..FlowsArgs::default()
    };
    assert_eq!(choose(egress), ["icmp"]);
}

#[test]
fn entries_without_their_own_twin_are_no_flow() {
    let mut entries = Sample.flows().unwrap();
    for (_, flow) in &mut entries {
        if flow.rule == RuleId(1) && flow.packets == 10 {
            flow.nonce += 1;
        }
    }
    let flows = Flows::pair(entries, Seconds(0));
    assert!(flows.rows(None).all(|row| row.kind == "egress"));
}

#[test]
fn the_table_has_a_line_a_flow() {
    let mut out = Vec::new();
    flows().write_table(None, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        [
            "tcp",
            "published",
            "established",
            "203.0.113.9:41000->198.51.100.1:8080",
            "203.0.113.9:41000->172.30.1.2:80",
            "peer",
            "2s",
            "12/10",
            "1200/90000"
        ]
    );
    assert_eq!(lines[3], "2 of 2 flows, 5 entries in the table");
}
