use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/troubleshooting.md");

/// The rows of the document's table of events: a name, and the keys.
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let (_, section) = DOCUMENT.split_once("### Events").unwrap();
    // Its heading and the line below that are none.
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with("| `event`"))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (words(cells[1]).remove(0), words(cells[2]).into_iter().collect())
    });
    rows.collect()
}

/// The keys of an object, those of objects in it with both names.
fn keys(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in value.as_object().unwrap() {
        if value.is_object() {
            found.extend(keys(value).into_iter().map(|inner| format!("{key}.{inner}")));
        } else {
            found.insert(key.clone());
        }
    }
    found
}

#[test]
fn events_have_the_keys_that_the_document_names() {
    let told: Vec<_> = samples::all()
        .into_iter()
        .map(|mut event| {
            event.what.forget_frame();
            let value = serde_json::to_value(&event).unwrap();
            let name = value["event"].as_str().unwrap().to_owned();
            let mut keys = keys(&value);
            assert!(keys.remove("time") && keys.remove("event"));
            (name, keys)
        })
        .collect();
    assert_eq!(told, documented());
}

#[test]
fn an_event_is_read_as_it_was_written() {
    for event in samples::all() {
        let line = serde_json::to_string(&event).unwrap();
        assert!(
            line.starts_with(r#"{"time":"2026-11-23T18:31:02.123456Z","event":""#),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

#[test]
fn the_document_names_every_everyday_reason_and_no_dropped_packet_has_one() {
    for reason in Reason::ALL {
        let is_passed = reason.class() == Class::Passed;
        assert!(is_passed || !is_everyday(*reason), "{}", reason.name());
        let (_, section) = DOCUMENT.split_once("everyday reasons is told with").unwrap();
        let (section, _) = section.split_once("\n\n").unwrap();
        let is_documented = section.contains(&format!("`{}`", reason.name()));
        assert_eq!(is_documented, is_everyday(*reason), "{}", reason.name());
        assert_eq!(super::reason(reason.name()), Some(*reason));
    }
}
