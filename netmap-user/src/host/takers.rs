//! Which devices take frames that XDP sends to them, as the family "netdev" of generic netlink tells (Linux 6.3).
//!
//! A veth takes them only while its other end has generic receive offload, or a program of its own, on. What is sent to
//! a device that takes none is lost without a word, so an older kernel's devices count as such that do not.

use std::{collections::BTreeSet, future, io, task::Poll};

use netmap_common::maps::IfIndex;
use rtnetlink::{
    packet_core::{
        NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlaBuffer, NlasIterator, parse_string, parse_u16,
        parse_u32, parse_u64,
    },
    sys::{AsyncSocket as _, Socket, SocketAddr, TokioSocket, protocols::NETLINK_GENERIC},
};

/// `NETDEV_XDP_ACT_NDO_XMIT` of `linux/netdev.h`: the device takes single frames.
const NDO_XMIT: u64 = 1 << 2;

/// Bytes of the largest message.
const MESSAGE: usize = 64 * 1024;
/// How many datagrams are read in a row before the rest of the program gets its turn.
const BATCH: usize = 1_024;
/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS: usize = 16 + 4;

/// The devices of this network namespace that take frames.
pub(super) struct Takers {
    family: u16,
    socket: TokioSocket,
    buffer: Vec<u8>,
    known: BTreeSet<IfIndex>,
}

