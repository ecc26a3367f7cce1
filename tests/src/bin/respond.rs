//! The server that the containers of a real Docker run: it says whom it sees, by TCP (HTTP, too) and UDP, at every port that
//! its arguments name, by every address that the container has of either family.

use std::{
    net::{Ipv6Addr, TcpListener, UdpSocket},
    thread,
};

use anyhow::{Context as _, Result};
use netmap_tests::{tcp, udp};

fn main() -> Result<()> {
    let mut servers = Vec::new();
    for port in std::env::args().skip(1) {
        let port: u16 = port.parse().with_context(|| format!("{port} is no port"))?;
        let anywhere = (Ipv6Addr::UNSPECIFIED, port);
        servers.push((
            tcp::Server::of(TcpListener::bind(anywhere)?)?,
            udp::Server::of(UdpSocket::bind(anywhere)?)?,
        ));
    }
    println!("{} ports", servers.len());
    loop {
        thread::park();
    }
}
