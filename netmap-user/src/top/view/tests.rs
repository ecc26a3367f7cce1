use std::time::Duration;

use netmap_common::maps::{Hook, Reason};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use super::{super::columns::Names, *};
use crate::{
    api::{flows::Ends, types::NamedAddress},
    top::{
        keys::Action,
        reader::News,
        sample::{
            ContainerLine, FlowLine, HookCount, PortLine, ReasonLine, RuleKey, Sample, TableLine, Traffic,
        },
    },
};

const WEB: &str = "172.30.9.2";

fn traffic(bytes_in: u64, bytes_out: u64) -> Traffic {
    Traffic {
        bytes_in,
        bytes_out,
        packets_in: bytes_in / 100,
        packets_out: bytes_out / 100,
    }
}

fn port(rule: u32, port: u16, traffic: Traffic) -> PortLine {
    PortLine {
        key: RuleKey {
            is_v6: false,
            rule,
            generation: 1,
        },
        protocol: "tcp",
        host: "0.0.0.0".parse().unwrap(),
        ports: (port, port),
        container: WEB.parse().unwrap(),
        container_ports: (80, 80),
        proxied: false,
        owner: "operator",
        limited: false,
        age: 60,
        traffic,
        flows: 1,
        opened: 0,
    }
}

fn sample() -> Sample {
    let ends = |dst: &str, dport| Ends {
        src: "192.0.2.9".parse().unwrap(),
        sport: 36_592,
        dst: dst.parse().unwrap(),
        dport,
    };
    let busy = traffic(1_500, 2_400_000);
    Sample {
        since: Some(Duration::from_secs(2)),
        took: Duration::from_millis(3),
        share: 1,
        traffic: busy,
        flows: 1,
        opened: 12,
        dropped: 4,
        ports: vec![port(1, 8070, traffic(0, 0)), port(2, 8080, busy)],
        containers: vec![ContainerLine {
            address: WEB.parse().unwrap(),
            traffic: busy,
            flows: 1,
            opened: 12,
            ports: 2,
        }],
        busiest: vec![FlowLine {
            protocol: "tcp",
            kind: "published",
            state: "established",
            original: ends("192.0.2.1", 8080),
            translated: ends(WEB, 80),
            rule: Some(port(2, 8080, busy).key),
            traffic: busy,
            bytes: 10_000_000,
            age: 200,
            idle: 0,
        }],
        reasons: vec![
            ReasonLine {
                reason: Reason::PublishedIn,
                hooks: vec![HookCount {
                    hook: Hook::UplinkIn,
                    packets: 15,
                    bytes: 1_500,
                    total: 1_000,
                }],
            },
            ReasonLine {
                reason: Reason::NotAllowed,
                hooks: vec![HookCount {
                    hook: Hook::UplinkIn,
                    packets: 4,
                    bytes: 240,
                    total: 77,
                }],
            },
        ],
        tables: vec![TableLine {
            name: "flows",
            entries: 200_000,
            capacity: 262_144,
        }],
    }
}

fn model() -> Model {
    let mut model = Model::new(Duration::from_secs(2));
    model.hear(News::Reading);
    model.hear(News::Lap(Box::new(sample())));
    model
}

fn drawn(model: &mut Model, width: u16, height: u16, has_colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, has_colours)).unwrap();
    terminal.backend().buffer().clone()
}

