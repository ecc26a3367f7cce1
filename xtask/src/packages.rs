//! The programs that netmap's tests and demo call, and Debian's packages that hold them.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// A program, the package that holds it, and what it is needed for.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) reason: &'static str,
}

/// What tests and demo call, beside the Rust toolchain.
pub(crate) const TOOLS: [Tool; 18] = [
    Tool {
        program: "ip",
        package: "iproute2",
        reason: "makes namespaces, links, bridges and routes",
    },
    Tool {
        program: "ethtool",
        package: "ethtool",
        reason: "switches offloads on and off",
    },
    Tool {
        program: "nft",
        package: "nftables",
        reason: "plays the host's firewall",
    },
    Tool {
        program: "ping",
        package: "iputils-ping",
        reason: "sends ICMP echo",
    },
    Tool {
        program: "curl",
        package: "curl",
        reason: "asks the HTTP server of the demo and the daemon's API",
    },
    Tool {
        program: "nsenter",
        package: "util-linux",
        reason: "enters a namespace without hiding bpffs",
    },
    Tool {
        program: "sysctl",
        package: "procps",
        reason: "sets forwarding and rp_filter in namespaces",
    },
    Tool {
        program: "stun",
        package: "stun-client",
        reason: "tells what kind of NAT it is behind",
    },
    Tool {
        program: "traceroute",
        package: "traceroute",
        reason: "lists the routers on the way",
    },
    Tool {
        program: "mtr",
        package: "mtr-tiny",
        reason: "does so again and again",
    },
    Tool {
        program: "dig",
        package: "bind9-dnsutils",
        reason: "asks for names over UDP and TCP",
    },
    Tool {
        program: "iperf3",
        package: "iperf3",
        reason: "sends and receives as much as there is room for",
    },
    Tool {
        program: "nmap",
        package: "nmap",
        reason: "finds out which ports are open",
    },
    Tool {
        program: "tshark",
        package: "tshark",
        reason: "reads the packets that netmap monitor keeps",
    },
    Tool {
        program: "tmux",
        package: "tmux",
        reason: "is the terminal that netmap top draws on",
    },
    Tool {
        program: "iptables-save",
        package: "iptables",
        reason: "is what Docker publishes ports with",
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
        reason: "examines the unit; it need not run here",
    },
    Tool {
        program: "lintian",
        package: "lintian",
        reason: "examines the Debian package",
    },
];

/// What only the benchmarks call.
pub(crate) const BENCH_TOOLS: [Tool; 2] = [
    Tool {
        program: "iptables-nft-restore",
        package: "iptables",
        reason: "plays Docker's rules, on nftables and by legacy tables",
    },
    Tool {
        program: "renice",
        package: "bsdutils",
        reason: "lets the packet generator go before other work",
    },
];

/// What only the virtual machine needs.
pub(crate) const VM_TOOLS: [Tool; 3] = [
    Tool {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        reason: "is the machine",
    },
    Tool {
        program: "busybox",
        package: "busybox-static",
        reason: "is what the guest starts with",
    },
    Tool {
        program: "depmod",
        package: "kmod",
        reason: "finds the modules of the guest's kernel",
    },
];

/// What only fuzzing calls.
pub(crate) const FUZZ_TOOLS: [Tool; 1] = [Tool {
    program: "c++",
    package: "g++",
    reason: "compiles libFuzzer",
}];

/// A package that is only unpacked, and the files that are wanted of it.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) package: &'static str,
    /// Paths in the package; a folder stands for the libraries in it, if it is there.
    pub(crate) files: &'static [&'static str],
}

/// A real Docker, what its containers hold, and what machines without Docker may lack of its libraries. Never installed: it
/// would run a daemon that changes the machine's network.
pub(crate) const DOCKER: [Unpacked; 6] = [
    Unpacked {
        package: "docker.io",
        files: &["usr/bin/docker", "usr/sbin/dockerd", "usr/sbin/docker-proxy"],
    },
    Unpacked {
        package: "containerd",
        files: &["usr/bin/containerd", "usr/bin/containerd-shim-runc-v2"],
    },
    Unpacked {
        package: "runc",
        files: &["usr/sbin/runc"],
    },
    Unpacked {
        package: "busybox-static",
        files: &["bin/busybox"],
    },
    Unpacked {
        package: "libdevmapper1.02.1",
        files: &["lib", "usr/lib"],
    },
    Unpacked {
        package: "libseccomp2",
        files: &["lib", "usr/lib"],
    },
];

