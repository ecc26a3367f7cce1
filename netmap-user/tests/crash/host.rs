//! A host with an uplink, a bridge and some ports that come and go, and a daemon that dies.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    dice::Dice,
    lab::{Lab, sh},
};

/// Ports of the bridge that come and go.
const PORTS: [&str; 3] = ["p0", "p1", "p2"];

/// The host. It goes with its daemon, and leaves the pins to the lab.
pub(crate) struct Host {
    pin_dir: PathBuf,
    folder: TempDir,
    socket: PathBuf,
    cgroup: Cgroup,
    daemon: Option<Child>,
}

impl Host {
    pub(crate) fn new(lab: &Lab) -> Self {
        sh("ip link set lo up && \
            ip link add up0 type veth peer name up0-peer && ip link set up0 up && ip link set up0-peer up && \
            ip addr add 192.0.2.2/24 dev up0 && ip route add default via 192.0.2.1 && \
            ip link add br0 type bridge && ip addr add 172.30.1.1/24 dev br0 && ip link set br0 up");
        let folder = tempfile::tempdir().unwrap();
        Self {
            pin_dir: lab.pin_dir.clone(),
            socket: folder.path().join("netmap.sock"),
            folder,
            cgroup: Cgroup::make(&lab.pin_dir),
            daemon: None,
        }
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs the daemon, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        assert!(self.daemon.is_none());
        let mut child = self.spawn_run_at(&self.socket);
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        if !line.contains(" is ready: ") {
            let output = child.wait_with_output().unwrap();
            panic!("not ready: {line} {}", String::from_utf8_lossy(&output.stderr));
        }
        // What it says later is for nobody, but must not block it.
        let mut err = child.stderr.take().unwrap();
        thread::spawn(move || err.read_to_end(&mut Vec::new()));
        self.daemon = Some(child);
    }

    /// Runs another one in its place, and kills it after a time that is seldom enough for it to become ready.
    pub(crate) fn die_while_starting(&mut self, after: Duration) {
        self.killer().kill();
        self.bury();
        let mut child = self.spawn_run_at(&self.socket);
        thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Who can kill the daemon while others talk to it.
    pub(crate) fn killer(&self) -> Killer {
        let id = self.daemon.as_ref().unwrap().id();
        Killer(Pid::from_raw(id.try_into().unwrap()))
    }

    /// Waits for its end.
    pub(crate) fn bury(&mut self) {
        self.daemon.take().unwrap().wait().unwrap();
    }

    pub(crate) fn spawn_run_at(&self, socket: &Path) -> Child {
        let mut command = self.command(&["run", "--uplink", "up0", "--bridge", "br0"]);
        command
            .arg("--cgroup")
            .arg(&self.cgroup.0)
            .arg("--socket")
            .arg(socket);
        command.spawn().unwrap()
    }

    /// Starts a command of netmap's that talks to the daemon.
    pub(crate) fn spawn_command(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .arg("--socket")
            .arg(&self.socket)
            .spawn()
            .unwrap()
    }

    fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netmap"));
        command
            .args(arguments)
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Asks the daemon to do something. `Some` if it has answered that it did; `None` if it died meanwhile.
    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> Option<()> {
        let body = serde_json::to_string(body).unwrap();
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: netmap\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if read.is_err() || answer.is_empty() {
            return None;
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{body}: {answer}");
        assert!(answer.contains("\"warnings\":["), "{answer}");
        assert!(!answer.contains("gone after a reboot"), "{answer}");
        Some(())
    }

    /// Adds a port to the bridge, or removes it.
    pub(crate) fn attach_or_detach_a_port(dice: &mut Dice) {
        let name = PORTS[usize::try_from(dice.below(3)).unwrap()];
        if has(name) {
            sh(&format!("ip link del {name}"));
        } else {
            sh(&format!(
                "ip link add {name} type veth peer name {name}-peer && ip link set {name} master br0 up"
            ));
        }
    }

    /// Where programs have to be attached now: interface and hook.
    pub(crate) fn hooks() -> Vec<(String, &'static str)> {
        let ports = PORTS
            .into_iter()
            .filter(|port| has(port))
            .map(|port| (port, "ingress"));
        let fixed = [
            ("up0", "ingress"),
            ("up0", "egress"),
            ("br0", "ingress"),
            ("netns", "sk_lookup"),
        ];
        let in_cgroup = [
            "bind4",
            "bind6",
            "getpeername4",
            "getpeername6",
            "recvmsg4",
            "recvmsg6",
            "sendmsg4",
            "sendmsg6",
            "connect4",
            "connect6",
        ];
        let in_cgroup = in_cgroup.into_iter().map(|hook| ("cgroup", hook));
        let all = fixed.into_iter().chain(ports).chain(in_cgroup);
        all.map(|(place, hook)| (place.to_owned(), hook)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _killed = daemon.kill();
            let _ended = daemon.wait();
        }
    }
}

/// Kills the daemon.
pub(crate) struct Killer(Pid);

impl Killer {
    pub(crate) fn kill(&self) {
        kill(self.0, Signal::SIGKILL).unwrap();
    }
}

fn has(interface: &str) -> bool {
    nix::net::if_::if_nametoindex(interface).is_ok()
}

/// A cgroup without processes.
struct Cgroup(String);

impl Cgroup {
    fn make(pin_dir: &Path) -> Self {
        let root = sh("findmnt -n -t cgroup2 -o TARGET | head -n 1");
        let name = pin_dir.file_name().unwrap().to_str().unwrap();
        let path = format!("{}/{name}-crash", root.trim());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir(&self.0);
        assert!(removed.is_ok() || thread::panicking(), "{removed:?}");
    }
}
