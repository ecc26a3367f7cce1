//! Replays every file of the corpus.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use netmap_fuzz::{
    corpus::{self, Scenario},
    process::{self, Outcome},
};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn files(target: &str) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let entries = fs::read_dir(folder(target))?;
    entries
        .map(|entry| {
            let path = entry?.path();
            let bytes = fs::read(&path)?;
            Ok((path, bytes))
        })
        .collect()
}

/// A line of `process.txt`: the scenario, and what became of each packet.
fn line(scenario: &Scenario) -> String {
    let reason = |outcome: Outcome| match outcome {
        Ok(carried) => carried.reason.name(),
        Err(reason) => reason.name(),
    };
    let outcomes: Vec<_> = process::run(&scenario.input).into_iter().map(reason).collect();
    format!("{}: {}\n", scenario.name, outcomes.join(" "))
}

#[test]
fn the_corpus_is_what_the_scenarios_say() {
    let scenarios = corpus::scenarios();
    let outcomes: String = scenarios.iter().map(line).collect();
    let written = folder("process.txt");
    if env::var_os("NETMAP_WRITE_CORPUS").is_some() {
        for scenario in &scenarios {
            fs::write(folder("process").join(&scenario.name), &scenario.input).unwrap();
        }
        fs::write(&written, &outcomes).unwrap();
    }
    let kept = files("process").unwrap();
    for scenario in &scenarios {
        assert!(
            kept.get(&folder("process").join(&scenario.name)) == Some(&scenario.input),
            "{}",
            scenario.name
        );
    }
    assert_eq!(outcomes, fs::read_to_string(written).unwrap());
}

#[test]
fn every_file_of_packets_keeps_what_must_hold() {
    let files = files("process").unwrap();
    assert!(files.len() > 100, "only {} files", files.len());
    for (name, input) in files {
        assert!(
            !process::run(&input).is_empty(),
            "{} has no packet",
            name.display()
        );
    }
}

#[cfg(feature = "input")]
#[test]
fn every_file_of_inputs_keeps_what_must_hold() {
    let files = files("input").unwrap();
    assert!(files.len() > 20, "only {} files", files.len());
    for input in files.values() {
        netmap_fuzz::input::run(input);
    }
}
