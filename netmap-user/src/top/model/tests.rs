use std::net::IpAddr;

use super::{super::columns::Line as _, *};
use crate::top::sample::Traffic;

fn container(last: u8, bytes_in: u64, flows: u64) -> ContainerLine {
    ContainerLine {
        address: IpAddr::from([172, 30, 1, last]),
        traffic: Traffic {
            bytes_in,
            ..Traffic::default()
        },
        flows,
        opened: 0,
        ports: 0,
    }
}

fn hear(model: &mut Model, containers: Vec<ContainerLine>) {
    model.hear(News::Lap(Box::new(Sample {
        containers,
        since: Some(Duration::from_secs(1)),
        ..Sample::default()
    })));
}

fn model() -> Model {
    let mut model = Model::new(Duration::from_secs(2));
    model.act(Action::Pane(Pane::Containers));
    hear(
        &mut model,
        vec![container(2, 10, 1), container(3, 30, 3), container(4, 20, 9)],
    );
    model
}

fn shown(model: &Model) -> Vec<String> {
    let rows = model.rows.rows.iter();
    rows.filter_map(|row| row.cells.first().cloned()).collect()
}

#[test]
fn lists_are_sorted_by_any_column_and_the_other_way_around() {
    let mut model = model();
    assert_eq!(shown(&model), ["172.30.1.3", "172.30.1.4", "172.30.1.2"]);
    model.act(Action::Reverse);
    assert_eq!(shown(&model), ["172.30.1.2", "172.30.1.4", "172.30.1.3"]);
    model.act(Action::Reverse);
    while model.sort().column != "FLOWS" {
        model.act(Action::NextColumn);
    }
    assert_eq!(shown(&model), ["172.30.1.4", "172.30.1.3", "172.30.1.2"]);
    while model.sort().column != "ADDRESS" {
        model.act(Action::PreviousColumn);
    }
    assert_eq!(shown(&model), ["172.30.1.2", "172.30.1.3", "172.30.1.4"]);
    // Each list has its own order.
    model.act(Action::Pane(Pane::Ports));
    assert_eq!(model.sort().column, RATE);
}

#[test]
fn the_marked_row_stays_marked_wherever_it_goes() {
    let mut model = model();
    model.act(Action::Move(1));
    assert_eq!(model.index, 1);
    hear(
        &mut model,
        vec![container(2, 10, 1), container(3, 30, 3), container(4, 90, 9)],
    );
    assert_eq!((shown(&model)[0].as_str(), model.index), ("172.30.1.4", 0));
    // It has gone: what stands there now is marked.
    hear(&mut model, vec![container(2, 10, 1)]);
    assert_eq!(model.index, 0);
    for action in [
        Action::Last,
        Action::Page(3),
        Action::First,
        Action::Page(-2),
        Action::Move(-1),
    ] {
        model.act(action);
        assert_eq!(model.index, 0);
    }
}

#[test]
fn a_filter_is_any_part_of_any_column() {
    let mut model = model();
    model.act(Action::Filter);
    assert!(model.typing);
    for character in "1.4x".chars() {
        model.act(Action::Type(character));
    }
    assert_eq!(shown(&model), [""; 0]);
    model.act(Action::Erase);
    assert_eq!(shown(&model), ["172.30.1.4"]);
    model.act(Action::Done);
    assert!(!model.typing);
    assert_eq!((model.rows.fitting, model.rows.all), (1, 3));
    model.act(Action::Back);
    assert_eq!(shown(&model).len(), 3);
    for character in "abc".repeat(100).chars() {
        model.act(Action::Type(character));
    }
    assert_eq!(model.filter.len(), 64);
}

#[test]
fn an_address_or_a_port_finds_flows_in_the_whole_table() {
    let mut model = model();
    model.act(Action::Pane(Pane::Flows));
    for (filter, address, port) in [
        ("192.0.2.9", Some("192.0.2.9"), None),
        ("fd00::2", Some("fd00::2"), None),
        (":8080", None, Some(8080)),
        ("443", None, Some(443)),
        ("tcp", None, None),
    ] {
        model.filter = filter.to_owned();
        let focus = model.wish().focus;
        assert_eq!(focus.address, address.map(|address| address.parse().unwrap()));
        assert_eq!(focus.port, port);
    }
    // Of other lists, what is shown is all there is.
    model.act(Action::Pane(Pane::Ports));
    assert_eq!(model.wish().focus, Focus::default());
}

#[test]
fn the_reader_is_asked_for_what_the_list_is_sorted_by() {
    let mut model = model();
    model.act(Action::Pane(Pane::Flows));
    hear(&mut model, Vec::new());
    let mut orders = Vec::new();
    for _ in 0..FlowLine::COLUMNS.len() {
        orders.push((model.sort().column, model.wish().order));
        model.act(Action::NextColumn);
    }
    for expected in [
        (RATE, FlowOrder::Bytes),
        ("PKT/s", FlowOrder::Packets),
        ("TOTAL", FlowOrder::Total),
        ("AGE", FlowOrder::Newest),
    ] {
        assert!(orders.contains(&expected), "{expected:?} of {orders:?}");
    }
}

#[test]
fn only_the_key_for_it_ends_it() {
    let mut model = model();
    assert!(model.act(Action::Help));
    // Any other key ends the help alone.
    assert!(model.act(Action::Back));
    assert!(!model.help);
    assert!(model.act(Action::Back));
    assert!(!model.act(Action::Quit));
}

#[test]
fn what_was_new_is_kept_for_a_while() {
    let mut model = model();
    for _ in 0..100 {
        hear(&mut model, Vec::new());
    }
    assert_eq!(model.history.len(), HISTORY);
}
