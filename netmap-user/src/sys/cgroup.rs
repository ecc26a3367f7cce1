//! Where the cgroup2 hierarchy is mounted.

use std::{fs, io, path::PathBuf};

/// The root of the cgroup2 hierarchy; `None` where there is none. It is not always /sys/fs/cgroup: a host that also has
/// version 1 mounts it below.
///
/// # Errors
///
/// When `/proc/self/mounts` cannot be read.
pub fn cgroup2_root() -> io::Result<Option<PathBuf>> {
    Ok(find(&fs::read_to_string("/proc/self/mounts")?))
}

fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ');
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_beside_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(find(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find("proc /proc proc rw 0 0\n"), None);
    }
}
