//! A DNS server (RFC 1035) for one zone, over UDP and TCP: it tells whoever asks who they are.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use crate::{DEADLINE, Namespace};

/// The name whose TXT record is the client's address, as the server sees it.
pub const WHO: &str = "who.test";
/// The name whose TXT record is [`large`].
pub const LARGE: &str = "large.test";

const HEADER: usize = 12;
/// Class IN, type TXT, name as in the question, kept for no time.
const RECORD: [u8; 10] = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0];
/// What a resolver takes over UDP unless it says more (4.2.1).
const PLAIN: usize = 512;
/// The record by which it does (RFC 6891, 6.1.2): no name, type OPT.
const OPTIONS: [u8; 3] = [0, 0, 41];

/// What a large record says: more than a packet holds.
pub fn large() -> String {
    "0123456789".repeat(350)
}

/// A server until it is dropped.
#[derive(Debug)]
pub struct Server {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Answers at `address` in `namespace`.
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let (datagrams, connections) =
            namespace.try_run(|| io::Result::Ok((UdpSocket::bind(address)?, TcpListener::bind(address)?)))?;
        datagrams.set_read_timeout(Some(PAUSE))?;
        connections.set_nonblocking(true)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (stopping_udp, stopping_tcp) = (Arc::clone(&stopping), Arc::clone(&stopping));
        let threads = vec![
            thread::spawn(move || {
                while !stopping_udp.load(Ordering::Relaxed) {
                    // Nobody asked for a while, or an earlier client is gone.
                    let _next = serve_datagram(&datagrams);
                }
            }),
            thread::spawn(move || {
                while !stopping_tcp.load(Ordering::Relaxed) {
                    if serve_connection(&connections).is_err() {
                        thread::sleep(PAUSE);
                    }
                }
            }),
        ];
        Ok(Self { stopping, threads })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// How soon a server notices that it is to end.
const PAUSE: Duration = Duration::from_millis(20);

fn serve_datagram(socket: &UdpSocket) -> io::Result<()> {
    let mut request = [0; 1_500];
    let (length, client) = socket.recv_from(&mut request)?;
    let request = request.get(..length).unwrap_or_default();
    let answer = answer(request, client).map(|answer| {
        if answer.len() > room(request) {
            truncated(&answer)
        } else {
            answer
        }
    });
    socket.send_to(&answer.unwrap_or_default(), client)?;
    Ok(())
}

fn serve_connection(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, client) = listener.accept()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut request)?;
    let answer = answer(&request, client).unwrap_or_default();
    let length = u16::try_from(answer.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())
}

/// What a request's client takes over UDP.
fn room(request: &[u8]) -> usize {
    let said = request
        .windows(5)
        .rev()
        .find(|window| window.starts_with(&OPTIONS));
    let said = said.map(|window| usize::from(u16::from_be_bytes([window[3], window[4]])));
    said.unwrap_or(PLAIN).max(PLAIN)
}

/// The answer without its record, and the sign that there is more: ask by TCP.
fn truncated(answer: &[u8]) -> Vec<u8> {
    let question = answer.get(HEADER..).and_then(question_length).unwrap_or_default();
    let mut short = answer.get(..HEADER + question).unwrap_or_default().to_vec();
    if let Some(flags) = short.get_mut(2) {
        *flags |= 0x02;
    }
    if let Some(records) = short.get_mut(6..8) {
        records.fill(0);
    }
    short
}

/// Name, type and class of a question, in bytes.
fn question_length(question: &[u8]) -> Option<usize> {
    let mut at = 0;
    while question.get(at)? != &0 {
        at += 1 + usize::from(*question.get(at)?);
    }
    Some(at + 5)
}

fn answer(request: &[u8], client: SocketAddr) -> Option<Vec<u8>> {
    let asked = request.get(HEADER..)?;
    let question = asked.get(..question_length(asked)?)?;
    let name = question.get(1..6)?;
    let text = match name {
        b"who\x04t" => client.ip().to_string(),
        b"large" => large(),
        _ => return None,
    };
    let mut record = Vec::new();
    for piece in text.as_bytes().chunks(255) {
        record.push(u8::try_from(piece.len()).ok()?);
        record.extend(piece);
    }
    let mut answer = request.get(..2)?.to_vec();
    // A response with authority, to one question with one answer.
    answer.extend([0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question);
    answer.extend(RECORD);
    answer.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
    answer.extend(record);
    Some(answer)
}
