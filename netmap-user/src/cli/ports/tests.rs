use super::{super::sample::Sample, *};
use crate::cli::{Cli, args::Command};
use clap::Parser as _;

fn rendered(json: bool) -> String {
    let mut out = Vec::new();
    render(&rows(&Sample).unwrap(), None, json, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_has_every_key() {
    let expected = concat!(
        r#"{"ports":["#,
        r#"{"host":"0.0.0.0","port":8080,"end":8080,"protocol":"tcp","container":"172.30.1.2","container_port":80,"#,
        r#""container_end":80,"allow":["10.0.0.0/8","192.0.2.7/32"],"rule":1,"generation":3,"age_seconds":940,"flows":1,"idle_seconds":2,"proxied":false,"owner":"operator"},"#,
        r#"{"host":"::","port":8080,"end":8080,"protocol":"tcp","container":"172.30.1.2","container_port":80,"#,
        r#""container_end":80,"allow":["::/128"],"rule":1,"generation":1,"age_seconds":940,"flows":0,"idle_seconds":null,"proxied":true,"owner":"operator"},"#,
        r#"{"host":"2001:db8::1","port":8080,"end":8081,"protocol":"tcp","container":"fd00::2","container_port":80,"#,
        r#""container_end":81,"allow":["fd00::/8"],"rule":2,"generation":4,"age_seconds":940,"flows":1,"idle_seconds":5,"proxied":false,"owner":"docker (unclaimed)"},"#,
        r#"{"host":"127.0.0.1","port":20000,"end":29999,"protocol":"udp","container":"172.30.1.3","#,
        r#""container_port":30000,"container_end":39999,"allow":[],"rule":2,"generation":1,"age_seconds":0,"flows":0,"idle_seconds":null,"proxied":false,"owner":"docker"}"#,
        "]}\n"
    );
    assert_eq!(rendered(true), expected);
}

#[test]
fn what_containers_are_called_stands_beside_them_where_it_is_known() {
    let mut rows = rows(&Sample).unwrap();
    let named = NamedAddress {
        address: "172.30.1.2".parse().unwrap(),
        container: "web".to_owned(),
        network: "front".to_owned(),
    };
    name(&mut rows, EngineNames { names: vec![named] });
    let rendered = |json| {
        let mut out = Vec::new();
        render(&rows, None, json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&rendered(true)).unwrap();
    let [web, web6, .., range] = &json["ports"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    for row in [web, web6] {
        assert_eq!(
            (&row["container_name"], &row["network"]),
            (&"web".into(), &"front".into())
        );
    }
    assert!(range.get("container_name").is_none() && range.get("network").is_none());
    let table = rendered(false);
    assert!(
        table.lines().next().unwrap().trim_end().ends_with("NETWORK"),
        "{table}"
    );
    assert!(
        table.lines().nth(1).unwrap().trim_end().ends_with("front"),
        "{table}"
    );
}

#[test]
fn the_table_has_one_line_a_range() {
    let expected = "\
PUBLISHED                    CONTAINER               BY     OWNER               ALLOW                    AGE      USED  FLOWS
0.0.0.0:8080/tcp             172.30.1.2:80           ebpf   operator            10.0.0.0/8,192.0.2.7/32  15m 40s  2s ago 1
[::]:8080/tcp                172.30.1.2:80           proxy  operator            nobody                   15m 40s  - 0
[2001:db8::1]:8080-8081/tcp  [fd00::2]:80-81         ebpf   docker (unclaimed)  fd00::/8                 15m 40s  5s ago 1
127.0.0.1:20000-29999/udp    172.30.1.3:30000-39999  ebpf   docker              all                      0s  -     0
";
    let squeeze = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(squeeze(&rendered(false)), squeeze(expected));
}

fn chosen(arguments: &str, rates: &[(u32, f64)]) -> Vec<(IpAddr, u32)> {
    let line = format!("netmap ports {arguments}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Ports(args) = cli.command else {
        panic!("another command");
    };
    let mut rows = rows(&Sample).unwrap();
    let names = EngineNames {
        names: vec![NamedAddress {
            address: "172.30.1.2".parse().unwrap(),
            container: "web".to_owned(),
            network: "front".to_owned(),
        }],
    };
    for row in &mut rows {
        let rate = rates.iter().find(|(rule, _)| *rule == row.rule);
        row.rates = rate.map(|(_, bytes)| PortRates {
            bytes_per_second: *bytes,
            ..PortRates::default()
        });
    }
    Selection::new(&args, &names).unwrap().apply(&mut rows);
    rows.iter().map(|row| (row.host, row.rule)).collect()
}

#[test]
fn filters_choose_and_orders_put_first() {
    let hosts = |arguments: &str| -> Vec<String> {
        let chosen = chosen(arguments, &[]);
        chosen.iter().map(|(host, _)| host.to_string()).collect()
    };
    assert_eq!(hosts("--container web"), ["0.0.0.0", "::"]);
    assert_eq!(hosts("--container fd00::2"), ["2001:db8::1"]);
    assert_eq!(hosts("--port 8081,25000"), ["2001:db8::1", "127.0.0.1"]);
    assert_eq!(hosts("--port 39999"), ["127.0.0.1"], "the container's");
    assert_eq!(
        hosts("--address 127.0.0.0/8,fd00::/8"),
        ["2001:db8::1", "127.0.0.1"]
    );
    assert_eq!(hosts("--owner operator"), ["0.0.0.0", "::"]);
    assert_eq!(hosts("--owner docker"), ["2001:db8::1", "127.0.0.1"]);
    assert_eq!(hosts("--owner unclaimed"), ["2001:db8::1"]);
    assert_eq!(
        hosts("--unused"),
        ["127.0.0.1"],
        "of what the proxy carries nobody knows"
    );
    assert_eq!(hosts("--sort last-use --limit 2"), ["0.0.0.0", "2001:db8::1"]);
    assert_eq!(hosts("--sort age --limit 1"), ["127.0.0.1"]);
    let busy = chosen("--sort bytes --limit 2", &[(1, 5.0), (2, 7.0)]);
    assert!(busy.iter().all(|(_, rule)| *rule == 2), "{busy:?}");
}

#[test]
fn a_container_that_nobody_knows_is_wrong_usage() {
    let args = PortsArgs {
        containers: vec!["db".to_owned()],
        ..PortsArgs::default()
    };
    let error = Selection::new(&args, &EngineNames::default()).unwrap_err();
    assert_eq!(error, r#"no container of the engine's is called "db""#);
}

#[test]
fn what_the_daemon_has_seen_end_counts_for_its_own_generation_alone() {
    use crate::api::types::RuleUse;
    let mut rows = rows(&Sample).unwrap();
    let last = |ipv6, rule, generation, idle_seconds| RuleUse {
        ipv6,
        rule,
        generation,
        idle_seconds,
    };
    let uses = vec![
        last(false, 1, 3, 1),
        last(true, 2, 4, 90),
        last(true, 1, 9, 1),
        last(false, 2, 1, 40),
    ];
    remember(&mut rows, &RuleUses { uses });
    let idle: Vec<_> = rows.iter().map(|row| row.idle_seconds).collect();
    assert_eq!(idle, [Some(1), None, Some(5), Some(40)]);
}

#[test]
fn rates_stand_beside_what_they_are_of() {
    let mut rows = rows(&Sample).unwrap();
    rows[0].rates = Some(PortRates {
        packets_per_second: 2.5,
        bytes_per_second: 1_536_000.0,
        new_flows_per_second: 0.0,
    });
    let sampled = Some(Sampled {
        sample_seconds: 1.5,
        is_estimate: false,
    });
    let rendered = |json| {
        let mut out = Vec::new();
        render(&rows, sampled, json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&rendered(true)).unwrap();
    assert_eq!(json["sample_seconds"], 1.5);
    assert_eq!(json["ports"][0]["packets_per_second"], 2.5);
    assert!(json["ports"][1].get("packets_per_second").is_none(), "proxied");
    let table = rendered(false);
    let line: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(line.ends_with(&["2.5", "1.5M", "0"]), "{table}");
}
