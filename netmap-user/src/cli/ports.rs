//! `netmap ports`: what is published.

use std::{collections::HashMap, io, io::Write, net::Ipv4Addr};

use ipnet::Ipv4Net;
use netmap_common::maps::{Protocol, Rule, RuleId, Side};
use serde::Serialize;

use super::{
    args::{Instance, ListArgs},
    failure::Failure,
    output,
    read::{self, Tables},
};

/// One published range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortRow {
    /// The published address; 0.0.0.0 stands for every one of this host.
    pub host: Ipv4Addr,
    /// First published port.
    pub port: u16,
    /// Last published port.
    pub end: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The container's address.
    pub container: Ipv4Addr,
    /// First port in the container.
    pub container_port: u16,
    /// Last port in the container.
    pub container_end: u16,
    /// Sources that may connect; empty for everybody.
    pub allow: Vec<Ipv4Net>,
    /// The rule's number.
    pub rule: u32,
    /// Its generation.
    pub generation: u32,
    /// For how long it has been published.
    pub age_seconds: u32,
    /// Flows that it opened and that are still there.
    pub flows: u64,
}

/// Prints what is published.
pub(super) fn command(args: &ListArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    render(&rows(&tables)?, args.json, out)?;
    Ok(())
}

/// What is published, by protocol, port and address.
///
/// # Errors
///
/// A table cannot be read.
pub fn rows(tables: &impl Tables) -> anyhow::Result<Vec<PortRow>> {
    let mut allow: HashMap<RuleId, Vec<Ipv4Net>> = HashMap::new();
    for (rule, source) in tables.allow()? {
        allow.entry(rule).or_default().push(source);
    }
    let mut flows: HashMap<_, u64> = HashMap::new();
    tables.each_entry(&mut |_, flow| {
        if flow.side() == Side::Original {
            *flows.entry((flow.rule, flow.generation)).or_default() += 1;
        }
        Ok(())
    })?;
    let now = tables.now();
    let mut rows: Vec<PortRow> = tables
        .rules()?
        .into_iter()
        .filter(|(_, rule)| rule.is_live())
        .map(|(id, rule)| {
            let mut allow = allow.remove(&id).unwrap_or_default();
            allow.sort_unstable();
            PortRow {
                host: rule.host.into(),
                port: rule.host_port.0,
                end: rule.last_port().0,
                protocol: Protocol::from_number(rule.protocol).map_or("unknown", Protocol::name),
                container: rule.target.into(),
                container_port: rule.target_port.0,
                container_end: last_target_port(&rule),
                allow,
                rule: id.0,
                generation: rule.generation.0,
                age_seconds: now.since(rule.since).0,
                flows: flows.get(&(id, rule.generation)).copied().unwrap_or_default(),
            }
        })
        .collect();
    rows.sort_by_key(|row| (row.protocol, row.port, row.host));
    Ok(rows)
}

/// Prints rows as a table or as `{"ports":[..]}`.
///
/// # Errors
///
/// The output refuses.
pub fn render(rows: &[PortRow], json: bool, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Listing<'rows> {
        ports: &'rows [PortRow],
    }
    if json {
        return output::json(out, &Listing { ports: rows });
    }
    output::table(
        out,
        ["PUBLISHED", "CONTAINER", "ALLOW", "AGE", "FLOWS"]
            .map(str::to_owned)
            .to_vec(),
        rows.iter().map(|row| {
            vec![
                format!("{}:{}/{}", row.host, span(row.port, row.end), row.protocol),
                format!(
                    "{}:{}",
                    row.container,
                    span(row.container_port, row.container_end)
                ),
                sources(&row.allow),
                output::duration(row.age_seconds.into()),
                row.flows.to_string(),
            ]
        }),
    )
}

fn last_target_port(rule: &Rule) -> u16 {
    rule.target_port_of(rule.last_port())
        .unwrap_or(rule.target_port)
        .0
}

fn span(first: u16, last: u16) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn sources(allow: &[Ipv4Net]) -> String {
    if allow.is_empty() {
        return "all".to_owned();
    }
    let allow: Vec<_> = allow.iter().map(ToString::to_string).collect();
    allow.join(",")
}

#[cfg(test)]
mod tests {
    use super::{super::sample::Sample, *};

    fn rendered(json: bool) -> String {
        let mut out = Vec::new();
        render(&rows(&Sample).unwrap(), json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_every_key() {
        let expected = concat!(
            r#"{"ports":["#,
            r#"{"host":"0.0.0.0","port":8080,"end":8080,"protocol":"tcp","container":"172.30.1.2","container_port":80,"#,
            r#""container_end":80,"allow":["10.0.0.0/8","192.0.2.7/32"],"rule":1,"generation":3,"age_seconds":940,"flows":1},"#,
            r#"{"host":"127.0.0.1","port":20000,"end":29999,"protocol":"udp","container":"172.30.1.3","#,
            r#""container_port":30000,"container_end":39999,"allow":[],"rule":2,"generation":1,"age_seconds":0,"flows":0}"#,
            "]}\n"
        );
        assert_eq!(rendered(true), expected);
    }

    #[test]
    fn the_table_has_one_line_a_range() {
        let expected = "\
PUBLISHED                    CONTAINER               ALLOW                    AGE      FLOWS
0.0.0.0:8080/tcp             172.30.1.2:80           10.0.0.0/8,192.0.2.7/32  15m 40s  1
127.0.0.1:20000-29999/udp    172.30.1.3:30000-39999  all                      0s       0
";
        let squeeze = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(squeeze(&rendered(false)), squeeze(expected));
    }
}