/// A real Prometheus. Never installed: it would start as a service.
pub(crate) const PROMETHEUS: [Unpacked; 1] = [Unpacked {
    package: "prometheus",
    files: &["usr/bin/prometheus", "usr/bin/promtool"],
}];

/// Debian's compiler for the eBPF target, and the source of `core` of the same version.
pub(crate) const COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Holds the clippy of Debian's compiler, which lints the eBPF programs.
pub(crate) const CLIPPY: &str = "rust-web-clippy";

/// Where a program stands: in PATH or in the folders that a user's PATH often leaves out.
pub(crate) fn locate(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this process may install packages and mount file systems.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of a process's folder is its effective user.
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|folder| folder.uid() == 0)
}

/// The machine's package manager, whose lists are read anew once, and only when something is missing.
#[derive(Default)]
pub(crate) struct Apt {
    fresh: bool,
    /// Instead of the machine's own sources and lists.
    elsewhere: Vec<String>,
}

impl Apt {
    /// The same for another release of Debian, with sources and lists in `folder`: the machine's own stay as they are.
    pub(crate) fn of_release(codename: &str, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        let sources = folder.join("sources.list");
        let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        let place = mirror()?;
        fs::write(&sources, format!("deb {keys} {place} {codename} main\n"))?;
        let elsewhere = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            // Its own user may not get to the folder.
            "APT::Sandbox::User=root".to_owned(),
        ];
        Ok(Self {
            fresh: false,
            elsewhere: elsewhere.into(),
        })
    }

    /// Whether a package can be installed.
    pub(crate) fn offers(&mut self, package: &str) -> anyhow::Result<bool> {
        self.refresh(package)?;
        let show = self
            .command("apt-cache")
            .args(["show", package])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot run apt-cache")?;
        Ok(show.success())
    }

    /// Installs packages; fails before installing any if one is not to be had.
    pub(crate) fn install(&mut self, packages: &[&str]) -> anyhow::Result<()> {
        self.refresh(&packages.join(", "))?;
        for package in packages {
            ensure!(
                self.offers(package)?,
                "package {package} is missing and this machine's apt sources lack it"
            );
        }
        println!("setup: apt-get install {}", packages.join(" "));
        let status = self
            .apt_get(&["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .status()?;
        ensure!(
            status.success(),
            "apt-get could not install {}: see its message above",
            packages.join(" ")
        );
        Ok(())
    }

    /// The packages whose names begin so.
    pub(crate) fn names(&mut self, beginning: &str) -> anyhow::Result<Vec<String>> {
        self.refresh(beginning)?;
        let output = self
            .command("apt-cache")
            .args(["pkgnames", beginning])
            .output()
            .context("cannot run apt-cache")?;
        let names = String::from_utf8_lossy(&output.stdout);
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Fetches a package's file into `folder` without installing it.
    pub(crate) fn download(&mut self, package: &str, folder: &Path) -> anyhow::Result<()> {
        self.refresh(package)?;
        println!("setup: apt-get download {package}");
        let status = self
            .apt_get(&["download"])
            .arg(package)
            .current_dir(folder)
            .status()?;
        ensure!(status.success(), "apt-get could not fetch {package}");
        Ok(())
    }

    fn refresh(&mut self, wanted: &str) -> anyhow::Result<()> {
        if self.fresh {
            return Ok(());
        }
        ensure!(
            locate("apt-get").is_some(),
            "missing: {wanted}; there is no apt-get here, so install it with this system's package manager"
        );
        ensure!(
            is_root(),
            "missing: {wanted}; run `cargo xtask setup` as root once to install it"
        );
        println!("setup: apt-get update, for {wanted}");
        if !self.apt_get(&["update"]).status()?.success() {
            println!("setup: apt-get update complained; going on with the lists that it could read");
        }
        self.fresh = true;
        Ok(())
    }

    fn apt_get(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        // Another installation that just runs is waited for.
        command.args(["--quiet=2", "--option", "DPkg::Lock::Timeout=300"]);
        command.args(arguments.iter().map(OsStr::new));
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.elsewhere {
            command.args(["--option", option]);
        }
        command
    }
}

/// Where this machine gets Debian's packages from.
fn mirror() -> anyhow::Result<String> {
    let listed = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Created-By: Packages", "Origin: Debian", "Label: Debian"])
        .output()
        .context("cannot run apt-get")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let first = listed.lines().next().map(str::to_owned);
    first.context("this machine's package lists name no mirror of Debian: `apt-get update` reads them")
}
