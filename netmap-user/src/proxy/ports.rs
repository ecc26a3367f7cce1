//! Sets of ports, as the kernel's port settings write them: `8080,9000-9100`.

use std::{fmt, str::FromStr};

use crate::binding::PortSpan;

/// Any ports of 0 to 65,535.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    /// Bit `port % 64` of word `port / 64`.
    words: Vec<u64>,
}

/// A text that is no set of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither a port nor a range of ports")]
pub struct PortSetError(String);

impl PortSet {
    const WORDS: usize = 65_536 / 64;

    /// No port.
    pub fn new() -> Self {
        Self {
            words: vec![0; Self::WORDS],
        }
    }

    /// Whether `port` is in it.
    pub fn contains(&self, port: u16) -> bool {
        self.words[usize::from(port / 64)] & bit(port) != 0
    }

    /// Whether no port is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Adds one port.
    pub fn insert(&mut self, port: u16) {
        self.words[usize::from(port / 64)] |= bit(port);
    }

    /// Its ports, rising.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..=u16::MAX).filter(|port| self.contains(*port))
    }

    /// Ports that are in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| mine | theirs)
    }

    /// Ports that are in this one and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| mine & !theirs)
    }

    /// Ports that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| mine & theirs)
    }

    fn zip(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let pairs = self.words.iter().zip(&other.words);
        Self {
            words: pairs.map(|(mine, theirs)| join(*mine, *theirs)).collect(),
        }
    }

    /// Its ports as the fewest ranges, both ends included, rising.
    fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for port in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
                _ => ranges.push((port, port)),
            }
        }
        ranges
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<T: IntoIterator<Item = u16>>(ports: T) -> Self {
        let mut set = Self::new();
        for port in ports {
            set.insert(port);
        }
        set
    }
}

impl From<PortSpan> for PortSet {
    fn from(span: PortSpan) -> Self {
        span.iter().collect()
    }
}

/// As `net.ipv4.ip_local_reserved_ports` is written; nothing but white space is the empty set.
impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        let mut set = Self::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
                return Err(PortSetError(item.to_owned()));
            };
            if last < first {
                return Err(PortSetError(item.to_owned()));
            }
            for port in first..=last {
                set.insert(port);
            }
        }
        Ok(set)
    }
}

/// As the kernel reads it: sorted, neighbours merged, nothing for the empty set.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

const fn bit(port: u16) -> u64 {
    1 << (port % 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> PortSet {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernels_text_is_read_and_written_back() {
        for text in ["", "8080", "8080,9000-9100", "0,65535", "0-65535"] {
            assert_eq!(set(text).to_string(), text);
        }
        assert_eq!(set(" 8080 , 9000-9100\n").to_string(), "8080,9000-9100");
    }

    #[test]
    fn neighbours_and_overlaps_are_merged() {
        assert_eq!(
            set("9001,8080,9000,9002-9010,9005-9020").to_string(),
            "8080,9000-9020"
        );
    }

    #[test]
    fn taking_a_part_out_splits_a_range() {
        assert_eq!(
            set("100-200").difference(&set("150-160")).to_string(),
            "100-149,161-200"
        );
        assert_eq!(
            set("100-200").intersection(&set("190-300")).to_string(),
            "190-200"
        );
    }

    #[test]
    fn what_is_no_port_is_named() {
        for text in ["x", "1-", "-1", "65536", "20-10"] {
            let error = format!("80,{text}").parse::<PortSet>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn writing_and_reading_keeps_every_port(ports in proptest::collection::vec(any::<u16>(), 0..200)) {
            let ports: PortSet = ports.into_iter().collect();
            prop_assert_eq!(set(&ports.to_string()), ports);
        }
    }
}
