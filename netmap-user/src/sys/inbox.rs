//! Many datagrams a call (recvmmsg(2)), each with the address that it was sent to (`IP_RECVORIGDSTADDR`,
//! `IPV6_RECVORIGDSTADDR`).

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd as _},
    ptr,
};

/// Longer than any UDP payload over IPv4 (65,507 bytes) or IPv6 without jumbograms.
const LONGEST: usize = 65_535;
/// `struct sockaddr_in`.
const NAME4: usize = size_of::<libc::sockaddr_in>();
/// `struct sockaddr_in6`.
const NAME: usize = size_of::<libc::sockaddr_in6>();
/// `struct cmsghdr`, which is as long as its alignment asks for.
const HEADER: usize = size_of::<libc::cmsghdr>();
/// Room for one control message with an address, in words, as it has to be aligned.
const CONTROL: usize = (HEADER + NAME).div_ceil(size_of::<u64>());

/// Room for datagrams of a socket of either family. Memory is touched only as far as datagrams fill it.
pub struct Inbox {
    slots: Box<[Slot]>,
    payloads: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    parts: Vec<libc::iovec>,
    received: usize,
}

/// What comes with one datagram.
#[derive(Clone, Copy)]
struct Slot {
    name: [u8; NAME],
    control: [u64; CONTROL],
    length: usize,
    is_whole: bool,
}

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'inbox> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address and port that it was sent to.
    pub to: SocketAddr,
    /// What it says.
    pub payload: &'inbox [u8],
}

impl Inbox {
    /// Room for `most` datagrams.
    pub fn new(most: usize) -> Self {
        let empty = Slot {
            name: [0; NAME],
            control: [0; CONTROL],
            length: 0,
            is_whole: false,
        };
        Self {
            slots: vec![empty; most].into(),
            payloads: vec![0; most * LONGEST],
            headers: Vec::with_capacity(most),
            parts: Vec::with_capacity(most),
            received: 0,
        }
    }

    /// How many datagrams fit.
    pub fn room(&self) -> usize {
        self.slots.len()
    }

    /// Takes what is there, in place of what was in here, and returns how many datagrams that is. Does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none, and whatever recvmmsg(2) fails with.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.received = 0;
        self.headers.clear();
        self.parts.clear();
        for (slot, payload) in self.slots.iter_mut().zip(self.payloads.chunks_exact_mut(LONGEST)) {
            self.parts.push(libc::iovec {
                iov_base: payload.as_mut_ptr().cast(),
                iov_len: LONGEST,
            });
            let msg_hdr = libc::msghdr {
                msg_name: slot.name.as_mut_ptr().cast(),
                msg_namelen: length(NAME),
                msg_iov: ptr::null_mut(),
                msg_iovlen: 1,
                msg_control: slot.control.as_mut_ptr().cast(),
                msg_controllen: size_of_val(&slot.control),
                msg_flags: 0,
            };
            self.headers.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
        }
        for (header, part) in self.headers.iter_mut().zip(&mut self.parts) {
            header.msg_hdr.msg_iov = part;
        }
        // SAFETY: every header names buffers of this inbox, each of the length given and in no other header, that live
        // and are not touched during the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                length(self.headers.len()),
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&self.headers).take(self.received) {
            let hdr = &header.msg_hdr;
            slot.length = usize::try_from(header.msg_len).unwrap_or(0);
            slot.is_whole = hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) == 0
                && hdr.msg_controllen >= HEADER + NAME4
                && hdr.msg_namelen >= length(NAME4);
        }
        Ok(self.received)
    }

    /// A datagram of the last call; none when it was cut short or did not say where it was sent to.
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        let slot = self.slots.get(index).filter(|_| index < self.received)?;
        let control: &[u8] = bytemuck::cast_slice(&slot.control);
        let (header, to) = control.split_at_checked(HEADER)?;
        let kind = header.get(size_of::<usize>()..)?;
        let wanted = [
            [libc::SOL_IP, libc::IP_ORIGDSTADDR],
            [libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR],
        ];
        let is_it = |wanted: [i32; 2]| kind == wanted.map(i32::to_ne_bytes).as_flattened();
        if !slot.is_whole || !wanted.into_iter().any(is_it) {
            return None;
        }
        let payload = self.payloads.chunks_exact(LONGEST).nth(index)?;
        Some(Datagram {
            from: address(&slot.name)?,
            to: address(to)?,
            payload: payload.get(..slot.length)?,
        })
    }
}

// SAFETY: the pointers in its headers are written and used within one call of `receive`, and nowhere else.
unsafe impl Send for Inbox {}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("room", &self.room())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// A `sockaddr_in` or `sockaddr_in6`, by the family that it names.
fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => {
            let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some((Ipv4Addr::from(address), port).into())
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let scope = u32::from_ne_bytes(bytes.get(24..28)?.try_into().ok()?);
            // Without the flow label: it does not tell who somebody is.
            Some(SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into())
        }
        _ => None,
    }
}

/// A length as the kernel's structures have it; all are small.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    fn sockets(says_where_to: bool) -> (UdpSocket, SocketAddr, UdpSocket, SocketAddr) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        setsockopt(&receiver, sockopt::Ipv4OrigDstAddr, &says_where_to).unwrap();
        let sender = UdpSocket::bind("127.0.0.2:0").unwrap();
        with_addresses(receiver, sender)
    }

    fn with_addresses(
        receiver: UdpSocket,
        sender: UdpSocket,
    ) -> (UdpSocket, SocketAddr, UdpSocket, SocketAddr) {
        let (to, from) = (receiver.local_addr().unwrap(), sender.local_addr().unwrap());
        (receiver, to, sender, from)
    }

    fn sockets6() -> (UdpSocket, SocketAddr, UdpSocket, SocketAddr) {
        let receiver = UdpSocket::bind("[::1]:0").unwrap();
        setsockopt(&receiver, sockopt::Ipv6OrigDstAddr, &true).unwrap();
        with_addresses(receiver, UdpSocket::bind("[::1]:0").unwrap())
    }

    #[test]
    fn datagrams_keep_their_order_boundaries_and_addresses() {
        for (receiver, to, sender, from) in [sockets(true), sockets6()] {
            let sent: Vec<Vec<u8>> = [0, 1, 1472, 60_000, 0, 7].map(|length| vec![7; length]).to_vec();
            let mut inbox = Inbox::new(4);
            for round in 0..2 {
                for payload in &sent {
                    sender.send_to(payload, to).unwrap();
                }
                let mut got = Vec::new();
                while got.len() < sent.len() {
                    let count = inbox.receive(&receiver).unwrap();
                    assert!(inbox.get(count).is_none(), "one more than came, round {round}");
                    for index in 0..count {
                        let datagram = inbox.get(index).unwrap();
                        assert_eq!((datagram.from, datagram.to), (from, to));
                        got.push(datagram.payload.to_vec());
                    }
                }
                assert!(got == sent, "changed on its way, round {round}");
            }
            assert_eq!(
                inbox.receive(&receiver).unwrap_err().kind(),
                io::ErrorKind::WouldBlock
            );
        }
    }

    #[test]
    fn a_datagram_that_does_not_say_where_it_was_sent_to_is_none() {
        let (receiver, to, sender, _) = sockets(false);
        let mut inbox = Inbox::new(4);
        sender.send_to(b"whereto?", to).unwrap();
        assert_eq!(inbox.receive(&receiver).unwrap(), 1);
        assert_eq!(inbox.get(0), None);
    }
}
