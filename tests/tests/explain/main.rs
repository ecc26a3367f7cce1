//! `netmap explain`: it says what the kernel does, and says it so that somebody can mend it.

mod comparison;
mod faults;
mod rows;

use anyhow::{Context as _, Result, ensure};
use netmap_tests::Netmap;
use serde_json::Value;

/// The answer to a question.
fn explain(netmap: &Netmap, question: &[&str]) -> Result<Value> {
    let text = netmap.done(&[&["explain"], question, &["--json"]].concat())?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// Every step of an answer, a line each.
fn steps(answer: &Value) -> String {
    let steps = answer["steps"].as_array().into_iter().flatten();
    let texts = steps.filter_map(|step| step["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// Fails unless the answer's keys are these, and its steps say all of that.
fn ensure_says(answer: &Value, keys: &[(&str, Value)], words: &[&str]) -> Result<()> {
    for (key, value) in keys {
        let found = answer.pointer(key).unwrap_or(&Value::Null);
        ensure!(found == value, "{key} is {found}, not {value}, in {answer:#}");
    }
    let steps = steps(answer);
    for word in words {
        ensure!(steps.contains(word), "'{word}' is missing in:\n{steps}");
    }
    Ok(())
}
