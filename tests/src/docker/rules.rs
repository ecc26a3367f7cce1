//! What the host's netfilter holds: nothing, where netmap does an engine's work.

use anyhow::{Result, ensure};

use crate::Namespace;

/// The rules and chains in `namespace`, one a line, by iptables and by nftables. Chains that are empty and accept count for
/// nothing: to list a table makes them.
pub fn list(namespace: &Namespace) -> Result<Vec<String>> {
    let mut rules = Vec::new();
    for program in ["iptables-save", "ip6tables-save"] {
        let saved = namespace.line(program)?;
        rules.extend(saved.lines().filter(|line| counts(line)).map(str::to_owned));
    }
    let listed = namespace.line("nft --json list ruleset")?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let objects = listed.get("nftables").and_then(|objects| objects.as_array());
    rules.extend(
        objects
            .into_iter()
            .flatten()
            .filter(|object| object.get("rule").is_some())
            .map(ToString::to_string),
    );
    Ok(rules)
}

/// Fails where there is any.
pub fn ensure_none(namespace: &Namespace) -> Result<()> {
    let rules = list(namespace)?;
    ensure!(
        rules.is_empty(),
        "netfilter holds {} rules:\n{}",
        rules.len(),
        rules.join("\n")
    );
    Ok(())
}

/// Whether a line of iptables-save is a rule, a chain of somebody's or a policy other than to accept.
fn counts(line: &str) -> bool {
    match line.chars().next() {
        Some('-') => true,
        Some(':') => !line.contains(" ACCEPT "),
        _ => false,
    }
}
