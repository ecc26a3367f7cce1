//! The bpf(2) system call.

use std::{ffi::c_long, io, mem};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute union with every byte zero, as the kernel demands of what a command does not use.
pub(super) fn zeroed_attr() -> bpf_attr {
    // SAFETY: every variant consists of integers, for which all bits zero is a value.
    unsafe { mem::zeroed() }
}

/// Calls bpf(2). The result's meaning is the command's.
///
/// # Safety
///
/// Every pointer in `attr` that `command` reads or writes through must be valid for as many bytes as the command's
/// other arguments (and, for maps, the map's key and value size) say.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<c_long> {
    // SAFETY: `attr` is a whole, initialised union of the size that is given; the caller answers for what it points at.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
