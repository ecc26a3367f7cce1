//! What dpkg reads of a package, and does with it.

use std::{env::consts::ARCH, fs};

use anyhow::bail;

use crate::build::workspace;

/// The user that the unit runs netmap as.
pub(super) const SYSUSERS: &str = "u netmap - \"netmap daemon\" - -\n";

/// netmap changes what packets do on a host: who installs it says when it starts. An upgrade starts the daemon anew where one
/// runs, which ends no connection.
const POSTINST: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    systemd-sysusers netmap.conf
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload || true
        if [ -n \"$2\" ]; then
            deb-systemd-invoke try-restart netmap.service || true
        fi
    fi
fi
";

/// It runs once for each published port, and is linked to nothing for that; and there is no address to write to yet.
pub(super) const OVERRIDES: &str = "\
netmap: statically-linked-binary [usr/bin/netmap-docker-proxy]
netmap: bogus-mail-host Maintainer *
netmap: bogus-mail-host-in-debian-changelog *
";

/// What is published goes with the package, and not with a version of it.
const PRERM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ]; then
    if [ -d /run/systemd/system ]; then
        deb-systemd-invoke stop netmap.service || true
    fi
    netmap down --keep-published >/dev/null || true
fi
";

const POSTRM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload || true
fi
if [ \"$1\" = purge ]; then
    rm -rf /var/lib/netmap /run/netmap
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge netmap.service >/dev/null || true
    fi
fi
";

/// Every file of dpkg's, with its mode.
pub(super) fn files(
    version: &str,
    depends: &str,
    kilobytes: u64,
) -> anyhow::Result<Vec<(&'static str, u32, String)>> {
    let control = format!(
        "Package: netmap\n\
         Version: {version}\n\
         Architecture: {}\n\
         Maintainer: The netmap authors <netmap@localhost.localdomain>\n\
         Installed-Size: {kilobytes}\n\
         Depends: {depends}, init-system-helpers (>= 1.51), systemd | systemd-standalone-sysusers\n\
         Section: net\n\
         Priority: optional\n\
         Description: published ports and egress of containers by eBPF\n \
         Carries the network traffic of a container host: published ports, the\n \
         containers' own way out, and containers that talk to published ports of\n \
         their host. Stands in for the rules and proxies of container engines, and\n \
         keeps the client's address where those lose it.\n",
        architecture()?
    );
    Ok(vec![
        ("control", 0o644, control),
        ("conffiles", 0o644, "/etc/netmap/netmap.toml\n".to_owned()),
        ("postinst", 0o755, POSTINST.to_owned()),
        ("prerm", 0o755, PRERM.to_owned()),
        ("postrm", 0o755, POSTRM.to_owned()),
    ])
}

/// What the binary is linked to, in the version that its symbols ask for.
pub(super) fn depends(binary: &[u8]) -> String {
    let newest = binary
        .windows(8)
        .enumerate()
        .filter(|(_, bytes)| bytes == b"GLIBC_2.")
        .filter_map(|(place, _)| {
            let rest = binary.get(place + 8..place + 11)?;
            let digits: String = rest
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .map(|byte| char::from(*byte))
                .collect();
            digits.parse::<u32>().ok()
        })
        .max();
    match newest {
        Some(minor) => format!("libc6 (>= 2.{minor}), libgcc-s1 (>= 4.2)"),
        None => "libc6, libgcc-s1 (>= 4.2)".to_owned(),
    }
}

/// Debian's name of this machine's.
pub(super) fn architecture() -> anyhow::Result<&'static str> {
    Ok(match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("netmap is packaged on x86-64 and ARM64, not on {other}"),
    })
}

/// Of a package that is its own source.
pub(super) fn changelog(version: &str) -> String {
    format!(
        "netmap ({version}) unstable; urgency=medium\n\n  * As in its repository.\n\n \
         -- The netmap authors <netmap@localhost.localdomain>  Mon, 23 Nov 2026 00:00:00 +0000\n"
    )
}

/// Both licences.
pub(super) fn copyright() -> anyhow::Result<String> {
    let mit = fs::read_to_string(workspace().join("LICENSE-MIT"))?;
    let indented: String = mit
        .lines()
        .map(|line| match line.trim() {
            "" => " .\n".to_owned(),
            line => format!(" {line}\n"),
        })
        .collect();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: netmap\n\n\
         Files: *\n\
         Copyright: The netmap authors\n\
         License: Expat or Apache-2.0\n\n\
         License: Expat\n{indented}\n\
         License: Apache-2.0\n \
         On Debian systems, the text of the Apache License 2.0 is in\n \
         /usr/share/common-licenses/Apache-2.0.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_says_which_c_library_it_takes() {
        let binary = b"..GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0";
        assert_eq!(depends(binary), "libc6 (>= 2.34), libgcc-s1 (>= 4.2)");
        assert_eq!(depends(b"nothing"), "libc6, libgcc-s1 (>= 4.2)");
    }
}
