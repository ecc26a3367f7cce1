//! The network namespace of the calling thread.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
};

/// The cookie of the calling thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14): what
/// `bpf_get_netns_cookie` returns for its sockets. Unlike the inode's number it is never used again.
///
/// # Errors
///
/// `ENOPROTOOPT` on an older kernel, and whatever socket(2) fails with.
pub fn netns_cookie() -> io::Result<u64> {
    // Any socket will do: the option belongs to its namespace, not to its protocol.
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: the option is a `u64`, `cookie` is one, and `length` says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}
