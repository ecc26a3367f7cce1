//! daemon.json as its owner wrote it: an object whose keys stay in their order, and whose values keep their text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// Why a text is no daemon.json.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or no object.
    #[error("is no JSON object: {0}")]
    Json(#[from] serde_json::Error),
}

/// The settings.
#[derive(Clone, Debug, Default)]
pub struct Document {
    entries: Vec<(String, Box<RawValue>)>,
    indent: Option<String>,
}

impl Document {
    /// From its text. An empty one has no settings.
    ///
    /// # Errors
    ///
    /// The text is no JSON object; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let Entries(entries) = serde_json::from_str(text)?;
        Ok(Self {
            entries,
            indent: indent(text),
        })
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it says of `key`.
    pub fn get(&self, key: &str) -> Option<Value> {
        let raw = self.raw(key)?;
        serde_json::from_str(raw.get()).ok()
    }

    /// The same as it is written.
    pub fn raw(&self, key: &str) -> Option<&RawValue> {
        // Of a key that is there twice the last one counts, as for dockerd.
        let entry = self.entries.iter().rev().find(|(name, _)| name == key)?;
        Some(&entry.1)
    }

    /// Says `value` of `key`: where it has said something already, or at the end.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.entries.iter().position(|(name, _)| name == key) {
            None => self.entries.push((key.to_owned(), value)),
            Some(place) => {
                if let Some(entry) = self.entries.get_mut(place) {
                    entry.1 = value;
                }
                let mut index = 0;
                self.entries.retain(|(name, _)| {
                    index += 1;
                    name != key || index - 1 == place
                });
            }
        }
    }

    /// Says nothing of `key` any more.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(name, _)| name != key);
    }

    /// A key a line.
    pub fn text(&self) -> String {
        if self.is_empty() {
            return "{}\n".to_owned();
        }
        let indent = self.indent.as_deref().unwrap_or("  ");
        let lines: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| format!("{indent}{}: {}", Value::from(key.as_str()), value.get()))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

/// The white space before the first key, if that begins a line.
fn indent(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('{')?;
    let (space, _) = rest.split_once('"')?;
    let (_, indent) = space.rsplit_once('\n')?;
    indent.trim().is_empty().then(|| indent.to_owned())
}

struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of settings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
