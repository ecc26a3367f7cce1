//! The file system that pins live on.

use std::{
    fs::{DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::geteuid,
};

use super::DataplaneError;

/// Where every distribution mounts it.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Makes sure that `pin_dir` is, or will be, on a BPF file system, and returns it as an absolute path.
pub(super) fn ensure(pin_dir: &Path) -> Result<PathBuf, DataplaneError> {
    let pin_dir = std::path::absolute(pin_dir).map_err(DataplaneError::pin(pin_dir, "read"))?;
    if !is_bpffs(&pin_dir)? {
        if !pin_dir.starts_with(MOUNT_POINT) {
            return Err(DataplaneError::NotBpffs(pin_dir));
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("bpf"), MOUNT_POINT, Some("bpf"), flags, Some("mode=0700"))
            .map_err(|error| DataplaneError::Mount(error.into()))?;
        tracing::info!("mounted the BPF file system on {MOUNT_POINT}");
    }
    if pin_dir
        .components()
        .any(|component| has_dot(component) && !pin_dir.exists())
    {
        return Err(DataplaneError::Dotted(pin_dir));
    }
    Ok(pin_dir)
}

/// Makes a folder for this user alone. One that is there is left as it is, see [`close`].
pub(super) fn make_dir(path: &Path) -> Result<(), DataplaneError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => DataplaneError::out_of_reach(path),
            _ => DataplaneError::pin(path, "made")(error),
        })
}

/// Closes a folder to everybody but this user: whoever may open a pin may write to the map. The file system's own root is
/// everybody's, and stays.
///
/// # Errors
///
/// It belongs to somebody else, who could open it again.
pub(super) fn close(path: &Path) -> Result<(), DataplaneError> {
    if path == Path::new(MOUNT_POINT) {
        return Ok(());
    }
    let folder = path.metadata().map_err(DataplaneError::pin(path, "read"))?;
    let own = geteuid().as_raw();
    if folder.uid() != own {
        return Err(DataplaneError::Owned {
            path: path.to_owned(),
            owner: folder.uid(),
            own,
        });
    }
    let rights_of_others = folder.mode() & 0o077;
    if rights_of_others == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(DataplaneError::pin(path, "closed to others"))
}

/// Removes a file. One that is not there is no error; says whether it was.
pub(super) fn remove_file(path: &Path) -> Result<bool, DataplaneError> {
    gone(std::fs::remove_file(path)).map_err(DataplaneError::pin(path, "removed"))
}

/// Removes an empty folder. One that is not there is no error; says whether it was.
pub(super) fn remove_dir(path: &Path) -> Result<bool, DataplaneError> {
    gone(std::fs::remove_dir(path)).map_err(DataplaneError::pin(path, "removed"))
}

/// The names of what is in a folder; none when there is no such folder.
pub(super) fn names(path: &Path) -> Result<Vec<String>, DataplaneError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DataplaneError::pin(path, "read")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DataplaneError::pin(path, "read"))?;
        // Ours are all plain ASCII.
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn gone(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the nearest folder that exists is on a BPF file system.
fn is_bpffs(path: &Path) -> Result<bool, DataplaneError> {
    for folder in path.ancestors() {
        match statfs(folder) {
            Ok(found) => return Ok(found.filesystem_type() == BPF_FS_MAGIC),
            // EPERM is the file system's answer to a name with a dot.
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EPERM) => {}
            Err(nix::errno::Errno::EACCES) => return Err(DataplaneError::out_of_reach(path)),
            Err(error) => return Err(DataplaneError::pin(folder, "read")(error.into())),
        }
    }
    Ok(false)
}

fn has_dot(component: Component<'_>) -> bool {
    matches!(component, Component::Normal(name) if name.as_encoded_bytes().contains(&b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_elsewhere_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let error = ensure(&folder.path().join("pins")).unwrap_err().to_string();
        assert!(
            error.ends_with("pins is not on a BPF file system; choose a --pin-dir below /sys/fs/bpf"),
            "{error}"
        );
    }

    #[test]
    fn names_with_a_dot_are_refused_before_the_kernel_does() {
        let error = ensure(Path::new("/sys/fs/bpf/netmap.test/pins")).unwrap_err();
        assert!(matches!(error, DataplaneError::Dotted(_)), "{error}");
    }
}
