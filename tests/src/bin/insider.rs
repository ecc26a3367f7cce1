//! A process of a control group that makes sockets for a test: the kernel counts a socket as of the control group of
//! whoever made it. Each request on its standard input is two bytes, the address family and the type; the answer is an
//! error number, 0 for none, with the socket.

use std::{io::IoSlice, os::fd::AsRawFd};

use anyhow::Result;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};
use socket2::{Domain, Socket, Type};

fn main() -> Result<()> {
    let requests = std::io::stdin().as_raw_fd();
    let mut request = [0; 2];
    while recv(requests, &mut request, MsgFlags::empty())? > 0 {
        let [family, kind] = request.map(i32::from);
        let made = Socket::new(Domain::from(family), Type::from(kind), None);
        let code = made.as_ref().err().and_then(std::io::Error::raw_os_error);
        let descriptors: Vec<_> = made.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights = if descriptors.is_empty() {
            &[][..]
        } else {
            &rights[..]
        };
        let answer = code.unwrap_or_default().to_ne_bytes();
        sendmsg::<()>(
            requests,
            &[IoSlice::new(&answer)],
            rights,
            MsgFlags::empty(),
            None,
        )?;
    }
    Ok(())
}
