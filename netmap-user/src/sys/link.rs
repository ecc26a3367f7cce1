//! BPF links by their pins: aya 0.14 can update only some kinds of them, and does not say what they are attached to.

use std::{
    ffi::CString,
    io, mem,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{
    bpf_attach_type, bpf_attr__bindgen_ty_9, bpf_attr__bindgen_ty_16, bpf_cmd, bpf_link_info, bpf_link_type,
};
use netmap_common::maps::IfIndex;

use super::bpf::{bpf, zeroed_attr};

/// A BPF link: the attachment of a program as an object of its own.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// What a link joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The link's own number.
    pub id: u32,
    /// The program that it runs now.
    pub program_id: u32,
    /// Where.
    pub target: LinkTarget,
}

/// What a link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// An interface, by tcx or XDP.
    Interface(IfIndex),
    /// A network namespace, by its inode's number.
    Netns(u64),
    /// A cgroup, by its id, which is its directory's inode number.
    Cgroup(u64),
    /// Nothing any more: what it was attached to is gone.
    Severed,
    /// Something that netmap does not attach to.
    Other,
}

impl Link {
    /// The link that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// `NotFound` when nothing is pinned there, and whatever else bpf(2) fails with.
    pub fn from_pin(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut attr = zeroed_attr();
        // Not the structure as a whole: its padding has to stay zero.
        attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
        // SAFETY: `pathname` is a string with its NUL that outlives the call.
        let number = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attr) }?;
        let number = i32::try_from(number).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// Attaches an XDP program to an interface by its driver (`XDP_FLAGS_DRV_MODE`), which lasts as long as the link.
    ///
    /// aya 0.14 would try netlink where this fails, and netlink takes the place of others' programs.
    ///
    /// # Errors
    ///
    /// `EBUSY` or `EEXIST` where another program is, `EOPNOTSUPP` where the driver has no XDP, and whatever else the
    /// driver says.
    pub fn attach_xdp(program: BorrowedFd<'_>, interface: IfIndex) -> io::Result<Self> {
        const DRIVER_MODE: u32 = 1 << 2;
        let mut attr = zeroed_attr();
        attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        attr.link_create.__bindgen_anon_2.target_ifindex = interface.0;
        attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
        attr.link_create.flags = DRIVER_MODE;
        // SAFETY: the command takes numbers, no pointers.
        let number = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
        let number = i32::try_from(number).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// Pins it at `path`, where it outlives this process.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut attr = zeroed_attr();
        attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
        attr.__bindgen_anon_4.bpf_fd = self.number();
        // SAFETY: `pathname` is a string with its NUL that outlives the call.
        unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }?;
        Ok(())
    }

    /// Lets the link run `program` from the next packet on, none passing in between by neither.
    ///
    /// # Errors
    ///
    /// `ENOLINK` when what it was attached to is gone, and whatever else bpf(2) fails with.
    pub fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut attr = zeroed_attr();
        attr.link_update.link_fd = self.number();
        attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd().cast_unsigned();
        // SAFETY: the command takes descriptors, no pointers.
        unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }?;
        Ok(())
    }

    /// Detaches it at once, whoever else holds it. Closing and unpinning would do so some time later.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with (Linux 5.9).
    pub fn detach(&self) -> io::Result<()> {
        let mut attr = zeroed_attr();
        attr.link_detach = bpf_attr__bindgen_ty_16 {
            link_fd: self.number(),
        };
        // SAFETY: the command takes a descriptor, no pointers.
        unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }?;
        Ok(())
    }

    /// What it joins.
    ///
    /// # Errors
    ///
    /// What bpf(2) fails with.
    pub fn state(&self) -> io::Result<LinkState> {
        // SAFETY: the structure consists of integers, for which all bits zero is a value.
        let mut info: bpf_link_info = unsafe { mem::zeroed() };
        let mut attr = zeroed_attr();
        attr.info = bpf_attr__bindgen_ty_9 {
            bpf_fd: self.number(),
            info_len: u32::try_from(size_of::<bpf_link_info>()).map_err(io::Error::other)?,
            info: (&raw mut info) as u64,
        };
        // SAFETY: `info` is writable and `info_len` its size.
        unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
        Ok(LinkState {
            id: info.id,
            program_id: info.prog_id,
            target: target(&info),
        })
    }

    fn number(&self) -> u32 {
        self.0.as_fd().as_raw_fd().cast_unsigned()
    }
}

fn target(info: &bpf_link_info) -> LinkTarget {
    let target = if info.type_ == bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
        // SAFETY: the variant of this type; all of them are integers, and were zeroed.
        LinkTarget::Interface(IfIndex(unsafe { info.__bindgen_anon_1.tcx.ifindex }))
    } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
        // SAFETY: as above.
        LinkTarget::Interface(IfIndex(unsafe { info.__bindgen_anon_1.xdp.ifindex }))
    } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_NETNS as u32 {
        // SAFETY: as above.
        LinkTarget::Netns(u64::from(unsafe { info.__bindgen_anon_1.netns.netns_ino }))
    } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_CGROUP as u32 {
        // SAFETY: as above.
        LinkTarget::Cgroup(unsafe { info.__bindgen_anon_1.cgroup.cgroup_id })
    } else {
        LinkTarget::Other
    };
    match target {
        LinkTarget::Interface(IfIndex(0)) | LinkTarget::Netns(0) | LinkTarget::Cgroup(0) => {
            LinkTarget::Severed
        }
        target => target,
    }
}