fn screen(model: &mut Model) -> Vec<String> {
    let buffer = drawn(model, 80, 24, true);
    let lines = buffer.content().chunks(80);
    lines
        .map(|cells| {
            cells
                .iter()
                .map(ratatui::buffer::Cell::symbol)
                .collect::<String>()
        })
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn the_busiest_port_stands_first_within_80_columns() {
    let mut model = model();
    model.learn(Some(Names::from([(
        WEB.parse().unwrap(),
        NamedAddress {
            address: WEB.parse().unwrap(),
            container: "web".to_owned(),
            network: "front".to_owned(),
        },
    )])));
    let screen = screen(&mut model);
    assert_eq!(screen[0], "netmap top  every 2.0s  daemon runs");
    assert_eq!(
        screen[1],
        "in 1.5k/s   out 2.4M/s   packets 24.0k/s   dropped 4/s"
    );
    assert_eq!(screen[2], "flows 1   table 76.2% full   new 12/s █");
    assert_eq!(
        words(&screen[4]),
        [
            "PUBLISHED",
            "CONTAINER",
            "RATE*",
            "IN/s",
            "OUT/s",
            "FLOWS",
            "NEW/s"
        ]
    );
    assert_eq!(
        words(&screen[5]),
        ["0.0.0.0:8080/tcp", "web:80", "2.4M", "1.5k", "2.4M", "1", "0"]
    );
    assert!(screen[6].starts_with("0.0.0.0:8070/tcp"), "{}", screen[6]);
    assert!(screen[23].starts_with("? help   q quit"), "{}", screen[23]);
}

#[test]
fn nothing_but_red_is_a_colour_and_without_colours_none_is() {
    let mut model = model();
    let colours = |has_colours: bool, model: &mut Model| {
        let buffer = drawn(model, 80, 24, has_colours);
        let cells = buffer.content().iter().map(|cell| (cell.fg, cell.bg));
        let mut colours: Vec<_> = cells
            .filter(|pair| *pair != (Color::Reset, Color::Reset))
            .collect();
        colours.dedup();
        colours
    };
    assert_eq!(colours(true, &mut model)[0], (Color::Red, Color::Reset));
    assert!(
        colours(true, &mut model)
            .iter()
            .all(|pair| *pair == (Color::Red, Color::Reset))
    );
    assert!(colours(false, &mut model).is_empty());
}

#[test]
fn looking_inside_shows_flows_and_what_reasons_mean() {
    let mut model = model();
    model.act(Action::Enter);
    let port = screen(&mut model);
    assert_eq!(
        port[4],
        "port 0.0.0.0:8080/tcp -> 172.30.9.2:80, for all, by operator, 1 flows"
    );
    assert!(port[6].contains("192.0.2.9:36592"), "{}", port[6]);
    assert!(model.wish().focus.rule.is_some());
    model.act(Action::Back);
    assert!(model.wish().focus.rule.is_none());

    model.act(Action::Pane(Pane::Containers));
    model.act(Action::Enter);
    let container = screen(&mut model);
    assert!(
        container[4].starts_with("container 172.30.9.2"),
        "{}",
        container[4]
    );
    assert!(container.iter().any(|line| line.contains("0.0.0.0:8070/tcp")));

    model.act(Action::Pane(Pane::Drops));
    let drops = screen(&mut model);
    assert_eq!(&words(&drops[5])[..4], ["not-allowed", "dropped", "4/s", "77"]);
    assert_eq!(drops[6], "");
    model.act(Action::Enter);
    let reason = screen(&mut model).join("\n");
    for part in [
        "allow-list",
        "--allow",
        "uplink-in: 77 packets",
        "netmap monitor --reason not-allowed",
    ] {
        assert!(reason.contains(part), "{part} is missing in {reason}");
    }
    model.act(Action::Back);
    model.act(Action::AllReasons);
    assert!(
        screen(&mut model)
            .iter()
            .any(|line| line.starts_with("published-in"))
    );
    model.act(Action::Pane(Pane::Tables));
    let tables = screen(&mut model);
    assert_eq!(&words(&tables[5])[..4], ["flows", "200000", "262144", "76.2%"]);
}

#[test]
fn it_says_when_it_reads_when_it_fails_and_when_it_rests() {
    let mut model = Model::new(Duration::from_secs(2));
    assert!(screen(&mut model).join("\n").contains("reading..."));
    model.hear(News::Failed("nothing is pinned".to_owned()));
    assert_eq!(screen(&mut model)[23], "nothing is pinned");
    let slow = Sample {
        took: Duration::from_millis(1_500),
        share: 4,
        ..sample()
    };
    model.hear(News::Lap(Box::new(slow)));
    model.learn(None);
    assert_eq!(
        screen(&mut model)[0],
        "netmap top  every 2.0s  no daemon answers  read in 1.5s  rates by 1 flow in 4"
    );
    model.hear(News::Reading);
    assert!(screen(&mut model)[0].contains("reading..."));
    model.act(Action::Pause);
    assert!(screen(&mut model)[0].contains("PAUSED") && model.wish().paused);
    model.act(Action::Help);
    assert!(screen(&mut model).join("\n").contains("netmap top: keys"));
    model.act(Action::Help);
    // The first port has no flows, and none are looked for.
    model.act(Action::Last);
    model.act(Action::Enter);
    assert!(screen(&mut model).join("\n").contains("Space reads on"));
}

#[test]
fn no_size_is_too_small() {
    for pane in Pane::ALL {
        let mut model = model();
        model.act(Action::Pane(pane));
        for (width, height) in [(1, 1), (20, 5), (79, 24), (300, 100)] {
            drawn(&mut model, width, height, true);
            model.act(Action::Help);
            drawn(&mut model, width, height, true);
            model.act(Action::Help);
        }
    }
}