impl Takers {
    /// Listens in the network namespace of the calling thread, and asks for everything as it is. None where the kernel
    /// has no such family.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let Some(family) = Family::find("netdev", "mgmt")? else {
            return Ok(None);
        };
        let mut socket = TokioSocket::new(NETLINK_GENERIC)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_mut().add_membership(family.group)?;
        let mut takers = Self {
            family: family.id,
            socket,
            buffer: Vec::with_capacity(MESSAGE),
            known: BTreeSet::new(),
        };
        takers.ask()?;
        Ok(Some(takers))
    }

    /// Waits until something is told, and returns the devices then. Cancel safe.
    pub(super) async fn hear(&mut self) -> io::Result<BTreeSet<IfIndex>> {
        future::poll_fn(|context| {
            for read in 0..BATCH {
                self.buffer.clear();
                match self.socket.poll_recv_from(context, &mut self.buffer) {
                    Poll::Ready(Ok(sender)) if sender.port_number() == 0 => self.take(),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        // One of those that were lost may have been the word that a device takes none any more.
                        self.known.clear();
                        self.ask()?;
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if read == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(self.known.clone()))
        })
        .await
    }

    /// Has the kernel tell about every device.
    fn ask(&mut self) -> io::Result<()> {
        const NETDEV_CMD_DEV_GET: u8 = 1;
        let question = message(self.family, NLM_F_REQUEST | NLM_F_DUMP, NETDEV_CMD_DEV_GET, &[]);
        self.socket
            .socket_ref()
            .send_to(&question, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// Takes in the datagram that was read.
    fn take(&mut self) {
        for (kind, payload) in messages(&self.buffer) {
            if kind == self.family
                && let Some((device, takes)) = device(payload)
            {
                if takes {
                    self.known.insert(device);
                } else {
                    self.known.remove(&device);
                }
            }
        }
    }
}

/// What a message says of a device: that it takes frames, or that it takes none or is gone.
fn device(payload: &[u8]) -> Option<(IfIndex, bool)> {
    const NETDEV_CMD_DEV_DEL_NTF: u8 = 3;
    const NETDEV_A_DEV_IFINDEX: u16 = 1;
    const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
    let (command, attributes) = payload.split_first()?;
    let mut index = None;
    let mut features = 0;
    for (kind, value) in attributes_of(attributes.get(3..)?) {
        match kind {
            NETDEV_A_DEV_IFINDEX => index = parse_u32(value).ok(),
            NETDEV_A_DEV_XDP_FEATURES => features = parse_u64(value).ok()?,
            _ => {}
        }
    }
    let takes = *command != NETDEV_CMD_DEV_DEL_NTF && features & NDO_XMIT != 0;
    Some((IfIndex(index?), takes))
}

/// A family of generic netlink, and one of its multicast groups.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    id: u16,
    group: u32,
}

impl Family {
    /// Asks the kernel, which answers before it returns.
    fn find(name: &str, group: &str) -> io::Result<Option<Self>> {
        const GENL_ID_CTRL: u16 = 16;
        const CTRL_CMD_GETFAMILY: u8 = 3;
        let socket = Socket::new(NETLINK_GENERIC)?;
        let question = message(
            GENL_ID_CTRL,
            NLM_F_REQUEST,
            CTRL_CMD_GETFAMILY,
            &attribute(CTRL_ATTR_FAMILY_NAME, name),
        );
        socket.send_to(&question, &SocketAddr::new(0, 0), 0)?;
        let (answer, _) = socket.recv_from_full()?;
        // An error has another type: there is no such family.
        let family = messages(&answer)
            .find(|(kind, _)| *kind == GENL_ID_CTRL)
            .and_then(|(_, payload)| Self::from_payload(payload, group));
        Ok(family)
    }

    fn from_payload(payload: &[u8], group: &str) -> Option<Self> {
        let mut id = None;
        let mut number = None;
        for (kind, value) in attributes_of(payload.get(4..)?) {
            match kind {
                CTRL_ATTR_FAMILY_ID => id = parse_u16(value).ok(),
                CTRL_ATTR_MCAST_GROUPS => {
                    number = attributes_of(value).find_map(|(_, value)| group_number(value, group));
                }
                _ => {}
            }
        }
        Some(Self {
            id: id?,
            group: number?,
        })
    }
}

const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_ATTR_MCAST_GROUPS: u16 = 7;

fn group_number(attributes: &[u8], wanted: &str) -> Option<u32> {
    const CTRL_ATTR_MCAST_GRP_NAME: u16 = 1;
    const CTRL_ATTR_MCAST_GRP_ID: u16 = 2;
    let value_of =
        |wanted| attributes_of(attributes).find_map(|(kind, value)| (kind == wanted).then_some(value));
    let name = parse_string(value_of(CTRL_ATTR_MCAST_GRP_NAME)?).ok()?;
    let id = parse_u32(value_of(CTRL_ATTR_MCAST_GRP_ID)?).ok()?;
    (name == wanted).then_some(id)
}

/// Type and payload of each message of a datagram; ends where one is broken.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(datagram).ok()?;
        let (kind, length) = (buffer.message_type(), buffer.length() as usize);
        let payload = datagram.get(16..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// Type and value of each attribute; ends where one is broken.
fn attributes_of(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute: Result<NlaBuffer<&[u8]>, _>| {
        let attribute = attribute.ok()?;
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(4..length)?))
    })
}

fn attribute(kind: u16, text: &str) -> Vec<u8> {
    // With the NUL, and without the padding.
    let length = 4 + text.len() + 1;
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend(u16::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, flags: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let length = HEADERS + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence and port: there is one question at a time.
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(attributes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_takes_frames_by_its_features_and_not_when_it_is_gone() {
        let told = |command: u8, features: u64| {
            let mut payload = vec![command, 1, 0, 0];
            payload.extend([8, 0, 1, 0, 7, 0, 0, 0, 12, 0, 3, 0]);
            payload.extend(features.to_ne_bytes());
            device(&payload)
        };
        assert_eq!(told(1, 0b111), Some((IfIndex(7), true)));
        assert_eq!(told(4, 0b011), Some((IfIndex(7), false)));
        assert_eq!(told(3, 0b111), Some((IfIndex(7), false)));
        assert_eq!(device(&[1, 1, 0, 0]), None);
        assert_eq!(device(&[1]), None);
    }

    #[test]
    fn a_family_that_is_not_there_is_no_error() {
        assert_eq!(Family::find("netmap-no-such", "mgmt").unwrap(), None);
        assert!(Family::find("nlctrl", "notify").unwrap().is_some());
    }
}
