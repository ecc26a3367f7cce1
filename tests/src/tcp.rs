//! A TCP server that says whom it sees, and its clients.
//!
//! A client sends lines: `ask TEXT` is answered by an [`Answer`], as often as it likes. `take` reads to the client's
//! end and then answers, `give N` answers, sends N bytes and closes its half first, `echo` answers and sends back what
//! comes. `GET PATH` is answered as a web server does ([`crate::http`]).

mod client;
mod server;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result};

pub use client::{Client, connect, request};
pub use server::Server;

use crate::{
    Answer,
    answer::{Digest, Pattern},
};

fn send(stream: &mut TcpStream, length: u64) -> Result<()> {
    let mut pattern = Pattern::new(length);
    let mut sent = 0;
    while let Some(piece) = pattern.next_piece() {
        stream
            .write_all(piece)
            .with_context(|| format!("stuck after sending {sent} of {length} bytes"))?;
        sent += piece.len();
    }
    Ok(())
}

/// Reads to the end.
fn receive(stream: &mut BufReader<TcpStream>) -> Result<Answer> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    receive_as(stream, Answer::new(nobody, nobody, ""))
}

fn receive_as(stream: &mut BufReader<TcpStream>, answer: Answer) -> Result<Answer> {
    let mut digest = Digest::default();
    loop {
        let piece = stream
            .fill_buf()
            .with_context(|| format!("nothing more came after {} bytes", digest.bytes()))?;
        if piece.is_empty() {
            return Ok(answer.after(digest));
        }
        let length = piece.len();
        digest.add(piece);
        stream.consume(length);
    }
}
