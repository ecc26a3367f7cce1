//! What the servers say to whoever asks: who they saw, where, and what came.

use std::{io::BufRead, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// A server's answer, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The client, as the server saw it.
    pub client: SocketAddr,
    /// The server's own end.
    pub local: SocketAddr,
    /// What the client sent, where it is short.
    pub payload: String,
    /// How many bytes followed, for transfers.
    pub bytes: u64,
    /// [`Digest`] of them.
    pub sum: u64,
}

impl Answer {
    /// An answer to `payload`.
    pub fn new(client: SocketAddr, local: SocketAddr, payload: impl Into<String>) -> Self {
        Self {
            client,
            local,
            payload: payload.into(),
            bytes: 0,
            sum: Digest::default().value(),
        }
    }

    /// The same, after `digest` was transferred.
    #[must_use]
    pub fn after(self, digest: Digest) -> Self {
        Self {
            bytes: digest.bytes(),
            sum: digest.value(),
            ..self
        }
    }

    /// As it goes over the wire, with its line feed.
    pub fn to_line(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// From what came over the wire.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .with_context(|| format!("no answer of a server: {:?}", String::from_utf8_lossy(bytes)))
    }

    /// Reads one line.
    pub fn read(from: &mut impl BufRead) -> Result<Self> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).context("no answer came")?;
        ensure!(!line.is_empty(), "the connection was closed without an answer");
        Self::from_bytes(&line)
    }

    /// Checks that `length` bytes of the [`Pattern`] arrived whole.
    pub fn ensure_whole(&self, length: u64) -> Result<()> {
        let expected = Digest::of_pattern(length);
        ensure!(self.bytes == length, "{} of {length} bytes arrived", self.bytes);
        ensure!(
            self.sum == expected.value(),
            "{length} bytes arrived, but not those that were sent"
        );
        Ok(())
    }
}

/// Length and hash (FNV-1a over little-endian words of eight bytes, the last one padded) of a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    bytes: u64,
    hash: u64,
    word: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            bytes: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            word: 0,
        }
    }
}

impl Digest {
    /// Of `length` bytes of the [`Pattern`].
    pub fn of_pattern(length: u64) -> Self {
        let mut digest = Self::default();
        let mut pattern = Pattern::new(length);
        while let Some(piece) = pattern.next_piece() {
            digest.add(piece);
        }
        digest
    }

    /// Adds the next bytes of the stream.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.word = self.word << 8 | u64::from(*byte);
            self.bytes += 1;
            if self.bytes.is_multiple_of(8) {
                self.hash = mix(self.hash, self.word);
                self.word = 0;
            }
        }
    }

    /// How many bytes there were.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their hash.
    pub const fn value(&self) -> u64 {
        mix(self.hash, self.word)
    }
}

/// A fixed stream of bytes without repetition, so that lost, doubled and reordered pieces show.
#[derive(Debug)]
pub struct Pattern {
    left: u64,
    state: u64,
    piece: Vec<u8>,
}

impl Pattern {
    /// Its first `length` bytes.
    pub fn new(length: u64) -> Self {
        Self {
            left: length,
            state: 1,
            piece: Vec::new(),
        }
    }

    /// The next bytes, at most 16 KiB.
    pub fn next_piece(&mut self) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        let length = usize::try_from(self.left.min(16 * 1024)).ok()?;
        self.piece.clear();
        while self.piece.len() < length {
            // Marsaglia's xorshift64.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            self.piece.extend_from_slice(&self.state.to_le_bytes());
        }
        self.piece.truncate(length);
        self.left -= length as u64;
        Some(&self.piece)
    }
}

const fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_lost_doubled_and_swapped_bytes() {
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.add(bytes);
            (digest.bytes(), digest.value())
        };
        let whole: Vec<u8> = Pattern::new(1_000).next_piece().unwrap().to_vec();
        let mut swapped = whole.clone();
        swapped.swap(10, 500);
        assert_eq!(digest(&whole), (1_000, Digest::of_pattern(1_000).value()));
        assert_ne!(digest(&whole), digest(&whole[..999]));
        assert_ne!(digest(&whole).1, digest(&swapped).1);
    }

    #[test]
    fn a_digest_does_not_depend_on_how_the_stream_is_cut() {
        let mut pieces = Digest::default();
        let mut pattern = Pattern::new(40_000);
        while let Some(piece) = pattern.next_piece() {
            for part in piece.chunks(7) {
                pieces.add(part);
            }
        }
        assert_eq!(pieces, Digest::of_pattern(40_000));
    }
}
