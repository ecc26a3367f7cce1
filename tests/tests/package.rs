//! The Debian package that `cargo xtask package` makes: what is in it, and what installing and removing it does. That
//! happens in a mount namespace, on a copy-on-write layer over this machine's files: nothing of it reaches the machine.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};

/// Enters a copy of this machine, and says after each step what there is. The arguments: the package.
const LIFE: &str = r#"
    set -e
    layer=$(mktemp -d)
    mount -t tmpfs tmpfs "$layer"
    mkdir "$layer/upper" "$layer/work" "$layer/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
    mount --bind /proc "$layer/root/proc"
    cp "$1" "$layer/root/netmap.deb"
    exec chroot "$layer/root" sh -e -c '
        look() {
            echo "== $1"
            dpkg-query -W -f "status \${db:Status-Abbrev}\n" netmap 2>/dev/null || echo status none
            for file in /usr/bin/netmap /lib/systemd/system/netmap.service /etc/netmap/netmap.toml /var/lib/netmap/published.json; do
                test -e "$file" && echo "has $file" || echo "no $file"
            done
        }
        dpkg --force-depends -i /netmap.deb
        look installed
        echo "version $(netmap --version)"
        echo "user $(getent passwd netmap)"
        echo "uplinks = [\"eth7\"]" >/etc/netmap/netmap.toml
        mkdir /var/lib/netmap && echo "{}" >/var/lib/netmap/published.json
        dpkg --force-depends -i /netmap.deb
        look upgraded
        echo "config $(cat /etc/netmap/netmap.toml)"
        dpkg -r netmap
        look removed
        dpkg -P netmap
        look purged
    '
"#;

/// The package under test: `NETMAP_DEB`, or what `cargo xtask package` has built.
fn package() -> Result<PathBuf> {
    if let Some(path) = env::var_os("NETMAP_DEB") {
        return Ok(path.into());
    }
    let this = env::current_exe()?;
    let folders = this.ancestors().map(|folder| folder.join("package"));
    let mut files = folders
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    files
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .context(
            "there is no package to test: run `cargo xtask test` or `cargo xtask package`, which build it",
        )
}

fn printed(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

#[test]
fn everything_is_in_its_place() -> Result<()> {
    let package = package()?;
    let listing = printed(
        &Command::new("dpkg-deb")
            .arg("--contents")
            .arg(&package)
            .output()?,
    )?;
    for (mode, place) in [
        ("-rwxr-xr-x root/root", "./usr/bin/netmap"),
        ("-rwxr-xr-x root/root", "./usr/bin/netmap-docker-proxy"),
        ("-rw-r--r-- root/root", "./lib/systemd/system/netmap.service"),
        ("-rw-r--r-- root/root", "./usr/lib/sysusers.d/netmap.conf"),
        ("-rw-r--r-- root/root", "./etc/netmap/netmap.toml"),
        ("-rw-r--r-- root/root", "./usr/share/man/man8/netmap.8.gz"),
        ("-rw-r--r-- root/root", "./usr/share/man/man8/netmap-publish.8.gz"),
        (
            "-rw-r--r-- root/root",
            "./usr/share/man/man8/netmap-docker-install.8.gz",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/man/man8/netmap-docker-proxy.8.gz",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/bash-completion/completions/netmap",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/zsh/vendor-completions/_netmap",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/fish/vendor_completions.d/netmap.fish",
        ),
        ("-rw-r--r-- root/root", "./usr/share/doc/netmap/operations.md.gz"),
        (
            "-rw-r--r-- root/root",
            "./usr/share/netmap/prometheus/netmap.rules.yml",
        ),
        ("-rw-r--r-- root/root", "./usr/share/netmap/grafana/netmap.json"),
    ] {
        let is_there = listing
            .lines()
            .any(|line| line.starts_with(mode) && line.ends_with(place));
        ensure!(is_there, "no {place} with {mode} in\n{listing}");
    }
    let unit = printed(
        &Command::new("sh")
            .args([
                "-c",
                r#"dpkg-deb --fsys-tarfile "$0" | tar -xO ./lib/systemd/system/netmap.service"#,
            ])
            .arg(&package)
            .output()?,
    )?;
    ensure!(
        unit.contains("\nExecStart=/usr/bin/netmap run --config /etc/netmap/netmap.toml\n"),
        "{unit}"
    );
    Ok(())
}

#[test]
fn completions_know_the_commands_and_pages_their_options() -> Result<()> {
    let package = package()?;
    let file = |place: &str, unpack: &str| {
        let script = format!(r#"dpkg-deb --fsys-tarfile "$0" | tar -xO {place} | {unpack}"#);
        printed(&Command::new("sh").args(["-c", &script]).arg(&package).output()?)
    };
    let bash = file("./usr/share/bash-completion/completions/netmap", "cat")?;
    let asked = format!(
        "{bash}\nCOMP_WORDS=(netmap unp) COMP_CWORD=1\n_netmap netmap unp netmap\necho \"${{COMPREPLY[@]}}\"\n"
    );
    let answer = printed(&Command::new("bash").args(["-c", &asked]).output()?)?;
    ensure!(answer.trim() == "unpublish", "{answer}");
    let page = file("./usr/share/man/man8/netmap-publish.8.gz", "zcat")?;
    ensure!(
        page.contains(".TH netmap-publish 8") || page.contains(".TH netmap\\-publish 8"),
        "{page}"
    );
    ensure!(page.contains("allow"), "{page}");
    Ok(())
}

#[test]
fn lintian_finds_no_error() -> Result<()> {
    let output = Command::new("lintian")
        .args(["--fail-on", "error", "--allow-root", "--tag-display-limit", "0"])
        .arg(package()?)
        .output()?;
    printed(&output).map(drop)
}

#[test]
fn it_is_installed_upgraded_removed_and_purged() -> Result<()> {
    let output = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", LIFE, "sh"])
        .arg(package()?)
        .output()?;
    let said = printed(&output)?;
    let steps: Vec<&str> = said.split("== ").skip(1).collect();
    ensure!(steps.len() == 4, "{said}");
    let holds = |step: usize, words: &[&str]| {
        let text = steps.get(step).copied().unwrap_or_default();
        let missing = words.iter().find(|words| !text.contains(**words));
        ensure!(missing.is_none(), "it does not say {missing:?}: {said}");
        Ok(())
    };
    let files = ["has /usr/bin/netmap", "has /lib/systemd/system/netmap.service"];
    holds(
        0,
        &["status ii", files[0], files[1], "has /etc/netmap/netmap.toml"],
    )?;
    holds(0, &["version netmap ", "user netmap:x:"])?;
    holds(1, &["status ii", files[0], "config uplinks = [\"eth7\"]"])?;
    // What the administrator wrote, and what is published, stay until it is purged.
    holds(
        2,
        &["status rc", "no /usr/bin/netmap", "has /etc/netmap/netmap.toml"],
    )?;
    holds(2, &["has /var/lib/netmap/published.json"])?;
    holds(3, &["status none", "no /etc/netmap/netmap.toml"])?;
    holds(3, &["no /var/lib/netmap/published.json"])
}
