//! A STUN server with two addresses and two ports (RFC 3489), and Debian's client, which tells by it what kind of NAT it is
//! behind.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::Namespace;

/// The server's ports: the one to ask, and the other.
pub const PORTS: [u16; 2] = [3478, 3479];

const REQUEST: [u8; 2] = [0x00, 0x01];
const RESPONSE: [u8; 2] = [0x01, 0x01];
/// Attributes (RFC 3489, 11.2).
const MAPPED_ADDRESS: u8 = 1;
const CHANGE_REQUEST: u8 = 3;
const SOURCE_ADDRESS: u8 = 4;
const CHANGED_ADDRESS: u8 = 5;
const HEADER: usize = 20;
const CHANGE_ADDRESS: u8 = 4;
const CHANGE_PORT: u8 = 2;

/// A server at two addresses of one machine, until it is dropped.
#[derive(Debug)]
pub struct Server {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Answers at both addresses and both [`PORTS`].
    pub fn start(namespace: &Namespace, addresses: [Ipv4Addr; 2]) -> Result<Self> {
        let places = addresses.map(|address| PORTS.map(|port| SocketAddrV4::new(address, port)));
        let open = |place: SocketAddrV4| {
            let socket = UdpSocket::bind(place)?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            io::Result::Ok((place, socket))
        };
        let sockets = namespace.try_run(|| {
            places
                .into_iter()
                .flatten()
                .map(open)
                .collect::<io::Result<Vec<_>>>()
        })?;
        let sockets = Arc::new(sockets);
        let stopping = Arc::new(AtomicBool::new(false));
        let serve = |at: usize| {
            let (sockets, stopping) = (Arc::clone(&sockets), Arc::clone(&stopping));
            thread::spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    // Nobody asked, or not in these words.
                    let _next = answer(&sockets, at);
                }
            })
        };
        Ok(Self {
            threads: (0..sockets.len()).map(serve).collect(),
            stopping,
        })
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

/// Answers the next request at one of the four sockets, from the one that the client wants.
fn answer(sockets: &[(SocketAddrV4, UdpSocket)], at: usize) -> Option<()> {
    let (_, socket) = sockets.get(at)?;
    let mut request = [0; 512];
    let (length, client) = socket.recv_from(&mut request).ok()?;
    let SocketAddr::V4(client) = client else {
        return None;
    };
    let request = request.get(..length)?;
    let id = request.get(4..HEADER).filter(|_| request.starts_with(&REQUEST))?;
    let change = changes(request);
    let turned = |at: usize, change: u8| {
        let place = if change & CHANGE_ADDRESS == 0 { at } else { at ^ 2 };
        if change & CHANGE_PORT == 0 {
            place
        } else {
            place ^ 1
        }
    };
    let (from, socket) = sockets.get(turned(at, change))?;
    let (other, _) = sockets.get(turned(at, CHANGE_ADDRESS | CHANGE_PORT))?;
    let attributes = [
        (MAPPED_ADDRESS, client),
        (SOURCE_ADDRESS, *from),
        (CHANGED_ADDRESS, *other),
    ];
    let mut response = RESPONSE.to_vec();
    response.extend([0, 36]);
    response.extend(id);
    for (name, place) in attributes {
        response.extend([0, name, 0, 8, 0, 1]);
        response.extend(place.port().to_be_bytes());
        response.extend(place.ip().octets());
    }
    socket.send_to(&response, client).ok()?;
    Some(())
}

/// Whether the answer is to come from the other address, the other port, or both.
fn changes(request: &[u8]) -> u8 {
    let mut rest = request.get(HEADER..).unwrap_or_default();
    while let [0, name, 0, length, value @ ..] = rest {
        if let (CHANGE_REQUEST, [_, _, _, flags, ..]) = (*name, value) {
            return *flags;
        }
        rest = value.get(usize::from(*length)..).unwrap_or_default();
    }
    0
}

/// What Debian's client (stun-client), which asks from `port`, says of the NAT between `namespace` and the server at `server`:
/// one line.
pub fn kind_of_nat(namespace: &Namespace, port: u16, server: Ipv4Addr) -> Result<String> {
    let mut client = namespace.command("timeout");
    // Its exit status is the kind as a number.
    let Output { stdout, stderr, .. } = client
        .args(["30", "stun", &server.to_string(), "-p", &port.to_string()])
        .output()
        .context("cannot start stun, of Debian's package stun-client")?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("Primary: "));
    let line = line.map(str::to_owned);
    line.with_context(|| format!("stun said {said:?} and {:?}", String::from_utf8_lossy(&stderr)))
}
