//! `netmap ports`: what is published.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use netmap_common::maps::{Address, Address6, Flow, Generation, Protocol, Rule, RuleId, Seconds, Side};
use serde::Serialize;

use super::{
    args::{Instance, ListArgs},
    failure::Failure,
    output, publish as publish_command,
    read::{self, Entries, Tables},
};
use crate::{
    api::{
        client::Client,
        types::{EngineNames, NamedAddress},
    },
    binding::{Bracketed, nobody},
    maps::Family,
    publish::{self, Owner},
};

/// How long a daemon may take to say what containers are called.
const PATIENCE: Duration = Duration::from_secs(2);

/// One published range of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortRow {
    /// The published address; 0.0.0.0 stands for every IPv4 address of this host, `::` for every IPv6 address.
    pub host: IpAddr,
    /// First published port.
    pub port: u16,
    /// Last published port.
    pub end: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The container's address.
    pub container: IpAddr,
    /// First port in the container.
    pub container_port: u16,
    /// Last port in the container.
    pub container_end: u16,
    /// Sources that may connect; empty for everybody. The unspecified address alone (0.0.0.0/32, `::/128`) stands for
    /// nobody: the allow-list has sources of the other family only.
    pub allow: Vec<IpNet>,
    /// The rule's number among those of its family.
    pub rule: u32,
    /// Its generation.
    pub generation: u32,
    /// For how long it has been published.
    pub age_seconds: u32,
    /// Flows that it opened and that are still there.
    pub flows: u64,
    /// The socket proxy carries all of it: the container's address is of the other family.
    pub proxied: bool,
    /// Who had it published: `operator`, `docker`, or `docker (unclaimed)` when neither a proxy of docker's nor its API
    /// stands for it at the moment.
    pub owner: &'static str,
    /// What the container engine calls the container. The daemon knows, where it follows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The engine's network in which the container has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Prints what is published.
pub(super) fn command(args: &ListArgs, instance: &Instance, out: &mut impl Write) -> Result<(), Failure> {
    let tables = read::open(instance.pin_dir())?;
    let mut rows = rows(&tables)?;
    name(&mut rows, ask(instance.socket()));
    render(&rows, args.json, out)?;
    Ok(())
}

