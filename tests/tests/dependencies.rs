//! What netmap takes from others keeps to `deny.toml`: licences, sources and bans. `cargo deny` would say the same, but
//! takes longer to build than everything else; this reads what cargo knows already.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Result, ensure};
use serde::Deserialize;

/// Where cargo takes packages from by itself, as it stands in Cargo.lock.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<String>,
    skip: Vec<Skipped>,
}

#[derive(Deserialize)]
struct Skipped {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn policy() -> Result<Policy> {
    Ok(toml::from_str(&std::fs::read_to_string(
        root().join("deny.toml"),
    )?)?)
}

/// Everything that is built for this machine, of others and of netmap.
fn packages() -> Result<Vec<Package>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--locked", "--format-version=1", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    ensure!(metadata.packages.len() > 50, "these are not all");
    Ok(metadata.packages)
}

#[test]
fn every_licence_is_one_that_is_allowed() -> Result<()> {
    let allowed = policy()?.licenses.allow;
    let refused: Vec<_> = packages()?
        .into_iter()
        .filter(|package| {
            let license = package.license.as_deref().unwrap_or_default();
            !is_allowed(license, &allowed)
        })
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    Ok(())
}

#[test]
fn everything_is_of_the_one_registry_with_a_checksum_or_of_this_repository() -> Result<()> {
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
    ensure!(lock.package.len() > 50);
    for package in lock.package {
        let is_ours = package.source.is_none() && is_of_netmap(&package.name);
        let is_registered = package.source.as_deref() == Some(REGISTRY) && package.checksum.is_some();
        ensure!(
            is_ours || is_registered,
            "{} is of {:?}",
            package.name,
            package.source
        );
    }
    ensure!(packages()?.iter().all(|package| match &package.source {
        Some(source) => source == REGISTRY,
        None => is_of_netmap(&package.name),
    }));
    Ok(())
}

#[test]
fn nothing_banned_and_nothing_twice_but_what_is_excused() -> Result<()> {
    let bans = policy()?.bans;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages()? {
        ensure!(!bans.deny.contains(&package.name), "{} is banned", package.name);
        versions.entry(package.name).or_default().push(package.version);
    }
    let twice: Vec<_> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, _)| name.clone())
        .collect();
    let mut excused: Vec<_> = bans.skip.into_iter().map(|skipped| skipped.name).collect();
    excused.sort_unstable();
    ensure!(
        twice == excused,
        "twice: {twice:?}, but deny.toml excuses {excused:?}"
    );
    Ok(())
}

#[test]
fn licences_are_read_as_they_are_written() -> Result<()> {
    let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("GPL-3.0 OR MIT AND Zlib", true),
        ("GPL-3.0 AND Zlib OR MIT AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
        ("(MIT", false),
        ("MIT Zlib", false),
    ] {
        ensure!(is_allowed(expression, &allowed) == expected, "{expression}");
    }
    Ok(())
}

fn is_of_netmap(name: &str) -> bool {
    name.starts_with("netmap") || name == "xtask"
}

/// Whether an expression of SPDX can be kept to by what is allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let is_met = any(&mut words, allowed);
    is_met == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// One of several, `None` for what is no expression.
fn any(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut is_met = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        is_met |= all(words, allowed)?;
    }
    Some(is_met)
}

fn all(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut is_met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        is_met &= one(words, allowed)?;
    }
    Some(is_met)
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let name = words.next()?;
    if name == "(" {
        let is_met = any(words, allowed)?;
        return words.next_if_eq(&")").map(|_| is_met);
    }
    let name = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{name} WITH {}", words.next()?),
        None => name.to_owned(),
    };
    Some(allowed.contains(&name))
}
