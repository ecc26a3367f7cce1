//! The socket on which the kernel tells what changes.
//!
//! A plain socket instead of rtnetlink's connection: that one reads ahead into memory without bound, and drops what
//! it cannot decode after logging it. Here the kernel's buffer is the bound, and both kinds of loss are noticed.

use std::{future, io, task::Poll};

use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    sys::{AsyncSocket as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};

use super::event::Event;

/// What is listened to. The last two tell whether the host forwards.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Netconf,
    MulticastGroup::Ipv6Netconf,
];

/// `RTM_NEWNETCONF` of `linux/rtnetlink.h`.
const RTM_NEWNETCONF: u16 = 80;
/// `RTM_DELNETCONF` of `linux/rtnetlink.h`.
const RTM_DELNETCONF: u16 = 81;

/// Bytes of the largest message; the kernel sends none beyond 32 KiB unasked.
const MESSAGE: usize = 64 * 1024;

/// How many datagrams are read in a row before the rest of the program gets its turn.
const BATCH: usize = 1_024;

/// Messages from the kernel, since the socket was opened.
pub(super) struct Watch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

/// What was heard at once.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// In the order in which it happened.
    pub(super) events: Vec<Event>,
    /// A setting of IPv4 or IPv6 changed, maybe whether the host forwards.
    pub(super) settings: bool,
    /// Something was lost: only a new dump tells how things are.
    pub(super) loss: bool,
}

impl Watch {
    /// Listens in the network namespace of the calling thread. `queue` is the size of the kernel's queue in bytes;
    /// the kernel doubles it.
    pub(super) fn open(queue: usize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        // Beyond the limit of net.core.rmem_max where that is permitted, up to it elsewhere.
        if setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &queue).is_err() {
            setsockopt(socket.socket_ref(), sockopt::RcvBuf, &queue)?;
        }
        let groups = GROUPS
            .iter()
            .fold(0, |bits, group| bits | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        let buffer = Vec::with_capacity(MESSAGE);
        Ok(Self { socket, buffer })
    }

    /// Waits until something happens, and takes in everything that is ready then. Cancel safe.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        let Self { socket, buffer } = self;
        future::poll_fn(|context| {
            let mut heard = Heard::default();
            for read in 0..BATCH {
                buffer.clear();
                match socket.poll_recv_from(context, buffer) {
                    // Only the kernel has port number 0.
                    Poll::Ready(Ok(sender)) if sender.port_number() == 0 => heard.take(buffer),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        heard.loss = true;
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if read == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(heard))
        })
        .await
    }
}

impl Heard {
    /// Takes in one datagram, which may hold several messages.
    pub(super) fn take(&mut self, mut datagram: &[u8]) {
        while !datagram.is_empty() {
            let Ok(buffer) = NetlinkBuffer::new_checked(datagram) else {
                self.loss = true;
                return;
            };
            let length = buffer.length() as usize;
            let kind = buffer.message_type();
            let (message, rest) = datagram.split_at(length);
            datagram = rest
                .get(length.next_multiple_of(4) - length..)
                .unwrap_or_default();
            if matches!(kind, RTM_NEWNETCONF | RTM_DELNETCONF) {
                self.settings = true;
                continue;
            }
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
                Ok(NetlinkMessage {
                    header,
                    payload: NetlinkPayload::InnerMessage(message),
                    ..
                }) => {
                    self.events.extend(Event::from_message(&message, header.flags));
                }
                Ok(NetlinkMessage {
                    payload: NetlinkPayload::Overrun(_),
                    ..
                }) => self.loss = true,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, kind, "a message of the kernel could not be decoded");
                    self.loss = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_message_counts_as_loss() {
        let mut heard = Heard::default();
        heard.take(&[200, 0, 0, 0, 16, 0]);
        assert!(heard.loss && heard.events.is_empty());
    }

    #[test]
    fn an_undecodable_message_counts_as_loss_and_a_setting_does_not() {
        // RTM_NEWLINK with two bytes where a header of 16 belongs, padded; then RTM_NEWNETCONF.
        let mut datagram = vec![18, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0];
        let mut heard = Heard::default();
        heard.take(&datagram);
        assert!(heard.loss && !heard.settings);
        datagram.splice(.., [16, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        heard = Heard::default();
        heard.take(&datagram);
        assert!(!heard.loss && heard.settings && heard.events.is_empty());
    }
}
