//! What the documents say that a program can check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use netmap_common::maps::Reason;

const REASONS: &str = include_str!("../../docs/reasons.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const README: &str = include_str!("../../README.md");

#[test]
fn every_reason_has_its_heading_and_no_heading_is_without_a_reason() {
    let headings: Vec<_> = REASONS
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(headings, names);
}

#[test]
fn every_reason_stands_under_its_class() {
    let mut class = "";
    for line in REASONS.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            class = heading;
        }
        let reason = line
            .strip_prefix("### ")
            .and_then(|name| Reason::ALL.iter().find(|reason| reason.name() == name));
        if let Some(reason) = reason {
            assert_eq!(class.to_lowercase(), reason.class().name(), "{}", reason.name());
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for (folder, text) in [("", README), ("", ARCHITECTURE), ("docs", REASONS)] {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root().join(folder).join(link).exists(), "{link}");
        }
    }
}

#[test]
fn the_list_of_files_with_unsafe_code_is_right() -> Result<()> {
    let (_, section) = ARCHITECTURE
        .split_once("### Files with unsafe code")
        .context("there is no such list")?;
    let (section, _) = section.split_once("\n## ").context("the list has no end")?;
    let listed: BTreeSet<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut found = BTreeSet::new();
    for package in ["netmap-common", "netmap-ebpf", "netmap-user"] {
        collect(&root().join(package).join("src"), &mut found)?;
    }
    assert_eq!(listed, found);
    Ok(())
}

/// Adds the Rust files below `folder` that have unsafe code.
fn collect(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && has_unsafe(&path)? {
            found.insert(path.strip_prefix(root())?.display().to_string());
        }
    }
    Ok(())
}

fn has_unsafe(path: &Path) -> Result<bool> {
    // Attributes such as `#[unsafe(no_mangle)]` have no space there.
    Ok(fs::read_to_string(path)?
        .lines()
        .map(str::trim_start)
        .any(|line| !line.starts_with("//") && line.contains("unsafe ")))
}

/// The folder of the documents.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
