//! Where maps, programs and links are pinned.

use std::path::{Path, PathBuf};

/// The pins of one data plane, below the folder that `--pin-dir` names.
///
/// They are in a folder of their own for every layout, so that a version that cannot use another's maps does not trip
/// over them.
#[derive(Clone, Debug)]
pub struct Pins {
    base: PathBuf,
    root: PathBuf,
}

impl Pins {
    /// The folder of this version's layout.
    pub const LAYOUT: &'static str = "v5";

    /// The pins below `pin_dir`.
    pub fn new(pin_dir: &Path) -> Self {
        Self {
            base: pin_dir.to_owned(),
            root: pin_dir.join(Self::LAYOUT),
        }
    }

    /// The pins of another layout, of which nothing is known but how the folders are called.
    pub fn of_layout(pin_dir: &Path, layout: &str) -> Self {
        Self {
            base: pin_dir.to_owned(),
            root: pin_dir.join(layout),
        }
    }

    /// The layout, as in `v4`.
    pub fn layout(&self) -> String {
        let name = self.root.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The folder that `--pin-dir` names.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// This layout's folder in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the maps.
    pub fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    /// The folder of the programs.
    pub fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// The folder of the links.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// The folder that says which interfaces carry classifiers on a clsact, which cannot be pinned.
    pub fn clsact(&self) -> PathBuf {
        self.root.join("clsact")
    }

    /// A map's pin.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// A program's pin.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }
}
