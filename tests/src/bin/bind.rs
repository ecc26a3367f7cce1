//! A program of the host that wants a port: `bind tcp|udp ADDRESS:PORT`. Ends well if it gets it.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(transport), Some(address)) = (arguments.next(), arguments.next()) else {
        bail!("usage: bind tcp|udp ADDRESS:PORT");
    };
    let address: SocketAddr = address
        .parse()
        .with_context(|| format!("no address: {address}"))?;
    match transport.as_str() {
        "tcp" => drop(TcpListener::bind(address)?),
        "udp" => drop(UdpSocket::bind(address)?),
        _ => bail!("no such transport: {transport}"),
    }
    Ok(())
}
