//! A file that is replaced as a whole, or stays as it is.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

/// What `path` stands for where it is a link, so that the link stays one.
pub(super) fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Writes `text` beside `path` and gives it that name; mode and owner stay, or become those of a new file of root's.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".netmap-new");
    let growing = folder.join(name);
    let written = (|| {
        let mut file = File::create(&growing)?;
        file.write_all(text.as_bytes())?;
        match fs::metadata(path) {
            Ok(old) => {
                file.set_permissions(old.permissions())?;
                chown(&growing, Some(old.uid()), Some(old.gid()))?;
            }
            Err(_) => file.set_permissions(fs::Permissions::from_mode(0o644))?,
        }
        file.sync_all()?;
        fs::rename(&growing, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // What matters has failed already.
        let _removed = fs::remove_file(&growing);
    }
    written
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
