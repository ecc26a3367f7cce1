//! Dropped packets in a file that Wireshark reads, the reason as each one's comment.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context as _;
use netmap_common::maps::EVENT_BYTES;
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

use crate::api::events::{self, Event, Happening};

/// A file that is whole after every packet.
pub(super) struct Capture<W: Write = BufWriter<File>> {
    file: PcapNgWriter<W>,
    /// The file's numbers of interfaces.
    interfaces: BTreeMap<String, u32>,
}

impl Capture {
    /// A new file, in place of one that may be there.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> Capture<W> {
    fn new(file: W) -> anyhow::Result<Self> {
        let mut file = PcapNgWriter::new(file)?;
        file.get_mut().flush()?;
        Ok(Self {
            file,
            interfaces: BTreeMap::new(),
        })
    }

    /// Adds the packet, if it is about a dropped one.
    pub(super) fn add(&mut self, event: &Event) -> anyhow::Result<()> {
        let Happening::PacketDropped(packet) = &event.what else {
            return Ok(());
        };
        let time = humantime::parse_rfc3339(&event.time)
            .with_context(|| format!("the daemon tells no time: {}", event.time))?;
        let data = packet.frame.as_deref().and_then(bytes);
        let data = data.context("the daemon tells no bytes of a packet")?;
        let comment = match events::reason(&packet.reason) {
            Some(reason) => format!("{} ({}): {}", packet.reason, packet.hook, reason.meaning()),
            None => format!("{} ({})", packet.reason, packet.hook),
        };
        let block = EnhancedPacketBlock {
            interface_id: self.interface(&packet.interface)?,
            timestamp: time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
            original_len: packet.length,
            data: Cow::Owned(data),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(comment))],
        };
        self.file.write_pcapng_block(block)?;
        self.file.get_mut().flush()?;
        Ok(())
    }

    /// The file's number of an interface.
    fn interface(&mut self, name: &str) -> anyhow::Result<u32> {
        /// Times are in units of ten to the power of minus nine seconds (`if_tsresol`).
        const NANOSECONDS: u8 = 9;
        if let Some(number) = self.interfaces.get(name) {
            return Ok(*number);
        }
        let number = u32::try_from(self.interfaces.len())?;
        self.file.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: u32::try_from(EVENT_BYTES)?,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(name.to_owned())),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        })?;
        self.interfaces.insert(name.to_owned(), number);
        Ok(number)
    }
}

/// Of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{PcapNgReader, blocks::Block};

    use super::*;
    use crate::api::events::samples;

    #[test]
    fn dropped_packets_alone_are_written_with_their_reason() {
        let mut capture = Capture::new(Vec::new()).unwrap();
        for event in samples::all() {
            capture.add(&event).unwrap();
        }
        for event in samples::all() {
            capture.add(&event).unwrap();
        }
        let written = capture.file.into_inner();
        let mut reader = PcapNgReader::new(written.as_slice()).unwrap();
        let mut packets = 0;
        let mut interfaces = 0;
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(_) => interfaces += 1,
                Block::EnhancedPacket(packet) => {
                    packets += 1;
                    assert_eq!(
                        (packet.original_len, packet.data.as_ref()),
                        (74, &[2, 0, 255][..])
                    );
                    let comment = "not-allowed (uplink-in): The source is not in the rule's allow-list.";
                    let expected = EnhancedPacketOption::Comment(Cow::Borrowed(comment));
                    assert_eq!(packet.options, [expected]);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((packets, interfaces), (2, 1));
    }

    #[test]
    fn digits_come_in_pairs() {
        assert_eq!(bytes("00ff7a"), Some(vec![0, 255, 122]));
        for wrong in ["0", "0g", "000", "é"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
