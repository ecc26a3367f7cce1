//! What the documents say that a program can check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use netmap_common::maps::Reason;

const REASONS: &str = include_str!("../../docs/reasons.md");
const NAT: &str = include_str!("../../docs/nat.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

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
fn links_lead_somewhere() -> Result<()> {
    let mut documents = vec![
        root().join("README.md"),
        root().join("ARCHITECTURE.md"),
        root().join("docs/benchmarks/README.md"),
    ];
    for entry in fs::read_dir(root().join("docs"))? {
        documents.push(entry?.path());
    }
    documents.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    for document in documents {
        let text = fs::read_to_string(&document)?;
        let folder = document.parent().context("a document without a folder")?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, _heading) = link.split_once('#').unwrap_or((link, ""));
            let is_elsewhere = link.starts_with("http");
            assert!(
                is_elsewhere || folder.join(file).exists(),
                "{}: {link}",
                document.display()
            );
        }
    }
    Ok(())
}

#[test]
fn every_requirement_names_tests_that_there_are() -> Result<()> {
    let mut text = String::new();
    for folder in ["netmap-common/src", "netmap-user", "tests/tests"] {
        visit(&root().join(folder), &mut |path| {
            text.push_str(&fs::read_to_string(path)?);
            Ok(())
        })?;
    }
    // The last column of every row.
    let named: Vec<_> = NAT
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "))
        .flat_map(|(_, column)| column.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 50, "only {} tests are named", named.len());
    for name in named {
        assert!(text.contains(&format!("fn {name}(")), "there is no test {name}");
    }
    Ok(())
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
    for package in [
        "netmap-common",
        "netmap-docker-proxy",
        "netmap-ebpf",
        "netmap-user",
    ] {
        visit(&root().join(package).join("src"), &mut |path| {
            if has_unsafe(path)? {
                found.insert(path.strip_prefix(root())?.display().to_string());
            }
            Ok(())
        })?;
    }
    assert_eq!(listed, found);
    Ok(())
}

/// Shows every Rust file below `folder`.
fn visit(folder: &Path, show: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, show)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            show(&path)?;
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
