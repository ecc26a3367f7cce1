//! clsact, the queueing discipline that carries classifiers where the kernel has no tcx (before Linux 6.6).
//!
//! aya adds it and puts filters on it; it can neither look for other programs' filters nor take it away.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use bytemuck::{Pod, Zeroable};
use netmap_common::maps::IfIndex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// Whether any filter, ours or another's, is on the interface's clsact.
///
/// # Errors
///
/// What the netlink request fails with.
pub fn has_filters(interface: IfIndex) -> io::Result<bool> {
    for parent in [INGRESS, EGRESS] {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let request = Request::new(libc::RTM_GETTFILTER, flags, interface, 0, parent);
        if request.send()?.filters > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes the clsact, and all filters on it, off the interface. One that is not there is no error.
///
/// # Errors
///
/// What the netlink request fails with.
pub fn remove(interface: IfIndex) -> io::Result<()> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    let request = Request::new(libc::RTM_DELQDISC, flags, interface, CLSACT_HANDLE, CLSACT);
    match request.send() {
        Ok(_) => Ok(()),
        // No such qdisc, in the words of different kernels, or no such interface.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// `struct nlmsghdr` and `struct tcmsg` (rtnetlink(7)).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Request {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u8,
    pad: [u8; 3],
    interface: i32,
    handle: u32,
    parent: u32,
    info: u32,
}

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

struct Answer {
    filters: usize,
}

impl Request {
    fn new(kind: u16, flags: i32, interface: IfIndex, handle: u32, parent: u32) -> Self {
        Self {
            length: u32::try_from(size_of::<Self>()).unwrap_or_default(),
            kind,
            flags: u16::try_from(flags).unwrap_or_default(),
            sequence: 1,
            interface: interface.0.cast_signed(),
            handle,
            parent,
            ..Self::zeroed()
        }
    }

    fn send(&self) -> io::Result<Answer> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let kernel = NetlinkAddr::new(0, 0);
        sendto(
            socket.as_raw_fd(),
            bytemuck::bytes_of(self),
            &kernel,
            MsgFlags::empty(),
        )?;
        read_answer(&socket)
    }
}

fn read_answer(socket: &OwnedFd) -> io::Result<Answer> {
    const HEADER: usize = size_of::<Header>();
    let mut answer = Answer { filters: 0 };
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some(bytes) = rest.get(..HEADER) {
            let header: Header = bytemuck::pod_read_unaligned(bytes);
            let message = rest.get(HEADER..header.length as usize).unwrap_or_default();
            match i32::from(header.kind) {
                libc::NLMSG_DONE => return Ok(answer),
                libc::NLMSG_ERROR => {
                    let code = message.get(..4).map_or(0, bytemuck::pod_read_unaligned::<i32>);
                    return match code {
                        0 => Ok(answer),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                kind if kind == i32::from(libc::RTM_NEWTFILTER) => answer.filters += 1,
                _ => {}
            }
            // Messages begin at multiples of four bytes.
            let step = (header.length as usize).next_multiple_of(4).max(HEADER);
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}
