//! What is in the file: JSON, a rule a line.

use netmap_common::maps::capacity;
use serde::Deserialize;

use crate::{binding::Binding, spec};

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

/// The file of any version.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: u64,
    published: Vec<Binding>,
}

/// The bindings in the file; none in one of no bytes. Or what is wrong with it, as in "is of version 7".
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Binding>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let broken = |error: serde_json::Error| format!("is not what netmap has written ({error})");
    let Versioned { version } = serde_json::from_slice(bytes).map_err(broken)?;
    if version != VERSION {
        return Err(format!(
            "is of version {version}, and this netmap knows version {VERSION}"
        ));
    }
    let Document { published, .. } = serde_json::from_slice(bytes).map_err(broken)?;
    // Either family has so many.
    if published.len() > 2 * capacity::RULES {
        return Err(format!("has {} rules, more than there can be", published.len()));
    }
    for binding in &published {
        spec::check(binding)
            .map_err(|error| format!("has a rule that makes no sense, {binding}: {error}"))?;
    }
    Ok(published)
}

/// The file for these bindings.
pub(super) fn compose(bindings: &mut dyn Iterator<Item = &Binding>) -> Vec<u8> {
    let mut text = format!("{{\"version\":{VERSION},\"published\":[");
    for (number, binding) in bindings.enumerate() {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        // Nothing in a binding has no JSON.
        text.push_str(&serde_json::to_string(binding).unwrap_or_default());
    }
    text.push_str("\n]}\n");
    text.into_bytes()
}
