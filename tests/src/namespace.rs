//! A network namespace with a name, and code that runs inside it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};
use socket2::{Domain, Socket, Type};

use crate::{command, insider::Insider};

/// Where `ip netns` keeps names of namespaces.
const DIRECTORY: &str = "/run/netns";

/// A network namespace that exists as long as this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    path: PathBuf,
    /// Who makes its clients' sockets, if that is not the test itself.
    insider: Option<Insider>,
    is_borrowed: bool,
}

impl Namespace {
    /// Makes an empty namespace with its loopback up.
    pub fn create(name: &str) -> Result<Self> {
        fs::create_dir_all(DIRECTORY)?;
        let path = Path::new(DIRECTORY).join(name);
        File::create_new(&path)
            .with_context(|| format!("cannot make namespace {name}; the tests must run as root"))?;
        let namespace = Self {
            name: name.to_owned(),
            path,
            insider: None,
            is_borrowed: false,
        };
        let path = namespace.path.clone();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
        })
        .join()
        .map_err(|_| anyhow!("the thread that makes a namespace panicked"))?
        .with_context(|| format!("cannot make namespace {name}; the tests must run as root"))?;
        namespace.batch("link set lo up")?;
        Ok(namespace)
    }

    /// The same namespace with clients whose sockets belong to a control group: `command` makes a command that runs a
    /// program inside both. It must not outlive `self`.
    pub fn within(&self, command: impl FnOnce(&Path) -> Command) -> Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            path: self.path.clone(),
            insider: Some(Insider::start(command)?),
            is_borrowed: true,
        })
    }

    /// The namespace that the process `pid` lives in, for as long as it does; `name` is for messages only.
    pub fn of_process(name: &str, pid: u32) -> Self {
        Self {
            name: name.to_owned(),
            path: Path::new("/proc").join(pid.to_string()).join("ns/net"),
            insider: None,
            is_borrowed: true,
        }
    }

    /// The same namespace under another value, which must not outlive `self`.
    #[must_use]
    pub fn borrowed(&self) -> Self {
        Self {
            name: self.name.clone(),
            path: self.path.clone(),
            insider: None,
            is_borrowed: true,
        }
    }

    /// A client's socket, not bound to anything.
    pub fn socket(&self, domain: Domain, kind: Type) -> Result<Socket> {
        let made = match &self.insider {
            Some(insider) => insider.socket(domain, kind),
            None => self.run(|| Socket::new(domain, kind, None))?,
        };
        made.with_context(|| format!("cannot make a socket in {}", self.name))
    }

    /// Its name, as `ip netns` and `ip -n` know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, as `nsenter --net=` wants it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` inside, on a thread of its own. Sockets that it opens stay in this namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(&self.path).with_context(|| format!("namespace {} is gone", self.name))?;
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(file, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                })
                .join()
        })
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .map_err(|errno: nix::Error| anyhow!("cannot enter namespace {}: {errno}", self.name))
    }

    /// The same for work that may fail.
    pub fn try_run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        Ok(self.run(work)??)
    }

    /// A command that runs inside. Unlike `ip netns exec` it leaves /sys, and so the BPF file system, as it is.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg(program);
        command
    }

    /// Runs the program of `line`, split at white space, inside.
    pub fn line(&self, line: &str) -> Result<String> {
        command::run(self.command("env").args(line.split_whitespace()))
    }

    /// Runs lines of `ip` commands inside, as one process.
    pub fn batch(&self, lines: &str) -> Result<()> {
        command::feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines)?;
        Ok(())
    }

    /// Runs lines of `tc` commands inside, as one process.
    pub fn tc(&self, lines: &str) -> Result<String> {
        command::feed(Command::new("tc").args(["-n", &self.name, "-batch", "-"]), lines)
    }

    /// Loads an nftables script inside.
    pub fn nft(&self, script: &str) -> Result<()> {
        command::feed(self.command("nft").args(["-f", "-"]), script)?;
        Ok(())
    }

    /// Sets `net.` + `name` (with slashes) to `value` inside.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.try_run(|| fs::write(format!("/proc/sys/net/{name}"), value))
            .with_context(|| format!("cannot set net/{name} to {value} in {}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.is_borrowed {
            remove(&self.path);
        }
    }
}

/// Removes namespaces whose maker, the process in their name (`nm<pid>-...`), died without doing so.
pub fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().and_then(maker).is_some_and(is_dead) {
            remove(&entry.path());
        }
    }
}

/// The process that a lab's name names.
pub(crate) fn maker(name: &str) -> Option<u32> {
    name.strip_prefix("nm")?.split_once('-')?.0.parse().ok()
}

/// Whether no process has this number.
pub(crate) fn is_dead(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

fn remove(path: &Path) {
    // Nothing can be done about a failure, and a later sweep tries again.
    let _unmounted = umount2(path, MntFlags::MNT_DETACH);
    let _removed = fs::remove_file(path);
}
