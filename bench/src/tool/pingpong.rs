//! One request at a time.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddrV4, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{MESSAGE, Outcome, PATIENCE, histogram::Histogram, request};

/// Over one TCP connection.
pub(super) fn tcp(to: SocketAddrV4, time: Duration) -> Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE)
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    run(time, |request| {
        stream.write_all(request)?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer).context("no answer came")?;
        Ok(Some(answer))
    })
}

/// Over one UDP socket; a lost packet is a failure, and the next is sent.
pub(super) fn udp(to: SocketAddrV4, time: Duration) -> Result<Outcome> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    run(time, |request| {
        socket.send(request)?;
        let mut answer = [0; MESSAGE];
        match socket.recv(&mut answer) {
            Ok(_) => Ok(Some(answer)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{to} does not answer")),
        }
    })
}

fn run(
    time: Duration,
    mut ask: impl FnMut(&[u8; MESSAGE]) -> Result<Option<[u8; MESSAGE]>>,
) -> Result<Outcome> {
    let (mut histogram, mut failed) = (Histogram::default(), 0);
    let start = Instant::now();
    let mut began = start;
    while began - start < time {
        let request = request(b'p', histogram.count() + failed);
        let answer = ask(&request)?;
        let ended = Instant::now();
        match answer {
            Some(answer) => {
                ensure!(answer == request, "the answer is not that of the request");
                histogram.add(ended - began);
            }
            None => failed += 1,
        }
        began = ended;
    }
    let done = histogram.count();
    let [p50, p99] = histogram.percentiles();
    Ok(Outcome {
        done,
        failed,
        seconds: (began - start).as_secs_f64(),
        p50,
        p99,
        ..Outcome::default()
    })
}
