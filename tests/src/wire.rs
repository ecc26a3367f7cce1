//! Frames as they are on an interface: what comes by, and frames that no socket would send.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send,
            setsockopt, socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use crate::{DEADLINE, Namespace};

/// A packet socket on one interface, which keeps what came by since it was opened.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    mac: [u8; 6],
}

impl Wire {
    /// Opens `interface` in `namespace`.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace
            .run(|| open(interface))?
            .with_context(|| format!("{interface} in {}", namespace.name()))
    }

    /// The interface's own link-layer address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Sends a whole Ethernet frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        ensure!(sent == frame.len(), "{sent} of {} bytes left", frame.len());
        Ok(())
    }

    /// Waits for a frame, in either direction, that `pick` takes. VLAN tags are already off.
    pub fn find<T>(&self, what: &str, mut pick: impl FnMut(&[u8]) -> Option<T>) -> Result<T> {
        let end = Instant::now() + DEADLINE;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < end {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    if let Some(picked) = pick(buffer.get(..length).unwrap_or_default()) {
                        return Ok(picked);
                    }
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => bail!("cannot read frames: {errno}"),
            }
        }
        bail!("within {DEADLINE:?} there was no {what} on the wire")
    }

    /// Every frame that came by until now.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => frames.push(buffer.get(..length).unwrap_or_default().to_vec()),
                Err(Errno::EAGAIN) => return Ok(frames),
                Err(errno) => bail!("cannot read frames: {errno}"),
            }
        }
    }
}

/// Whether `frame` carries `content` somewhere.
pub fn carries(frame: &[u8], content: &str) -> bool {
    frame
        .windows(content.len())
        .any(|window| window == content.as_bytes())
}

fn open(interface: &str) -> Result<Wire> {
    let address = link(interface)?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    bind(socket.as_raw_fd(), &address)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(100))?;
    let mac = address.addr().context("no link-layer address")?;
    Ok(Wire { socket, mac })
}

fn link(interface: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .context("no such interface")
}
