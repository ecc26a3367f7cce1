//! What goes over the socket monitor's netlink socket, and back.

use std::net::IpAddr;

use bytemuck::{Pod, Zeroable};
use netmap_common::maps::Protocol;

pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Linux 4.5, if it was built with `CONFIG_INET_DIAG_DESTROY`.
pub(super) const SOCK_DESTROY: u16 = 21;
pub(super) const REQUEST_BYTECODE: u16 = 1;
/// Linux 5.7.
pub(super) const REQUEST_STORAGES: u16 = 2;
pub(super) const REQUEST_MAP: u16 = 1;
const DESTINATION_CONDITION: u8 = 8;
pub(super) const ANSWER_STORAGES: u16 = 20;
pub(super) const ANSWER_STORAGE: u16 = 1;
pub(super) const ANSWER_VALUE: u16 = 3;

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

/// `struct inet_diag_sockid`: ports and addresses in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Id {
    pub(super) source_port: [u8; 2],
    pub(super) destination_port: [u8; 2],
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) interface: u32,
    pub(super) cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Request {
    pub(super) family: u8,
    pub(super) protocol: u8,
    pub(super) extensions: u8,
    pub(super) pad: u8,
    pub(super) states: u32,
    pub(super) id: Id,
}

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Answer {
    pub(super) family: u8,
    pub(super) state: u8,
    pub(super) timer: u8,
    pub(super) retransmits: u8,
    pub(super) id: Id,
    pub(super) expires: u32,
    pub(super) receive_queue: u32,
    pub(super) write_queue: u32,
    pub(super) user: u32,
    pub(super) inode: u32,
}

/// `struct inet_diag_bc_op` and `struct inet_diag_hostcond`, with the address behind them: accepts what it is true of.
/// An IPv4 address matches mapped IPv6 addresses as well.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Condition {
    code: u8,
    yes: u8,
    no: u16,
    family: u8,
    prefix: u8,
    pad: [u8; 2],
    port: i32,
}

/// The program that accepts sockets whose peer has this address.
pub(super) fn to_destination(address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let bits = u8::try_from(8 * octets.len()).unwrap_or_default();
    let size = u8::try_from(size_of::<Condition>() + octets.len()).unwrap_or_default();
    let condition = Condition {
        code: DESTINATION_CONDITION,
        // To the end of the program, which accepts, or beyond it, which does not.
        yes: size,
        no: u16::from(size) + 4,
        family: u8::try_from(family).unwrap_or_default(),
        prefix: bits,
        pad: [0; 2],
        port: -1,
    };
    [bytemuck::bytes_of(&condition), &octets].concat()
}

/// The states in which a socket has a peer, as a mask (`net/tcp_states.h`): for UDP, established.
pub(super) fn states(protocol: Protocol) -> u32 {
    const ESTABLISHED: u32 = 1;
    /// Time-wait, which no process holds any more, no connection at all, and listening.
    const WITHOUT: [u32; 3] = [6, 7, 10];
    match protocol {
        Protocol::Tcp => WITHOUT
            .iter()
            .fold((1 << 12) - 2, |mask, state| mask & !(1 << state)),
        Protocol::Udp | Protocol::Icmp => 1 << ESTABLISHED,
    }
}

/// A netlink attribute, padded.
pub(super) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The payload of the first attribute of a kind.
pub(super) fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    /// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const FLAGS: u16 = 0xc000;
    loop {
        let [l0, l1, k0, k1, ..] = attributes else {
            return None;
        };
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        if u16::from_ne_bytes([*k0, *k1]) & !FLAGS == kind {
            return attributes.get(4..length);
        }
        attributes = attributes.get(step(length, 4)..)?;
    }
}

/// Messages and attributes begin at multiples of four bytes, and are never shorter than their header.
pub(super) fn step(length: usize, header: usize) -> usize {
    length.next_multiple_of(4).max(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_into_attributes_is_found_in_them() {
        let inner = attribute(ANSWER_VALUE, &[1, 2, 3, 4, 5]);
        let mut outer = attribute(7, &[9; 6]);
        outer.extend(attribute(ANSWER_STORAGES | 0x8000, &inner));
        let value = find(&outer, ANSWER_STORAGES).and_then(|inner| find(inner, ANSWER_VALUE));
        assert_eq!(value, Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(find(&outer, 8), None);
        assert_eq!(find(&[0; 4], 8), None);
    }

    #[test]
    fn only_states_with_a_peer_are_asked_for() {
        assert_eq!(states(Protocol::Udp), 0b10);
        assert_eq!(states(Protocol::Tcp), 0b1011_0011_1110);
    }
}
