use netmap_common::maps::{Flow, FlowKey, RuleId, Seconds, Side};

use super::list;
use crate::{
    api::{flows::Choice, types::EngineNames},
    cli::{
        args::{FlowFilterArgs, FlowOrder, FlowsArgs, KindName, ProtocolName},
        sample::{FlowTables, NOW, Sample, entries, entries6},
    },
    spec,
};

fn listed(entries: &[(FlowKey, Flow)], args: &FlowsArgs) -> String {
    let v4 = entries.to_vec();
    listed_of(&FlowTables { v4, v6: Vec::new() }, args)
}

fn listed_of(tables: &FlowTables, args: &FlowsArgs) -> String {
    let mut out = Vec::new();
    let choice = choice(args);
    list(tables, NOW, (args, &choice), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn choice(args: &FlowsArgs) -> Choice {
    Choice::new(&args.filter.filter(), &EngineNames::default(), |_| None).unwrap()
}

fn json(entries: &[(FlowKey, Flow)], args: &FlowsArgs) -> String {
    let json = true;
    listed(entries, &FlowsArgs { json, ..args.clone() })
}

fn limited(limit: usize) -> FlowsArgs {
    FlowsArgs {
        limit: Some(limit),
        ..FlowsArgs::default()
    }
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
fn json_has_every_key_and_the_flows_in_the_order_of_the_table() {
    let expected = format!("{{\"flows\":[\n{EGRESS},\n{PUBLISHED}\n],\"total\":2,\"entries\":5}}\n");
    assert_eq!(json(&entries(), &FlowsArgs::default()), expected);
}

#[test]
fn no_flows_are_an_empty_list() {
    let value: serde_json::Value = serde_json::from_str(&json(&[], &FlowsArgs::default())).unwrap();
    assert_eq!(value, serde_json::json!({"flows": [], "total": 0, "entries": 0}));
}

#[test]
fn with_a_limit_the_last_packet_comes_first() {
    let expected = format!("{{\"flows\":[\n{PUBLISHED},\n{EGRESS}\n],\"total\":2,\"entries\":5}}\n");
    assert_eq!(json(&entries(), &limited(2)), expected);
    assert_eq!(json(&entries(), &limited(usize::MAX)), expected);
}

#[test]
fn a_limit_cuts_the_list_and_not_the_total() {
    let expected = format!("{{\"flows\":[\n{PUBLISHED}\n],\"total\":2,\"entries\":5}}\n");
    assert_eq!(json(&entries(), &limited(1)), expected);
    assert_eq!(
        json(&entries(), &limited(0)),
        "{\"flows\":[\n],\"total\":2,\"entries\":5}\n"
    );
}

#[test]
fn filters_choose_by_protocol_kind_and_address() {
    let choose = |args: FlowsArgs| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(&json(&entries(), &args)).unwrap();
        let flows = value["flows"].as_array().unwrap().clone();
        assert_eq!(value["total"], flows.len());
        flows
            .iter()
            .map(|flow| flow["protocol"].as_str().unwrap().to_owned())
            .collect()
    };
    let args = |text: &str| FlowsArgs {
        filter: FlowFilterArgs {
            addresses: vec![spec::parse_source(text).unwrap()],
            ..FlowFilterArgs::default()
        },
        ..FlowsArgs::default()
    };
    assert_eq!(choose(args("172.30.1.2")), ["icmp", "tcp"]);
    assert_eq!(choose(args("203.0.113.9")), ["tcp"]);
    assert_eq!(choose(args("203.0.113.10")), [""; 0]);
    let udp = FlowsArgs {
        filter: FlowFilterArgs {
            protocols: vec![ProtocolName::Udp],
            ..FlowFilterArgs::default()
        },
        ..FlowsArgs::default()
    };
    assert_eq!(choose(udp), [""; 0]);
    let egress = FlowsArgs {
        filter: FlowFilterArgs {
            kinds: vec![KindName::Egress],
            ..FlowFilterArgs::default()
        },
        ..FlowsArgs::default()
    };
    assert_eq!(choose(egress), ["icmp"]);
}

#[test]
fn entries_without_their_own_twin_are_no_flow() {
    let only_egress = format!("{{\"flows\":[\n{EGRESS}\n],\"total\":1,\"entries\":5}}\n");
    let is_answers = |flow: &Flow| flow.rule == RuleId(1) && flow.side() == Side::Reply;
    let mut others = entries();
    for (_, flow) in others.iter_mut().filter(|(_, flow)| is_answers(flow)) {
        flow.nonce += 1;
    }
    assert_eq!(json(&others, &FlowsArgs::default()), only_egress);
    let mut gone = entries();
    gone.retain(|(_, flow)| !is_answers(flow));
    assert_eq!(
        json(&gone, &FlowsArgs::default()),
        only_egress.replace("\"entries\":5", "\"entries\":4")
    );
}

#[test]
fn the_table_has_a_line_a_flow() {
    let text = listed(&entries(), &limited(5));
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

const HAIRPIN: &str = concat!(
    r#"{"protocol":"tcp","kind":"hairpin","way":"peer","state":"established","#,
    r#""original":{"src":"fd00::3","sport":41000,"dst":"2001:db8::1","dport":8081},"#,
    r#""translated":{"src":"fd00::3","sport":41000,"dst":"fd00::2","dport":81},"#,
    r#""age_seconds":10,"idle_seconds":5,"packets_original":5,"bytes_original":500,"#,
    r#""packets_reply":4,"bytes_reply":4000,"rule":2}"#
);

fn both() -> FlowTables {
    FlowTables {
        v4: entries(),
        v6: entries6(),
    }
}

#[test]
fn both_families_are_one_list() {
    let args = FlowsArgs {
        json: true,
        ..FlowsArgs::default()
    };
    let expected =
        format!("{{\"flows\":[\n{EGRESS},\n{PUBLISHED},\n{HAIRPIN}\n],\"total\":3,\"entries\":7}}\n");
    assert_eq!(listed_of(&both(), &args), expected);
    let latest = FlowsArgs {
        json: true,
        ..limited(2)
    };
    let expected = format!("{{\"flows\":[\n{PUBLISHED},\n{HAIRPIN}\n],\"total\":3,\"entries\":7}}\n");
    assert_eq!(listed_of(&both(), &latest), expected);
}

#[test]
fn an_address_of_one_family_chooses_flows_of_that_family() {
    for (address, line) in [("fd00::2", HAIRPIN), ("192.0.2.53", EGRESS)] {
        let args = FlowsArgs {
            json: true,
            filter: FlowFilterArgs {
                addresses: vec![spec::parse_source(address).unwrap()],
                ..FlowFilterArgs::default()
            },
            ..FlowsArgs::default()
        };
        let expected = format!("{{\"flows\":[\n{line}\n],\"total\":1,\"entries\":7}}\n");
        assert_eq!(listed_of(&both(), &args), expected);
    }
}

#[test]
fn addresses_of_ipv6_stand_in_brackets_before_their_ports() {
    let text = listed_of(&both(), &FlowsArgs::default());
    let line = text.lines().find(|line| line.contains("hairpin")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3], "[fd00::3]:41000->[2001:db8::1]:8081");
    assert_eq!(words[4], "[fd00::3]:41000->[fd00::2]:81");
    assert!(text.ends_with("3 of 3 flows, 7 entries in the table\n"), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_walk() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let args = FlowsArgs {
        json: true,
        ..FlowsArgs::default()
    };
    let error = list(&Sample, Seconds(0), (&args, &choice(&args)), &mut Full(2)).unwrap_err();
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::BrokenPipe));
}

#[test]
fn an_order_puts_the_first_ones_first_and_the_other_way_round() {
    let ports = |sort, reverse| -> Vec<u64> {
        let args = FlowsArgs {
            json: true,
            sort: Some(sort),
            reverse,
            ..FlowsArgs::default()
        };
        let value: serde_json::Value = serde_json::from_str(&listed_of(&both(), &args)).unwrap();
        let flows = value["flows"].as_array().unwrap().iter();
        flows
            .map(|flow| flow["original"]["dport"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ports(FlowOrder::Bytes, false), [8080, 8081, 0]);
    assert_eq!(ports(FlowOrder::Bytes, true), [0, 8081, 8080]);
    assert_eq!(ports(FlowOrder::Age, false), [8080, 8081, 0], "990 before 991");
    assert_eq!(ports(FlowOrder::State, false), [8080, 8081, 0]);
    assert_eq!(ports(FlowOrder::Port, false), [0, 8080, 8081]);
    assert_eq!(ports(FlowOrder::Kind, true)[0], 8081, "hairpin last");
}
