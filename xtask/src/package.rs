//! `cargo xtask package`: a .deb of what `cargo xtask build --release` makes, by dpkg-deb alone.

mod control;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use self::tree::Tree;
use crate::{
    build::{self, workspace},
    setup,
};

/// Where the package's binary is, and what its unit starts.
const BINARY: &str = "usr/bin/netmap";

/// What stands in `docs`, for who is not on the network.
const DOCS: [&str; 10] = [
    "README.md",
    "docs/configuration.md",
    "docs/docker.md",
    "docs/host.md",
    "docs/json.md",
    "docs/metrics.md",
    "docs/nat.md",
    "docs/operations.md",
    "docs/reasons.md",
    "docs/troubleshooting.md",
];

/// Builds the package; says where it is.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::for_building()?;
    let package = build(&build::netmap(true)?, &build::docker_proxy(true)?)?;
    println!("{}", package.display());
    Ok(())
}

/// Packs these binaries, and what goes with them; the package's path.
pub(crate) fn build(netmap: &Path, docker_proxy: &Path) -> anyhow::Result<PathBuf> {
    let target = build::target_dir()?.join("package");
    let pages = target.join("pages");
    clear(&pages)?;
    let mut cargo = build::cargo("run");
    cargo.args(["--quiet", "--package", "netmap-user", "--example", "pages", "--"]);
    build::succeed(cargo.arg(&pages))?;
    assemble(&target, netmap, docker_proxy, &pages)
}

/// Puts everything in its place, and packs it.
fn assemble(target: &Path, netmap: &Path, docker_proxy: &Path, pages: &Path) -> anyhow::Result<PathBuf> {
    let root = target.join("root");
    clear(&root)?;
    let mut tree = Tree::new(&root);
    tree.program(BINARY, netmap)?;
    tree.program("usr/bin/netmap-docker-proxy", docker_proxy)?;
    let unit = fs::read_to_string(workspace().join("dist/netmap.service"))?;
    tree.text("lib/systemd/system/netmap.service", &packaged(&unit)?)?;
    tree.text("usr/lib/sysusers.d/netmap.conf", control::SYSUSERS)?;
    let config = fs::read_to_string(workspace().join("dist/netmap.toml"))?;
    tree.text("etc/netmap/netmap.toml", &config)?;
    for page in fs::read_dir(pages.join("man"))? {
        let page = page?;
        let place = format!("usr/share/man/man8/{}.gz", page.file_name().display());
        tree.packed(&place, &fs::read_to_string(page.path())?)?;
    }
    tree.packed(
        "usr/share/man/man8/netmap-docker-proxy.8.gz",
        &fs::read_to_string(workspace().join("dist/netmap-docker-proxy.8"))?,
    )?;
    for (place, file) in [
        ("usr/share/bash-completion/completions/netmap", "netmap.bash"),
        ("usr/share/zsh/vendor-completions/_netmap", "_netmap"),
        ("usr/share/fish/vendor_completions.d/netmap.fish", "netmap.fish"),
    ] {
        tree.text(place, &fs::read_to_string(pages.join("completions").join(file))?)?;
    }
    for doc in DOCS {
        let name = Path::new(doc).file_name().context("a document has a name")?;
        let place = format!("usr/share/doc/netmap/{}.gz", name.display());
        tree.packed(&place, &fs::read_to_string(workspace().join(doc))?)?;
    }
    for file in ["prometheus/netmap.rules.yml", "grafana/netmap.json"] {
        let text = fs::read_to_string(workspace().join("dist").join(file))?;
        tree.text(&format!("usr/share/netmap/{file}"), &text)?;
    }
    tree.text("usr/share/lintian/overrides/netmap", control::OVERRIDES)?;
    tree.text("usr/share/doc/netmap/copyright", &control::copyright()?)?;
    let version = env!("CARGO_PKG_VERSION");
    tree.packed("usr/share/doc/netmap/changelog.gz", &control::changelog(version))?;
    let needs = control::depends(&fs::read(netmap)?);
    tree.control(&control::files(version, &needs, tree.kilobytes()?)?)?;
    let package = target.join(format!("netmap_{version}_{}.deb", control::architecture()?));
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zxz"]);
    build::succeed(pack.arg(&root).arg(&package))?;
    Ok(package)
}

/// The unit as the package has it: the binary is elsewhere, and the package has made the user.
fn packaged(unit: &str) -> anyhow::Result<String> {
    let by_hand = "/usr/local/bin/netmap";
    ensure!(unit.contains(by_hand), "the unit starts another binary");
    let body = unit.find("[Unit]").context("the unit has no [Unit]")?;
    let text = unit.get(body..).unwrap_or_default();
    Ok(text.replace(by_hand, &format!("/{BINARY}")))
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_unit_starts_the_packaged_binary() {
        let unit = "# By hand:\n[Unit]\n[Service]\nExecStart=/usr/local/bin/netmap run\n";
        assert_eq!(
            packaged(unit).unwrap(),
            "[Unit]\n[Service]\nExecStart=/usr/bin/netmap run\n"
        );
        assert!(packaged("[Unit]\nExecStart=/opt/netmap\n").is_err());
    }
}
