//! A package's files as they will be on the machine, with the modes that Debian's policy wants.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The folder that becomes a package.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty one.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// A program, without what a debugger would want.
    pub(super) fn program(&mut self, place: &str, from: &Path) -> anyhow::Result<()> {
        let to = self.place(place)?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        let stripped = Command::new("strip")
            .args([
                "--strip-unneeded",
                "--remove-section=.comment",
                "--remove-section=.note",
            ])
            .arg(&to)
            .status()
            .context("cannot run strip")?;
        ensure!(stripped.success(), "{} cannot be stripped", to.display());
        mode(&to, 0o755)
    }

    /// A file.
    pub(super) fn text(&mut self, place: &str, text: &str) -> anyhow::Result<()> {
        let to = self.place(place)?;
        fs::write(&to, text)?;
        mode(&to, 0o644)
    }

    /// A file that Debian wants packed. The same text is always packed to the same bytes.
    pub(super) fn packed(&mut self, place: &str, text: &str) -> anyhow::Result<()> {
        let to = self.place(place)?;
        let mut gzip = Command::new("gzip")
            .args(["-9", "--no-name", "--stdout"])
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&to)?)
            .spawn()
            .context("cannot run gzip")?;
        gzip.stdin
            .take()
            .context("gzip has no input")?
            .write_all(text.as_bytes())?;
        ensure!(gzip.wait()?.success(), "{} cannot be packed", to.display());
        mode(&to, 0o644)
    }

    /// The files that are dpkg's, a mode each, and the sums of all others.
    pub(super) fn control(&mut self, files: &[(&str, u32, String)]) -> anyhow::Result<()> {
        let sums = Command::new("sh")
            .args(["-c", "find . -path ./DEBIAN -prune -o -type f -print | sed 's#^./##' | LC_ALL=C sort | xargs -d '\\n' md5sum"])
            .current_dir(&self.root)
            .output()?;
        ensure!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stderr));
        let sums = String::from_utf8(sums.stdout)?;
        self.text("DEBIAN/md5sums", &sums)?;
        for (name, bits, text) in files {
            let place = format!("DEBIAN/{name}");
            self.text(&place, text)?;
            mode(&self.root.join(place), *bits)?;
        }
        Ok(())
    }

    /// How much it takes on the machine.
    pub(super) fn kilobytes(&self) -> anyhow::Result<u64> {
        let used = Command::new("du").args(["-sk"]).arg(&self.root).output()?;
        let text = String::from_utf8(used.stdout)?;
        let first = text.split_whitespace().next().context("du says nothing")?;
        Ok(first.parse()?)
    }

    fn place(&self, place: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(place);
        let mut folders: Vec<_> = path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(&self.root))
            .collect();
        folders.reverse();
        for folder in folders {
            fs::create_dir_all(folder)?;
            mode(folder, 0o755)?;
        }
        Ok(path)
    }
}

fn mode(path: &Path, bits: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
