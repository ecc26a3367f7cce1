//! The kernel's own use of ports: the ephemeral range, and the ports that it must not hand out.

use std::{fs, io, path::PathBuf};

use super::ports::PortSet;
use crate::binding::PortSpan;

// Both files are those of the network namespace of the thread that opens them.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Ports that the kernel hands out to outgoing connections (`net.ipv4.ip_local_port_range`, IPv6 too).
pub fn ephemeral_range() -> io::Result<PortSpan> {
    parse_range(&fs::read_to_string(EPHEMERAL)?)
}

/// Ports that it never hands out, whoever wrote them there (`net.ipv4.ip_local_reserved_ports`).
pub fn reserved_ports() -> io::Result<PortSet> {
    parse_set(&fs::read_to_string(RESERVED)?)
}

/// Keeps published ranges out of the ephemeral ports, without touching what others have reserved.
///
/// The setting knows no owners and no transports: it is read, changed and written back as a whole. Two writers at
/// the same moment can lose each other's change; the daemon is the only writer on its side.
#[derive(Debug)]
pub struct Reservations {
    file: PathBuf,
    /// Every published range, TCP and UDP alike, so that the same ports may stand here twice.
    wanted: Vec<PortSpan>,
    /// Ports that stand in the setting because of us.
    added: PortSet,
}

impl Reservations {
    /// Takes over `added`, what an earlier daemon's [`Reservations::added`] was; empty on the first start.
    pub fn new(added: PortSet) -> Self {
        Self {
            file: PathBuf::from(RESERVED),
            wanted: Vec::new(),
            added,
        }
    }

    /// Ports that stand in the setting because of us: what has to be remembered over a restart.
    pub fn added(&self) -> &PortSet {
        &self.added
    }

    /// Reserves a published range.
    pub fn reserve(&mut self, span: PortSpan) -> io::Result<()> {
        let current = self.read()?;
        let (after, added) = with(&current, &self.added, span);
        self.write(&current, &after)?;
        self.added = added;
        self.wanted.push(span);
        Ok(())
    }

    /// Takes a reservation back; ports that others or another range of ours want stay.
    pub fn release(&mut self, span: PortSpan) -> io::Result<()> {
        let Some(position) = self.wanted.iter().position(|wanted| *wanted == span) else {
            return Ok(());
        };
        let mut wanted = self.wanted.clone();
        wanted.swap_remove(position);
        let current = self.read()?;
        let (after, added) = without(&current, &self.added, span, &wanted);
        self.write(&current, &after)?;
        self.added = added;
        self.wanted = wanted;
        Ok(())
    }

    /// Takes back everything that no range of ours wants, such as what an earlier daemon left.
    pub fn tidy(&mut self) -> io::Result<()> {
        let current = self.read()?;
        let stale = self.added.difference(&all(&self.wanted));
        self.write(&current, &current.difference(&stale))?;
        self.added = self.added.difference(&stale);
        Ok(())
    }

    fn read(&self) -> io::Result<PortSet> {
        parse_set(&fs::read_to_string(&self.file)?)
    }

    fn write(&self, before: &PortSet, after: &PortSet) -> io::Result<()> {
        if before == after {
            return Ok(());
        }
        // The kernel takes an empty line, not an empty file, for "none".
        fs::write(&self.file, format!("{after}\n"))
    }
}

/// What is reserved, and what of it because of us, once `span` is reserved too.
fn with(current: &PortSet, added: &PortSet, span: PortSpan) -> (PortSet, PortSet) {
    let span = PortSet::from(span);
    let new = span.difference(current);
    (current.union(&span), added.union(&new))
}

/// The same once `span` is given back and `wanted` remains.
fn without(current: &PortSet, added: &PortSet, span: PortSpan, wanted: &[PortSpan]) -> (PortSet, PortSet) {
    let gone = PortSet::from(span).intersection(added).difference(&all(wanted));
    (current.difference(&gone), added.difference(&gone))
}

fn all(spans: &[PortSpan]) -> PortSet {
    spans.iter().flat_map(|span| span.iter()).collect()
}

fn parse_range(text: &str) -> io::Result<PortSpan> {
    let invalid = |text: &str| {
        let text = text.trim();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("\"{text}\" in {EPHEMERAL} is no range of ports"),
        )
    };
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        return Err(invalid(text));
    };
    PortSpan::new(first, last).map_err(|_| invalid(text))
}

fn parse_set(text: &str) -> io::Result<PortSet> {
    text.parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{error} in {RESERVED}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u16, last: u16) -> PortSpan {
        PortSpan::new(first, last).unwrap()
    }

    /// Reservations over a file of the test's own that starts as `text`.
    fn over(folder: &tempfile::TempDir, text: &str) -> Reservations {
        let file = folder.path().join("reserved");
        fs::write(&file, text).unwrap();
        Reservations {
            file,
            ..Reservations::new(PortSet::new())
        }
    }

    #[test]
    fn the_ephemeral_range_is_two_numbers() {
        assert_eq!(parse_range("32768\t60999\n").unwrap(), span(32_768, 60_999));
        for text in ["", "32768", "60999 32768", "0 10", "1 2 3", "a b"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
        assert!(ephemeral_range().unwrap().len() > 1);
    }

    #[test]
    fn this_hosts_reserved_ports_can_be_read() {
        reserved_ports().unwrap();
    }

    #[test]
    fn others_entries_survive_reserve_and_release() {
        let folder = tempfile::tempdir().unwrap();
        let mut reservations = over(&folder, "8080,9000-9100\n");
        reservations.reserve(span(8_000, 8_999)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "8000-9100");
        reservations.release(span(8_000, 8_999)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "8080,9000-9100");
        assert!(reservations.added().is_empty());
    }

    #[test]
    fn ports_that_two_ranges_want_stay_until_both_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut reservations = over(&folder, "\n");
        reservations.reserve(span(100, 199)).unwrap();
        reservations.reserve(span(100, 199)).unwrap();
        reservations.reserve(span(150, 250)).unwrap();
        reservations.release(span(100, 199)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "100-250");
        reservations.release(span(100, 199)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "150-250");
        reservations.release(span(150, 250)).unwrap();
        assert_eq!(fs::read_to_string(&reservations.file).unwrap(), "\n");
    }

    #[test]
    fn what_was_never_reserved_is_not_released() {
        let folder = tempfile::tempdir().unwrap();
        let mut reservations = over(&folder, "5000-5999\n");
        reservations.release(span(5_000, 5_999)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "5000-5999");
    }

    #[test]
    fn a_new_daemon_takes_back_what_the_old_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut reservations = over(&folder, "80,5000-5999\n");
        reservations.added = span(5_000, 5_999).into();
        reservations.reserve(span(5_500, 5_599)).unwrap();
        reservations.tidy().unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "80,5500-5599");
        reservations.release(span(5_500, 5_599)).unwrap();
        assert_eq!(reservations.read().unwrap().to_string(), "80");
    }
}