/// What containers are called, if there is a daemon that knows. A listing does without.
fn ask(socket: &Path) -> EngineNames {
    let client = Client::new(socket).with_patience(PATIENCE);
    let answer = publish_command::wait(client.names());
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

fn name(rows: &mut [PortRow], names: EngineNames) {
    let names = names.names.into_iter();
    let names: HashMap<IpAddr, NamedAddress> = names.map(|named| (named.address, named)).collect();
    for row in rows {
        if let Some(named) = names.get(&row.container) {
            row.container_name = Some(named.container.clone());
            row.network = Some(named.network.clone());
        }
    }
}

/// What is published, by protocol, port and address.
///
/// # Errors
///
/// A table cannot be read.
pub fn rows(tables: &impl Tables) -> anyhow::Result<Vec<PortRow>> {
    let (mut flows, mut flows6) = (Openers::default(), Openers::default());
    Entries::<Address>::each_entry(tables, &mut |_, flow| {
        flows.count(flow);
        Ok(())
    })?;
    Entries::<Address6>::each_entry(tables, &mut |_, flow| {
        flows6.count(flow);
        Ok(())
    })?;
    let now = tables.now();
    let mut rows = family_rows(tables.rules()?, tables.allow()?, &flows, now);
    rows.extend(family_rows(tables.rules6()?, tables.allow6()?, &flows6, now));
    rows.sort_by_key(|row| (row.protocol, row.port, row.host));
    Ok(rows)
}

fn family_rows<A: Family>(
    rules: Vec<(RuleId, Rule<A>)>,
    allow: Vec<(RuleId, A::Net)>,
    flows: &Openers,
    now: Seconds,
) -> Vec<PortRow> {
    let mut sources: BTreeMap<RuleId, Vec<A::Net>> = BTreeMap::new();
    for (rule, source) in allow {
        sources.entry(rule).or_default().push(source);
    }
    rules
        .into_iter()
        .filter(|(_, rule)| rule.is_live())
        .map(|(id, rule)| {
            let mut sources = sources.remove(&id).unwrap_or_default();
            sources.sort_unstable();
            let (host, target): (IpAddr, IpAddr) = (rule.host.into(), rule.target.into());
            let container = target.to_canonical();
            PortRow {
                host,
                port: rule.host_port.0,
                end: rule.last_port().0,
                protocol: Protocol::from_number(rule.protocol).map_or("unknown", Protocol::name),
                container,
                container_port: rule.target_port.0,
                container_end: last_target_port(&rule),
                allow: publish::allow_of(&rule, &sources),
                rule: id.0,
                generation: rule.generation.0,
                age_seconds: now.since(rule.since).0,
                flows: flows.of(id, rule.generation),
                proxied: host.is_ipv4() != container.is_ipv4(),
                owner: Owner::of(rule.flags).name(),
                container_name: None,
                network: None,
            }
        })
        .collect()
}

/// How many flows each rule has opened, in one family.
#[derive(Default)]
struct Openers(HashMap<(RuleId, Generation), u64>);

impl Openers {
    fn count<A: Family>(&mut self, flow: &Flow<A>) {
        if flow.side() == Side::Original {
            *self.0.entry((flow.rule, flow.generation)).or_default() += 1;
        }
    }

    fn of(&self, rule: RuleId, generation: Generation) -> u64 {
        self.0.get(&(rule, generation)).copied().unwrap_or_default()
    }
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
    let has_names = rows.iter().any(|row| row.container_name.is_some());
    let names = ["NAME", "NETWORK"].iter().filter(|_| has_names);
    output::table(
        out,
        ["PUBLISHED", "CONTAINER", "BY", "OWNER", "ALLOW", "AGE", "FLOWS"]
            .iter()
            .chain(names)
            .map(|title| (*title).to_owned())
            .collect(),
        rows.iter().map(|row| {
            let mut cells = vec![
                format!(
                    "{}:{}/{}",
                    Bracketed(row.host),
                    span(row.port, row.end),
                    row.protocol
                ),
                format!(
                    "{}:{}",
                    Bracketed(row.container),
                    span(row.container_port, row.container_end)
                ),
                if row.proxied { "proxy" } else { "ebpf" }.to_owned(),
                row.owner.to_owned(),
                sources(row),
                output::duration(row.age_seconds.into()),
                row.flows.to_string(),
            ];
            if has_names {
                cells
                    .extend([&row.container_name, &row.network].map(|name| name.clone().unwrap_or_default()));
            }
            cells
        }),
    )
}

fn last_target_port<A: Family>(rule: &Rule<A>) -> u16 {
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

fn sources(row: &PortRow) -> String {
    if row.allow.is_empty() {
        return "all".to_owned();
    }
    if row.allow == [nobody(row.host)] {
        return "nobody".to_owned();
    }
    let allow: Vec<_> = row.allow.iter().map(ToString::to_string).collect();
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
            r#""container_end":80,"allow":["10.0.0.0/8","192.0.2.7/32"],"rule":1,"generation":3,"age_seconds":940,"flows":1,"proxied":false,"owner":"operator"},"#,
            r#"{"host":"::","port":8080,"end":8080,"protocol":"tcp","container":"172.30.1.2","container_port":80,"#,
            r#""container_end":80,"allow":["::/128"],"rule":1,"generation":1,"age_seconds":940,"flows":0,"proxied":true,"owner":"operator"},"#,
            r#"{"host":"2001:db8::1","port":8080,"end":8081,"protocol":"tcp","container":"fd00::2","container_port":80,"#,
            r#""container_end":81,"allow":["fd00::/8"],"rule":2,"generation":4,"age_seconds":940,"flows":1,"proxied":false,"owner":"docker (unclaimed)"},"#,
            r#"{"host":"127.0.0.1","port":20000,"end":29999,"protocol":"udp","container":"172.30.1.3","#,
            r#""container_port":30000,"container_end":39999,"allow":[],"rule":2,"generation":1,"age_seconds":0,"flows":0,"proxied":false,"owner":"docker"}"#,
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
            render(&rows, json, &mut out).unwrap();
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
PUBLISHED                    CONTAINER               BY     OWNER               ALLOW                    AGE      FLOWS
0.0.0.0:8080/tcp             172.30.1.2:80           ebpf   operator            10.0.0.0/8,192.0.2.7/32  15m 40s  1
[::]:8080/tcp                172.30.1.2:80           proxy  operator            nobody                   15m 40s  0
[2001:db8::1]:8080-8081/tcp  [fd00::2]:80-81         ebpf   docker (unclaimed)  fd00::/8                 15m 40s  1
127.0.0.1:20000-29999/udp    172.30.1.3:30000-39999  ebpf   docker              all                      0s       0
";
        let squeeze = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(squeeze(&rendered(false)), squeeze(expected));
    }
}
