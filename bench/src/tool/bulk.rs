//! As many bytes as fit.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddrV4, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Outcome, PATIENCE};

/// Bytes of a piece.
pub(super) const PIECE: usize = 128 << 10;

/// Sends for `time`; the server must say that it received as much.
pub(super) fn upload(to: SocketAddrV4, time: Duration) -> Result<Outcome> {
    let mut stream = connect(to, b'u')?;
    let piece = vec![0_u8; PIECE];
    let mut sent = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        stream
            .write_all(&piece)
            .context("the server takes no more bytes")?;
        sent += PIECE as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut total = [0; 8];
    stream
        .read_exact(&mut total)
        .context("the server did not say what it received")?;
    let done = u64::from_be_bytes(total);
    ensure!(done == sent, "of {sent} bytes {done} arrived");
    Ok(Outcome {
        done,
        seconds: start.elapsed().as_secs_f64(),
        ..Outcome::default()
    })
}

/// Receives for `time`.
pub(super) fn download(to: SocketAddrV4, time: Duration) -> Result<Outcome> {
    let mut stream = connect(to, b'd')?;
    let mut piece = vec![0_u8; PIECE];
    let mut done = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        let length = stream.read(&mut piece).context("no more bytes came")?;
        ensure!(length > 0, "the server ended early");
        done += length as u64;
    }
    Ok(Outcome {
        done,
        seconds: start.elapsed().as_secs_f64(),
        ..Outcome::default()
    })
}

fn connect(to: SocketAddrV4, purpose: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE)
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[purpose])?;
    Ok(stream)
}
