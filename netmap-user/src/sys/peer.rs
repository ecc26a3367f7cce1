//! Who is at the other end of a unix socket.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

/// More than nearly anybody has; the kernel says when it is too few.
const USUAL: usize = 64;

/// The supplementary groups that the peer had when it connected (`SO_PEERGROUPS`, Linux 4.13).
///
/// # Errors
///
/// Whatever getsockopt(2) fails with.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; USUAL];
    loop {
        let room = size_of_val(groups.as_slice());
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: the option is an array of `u32`, `groups` is one, and `length` says how long in bytes.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let found = usize::try_from(length).map_err(io::Error::other)? / size_of::<u32>();
        if result == 0 {
            groups.truncate(found);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || found <= groups.len() {
            return Err(error);
        }
        groups.resize(found, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_of_this_process_are_found() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut found = peer_groups(&one).unwrap();
        let mut own: Vec<u32> = nix::unistd::getgroups()
            .unwrap()
            .into_iter()
            .map(nix::unistd::Gid::as_raw)
            .collect();
        found.sort_unstable();
        own.sort_unstable();
        assert_eq!(found, own);
    }
}
