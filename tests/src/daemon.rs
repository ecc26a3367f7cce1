//! A netmap that runs in the lab's host, driven as a user would: by its command line.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read},
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{Counters, DEADLINE, Lab, Moved, Namespace, Nobody, ground};

/// How long the daemon may take to attach and say so.
const READY: Duration = Duration::from_secs(180);
/// How many seconds any other command may take.
const COMMAND_SECONDS: &str = "60";

/// A netmap in the lab's host, with a socket, pins, a state directory and a control group of its own. Gone without a trace when dropped.
#[derive(Debug)]
pub struct Netmap {
    host: Arc<Namespace>,
    binary: PathBuf,
    socket: PathBuf,
    pins: PathBuf,
    state: PathBuf,
    cgroup: PathBuf,
    arguments: Vec<String>,
    nobody: Option<Nobody>,
    daemon: Option<Daemon>,
    log: Arc<Mutex<String>>,
    /// Prints the daemons' log when it goes: in a test, which keeps it to itself unless it fails.
    pub shows_log: bool,
    /// [`Netmap::watch`] takes what XDP counts for TC's: which of the two carries a packet of an uplink does not matter.
    pub merges_uplink_hooks: bool,
}

#[derive(Debug)]
struct Daemon {
    child: Child,
    ready: String,
}

impl Netmap {
    /// Runs with `up0` as uplink and both bridges, and waits until it is ready.
    pub fn start(lab: &Lab) -> Result<Self> {
        Self::start_with_more(lab, &[])
    }

    /// The same with these arguments too.
    pub fn start_with_more(lab: &Lab, more: &[&str]) -> Result<Self> {
        let mut arguments = vec!["--uplink", "up0", "--bridge", "br1", "--bridge", "br2"];
        if !lab.options().socket_hooks {
            arguments.push("--no-socket-hooks");
        }
        if lab.options().native_xdp {
            arguments.extend(["--xdp", "native"]);
        }
        arguments.extend(more);
        let mut netmap = Self::start_with(lab, &arguments)?;
        netmap.merges_uplink_hooks = lab.options().native_xdp;
        Ok(netmap)
    }

    /// Runs with these arguments beside those for its socket, pins and control group.
    pub fn start_with(lab: &Lab, arguments: &[&str]) -> Result<Self> {
        let mut netmap = Self::prepare(lab)?;
        netmap.set_arguments(arguments);
        netmap.run()?;
        Ok(netmap)
    }

    /// Everything that it needs, but no daemon.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        ground::mount_bpffs()?;
        let name = lab.name();
        let cgroup = ground::cgroup_root()?.join(format!("netmap-{name}"));
        fs::create_dir(&cgroup).with_context(|| format!("cannot make control group {}", cgroup.display()))?;
        let (binary, pins) = (
            ground::binary()?,
            Path::new(ground::BPFFS).join(format!("netmap-{name}")),
        );
        let nobody = match lab.options().capabilities {
            Some(capabilities) => Some(Nobody::prepare(name, &binary, &pins, capabilities)?),
            None => None,
        };
        Ok(Self {
            host: Arc::clone(&lab.host),
            binary,
            socket: std::env::temp_dir().join(format!("netmap-{name}.sock")),
            pins,
            state: std::env::temp_dir().join(format!("netmap-{name}-state")),
            cgroup,
            arguments: Vec::new(),
            nobody,
            daemon: None,
            log: Arc::default(),
            shows_log: true,
            merges_uplink_hooks: false,
        })
    }

    /// The arguments of [`Netmap::run`] from now on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Its arguments.
    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Starts the daemon and waits for the line that says it is ready.
    pub fn run(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon runs already");
        let mut command = match &self.nobody {
            Some(nobody) => self.with_instance(nobody.start(|program| self.host_command(program))),
            None => self.command("run"),
        };
        command
            .args(&self.arguments)
            .arg("--cgroup")
            .arg(&self.cgroup)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C is for us, who then stop it in good order.
            .process_group(0);
        let mut child = command.spawn().context("cannot start netmap")?;
        if let Some(stderr) = child.stderr.take() {
            keep(stderr, Arc::clone(&self.log));
        }
        let (told, tells) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Only the first line is waited for.
                    let _unheard = told.send(line);
                }
            });
        }
        let mut daemon = Daemon {
            child,
            ready: String::new(),
        };
        match tells.recv_timeout(READY) {
            Ok(line) => daemon.ready = line,
            Err(error) => {
                let _killed = daemon.child.kill();
                let status = daemon.child.wait()?;
                let log = self.log();
                bail!("netmap run did not become ready ({error}, then {status}); it said:\n{log}");
            }
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The line that the daemon printed when it was ready.
    pub fn ready_line(&self) -> &str {
        self.daemon.as_ref().map_or("", |daemon| daemon.ready.as_str())
    }

    /// What its daemons have written to their standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The daemon's process.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(|daemon| daemon.child.id())
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its directory of pins.
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// The folder of its tables' layout in there, as in `v4`.
    pub fn layout(&self) -> Result<PathBuf> {
        let entry = fs::read_dir(&self.pins)?.next().context("nothing is pinned")?;
        Ok(entry?.path())
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where docker's proxies come in.
    pub fn shim_socket(&self) -> PathBuf {
        self.socket.with_extension("docker-proxy.sock")
    }

    /// Its control group, where the lab's host processes live.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// This namespace with clients in the control group, as processes of the host are: the socket hooks see them.
    pub fn clients(&self, namespace: &Namespace) -> Result<Namespace> {
        let cgroup = self.cgroup.join(ground::CLIENTS);
        fs::create_dir_all(&cgroup)
            .with_context(|| format!("cannot make control group {}", cgroup.display()))?;
        namespace.within(|program| enter(&cgroup, namespace, program))
    }

    /// The `netmap` command in the host, not yet run, with `subcommand` as its first argument.
    pub fn command(&self, subcommand: impl AsRef<OsStr>) -> Command {
        let mut command = self.host_command(&self.binary);
        command.arg(subcommand);
        self.with_instance(command)
    }

    /// A command of the host: in its network namespace and in its control group, not yet run.
    pub fn host_command(&self, program: impl AsRef<OsStr>) -> Command {
        enter(&self.cgroup, &self.host, program)
    }

    fn with_instance(&self, mut command: Command) -> Command {
        command
            .env_remove("NETMAP_DOCKER")
            .env_remove("NETMAP_SHIM_SOCKET")
            .env_remove("NETMAP_LOG")
            .env("NETMAP_SOCKET", &self.socket)
            .env("NETMAP_PIN_DIR", &self.pins)
            .env("NETMAP_STATE", &self.state);
        command
    }

    /// Runs a netmap command to its end, whatever the end is; 124 is that of one that did not end by itself.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.host_command("timeout");
        command.arg(COMMAND_SECONDS).arg(&self.binary).args(arguments);
        Ok(self.with_instance(command).stdin(Stdio::null()).output()?)
    }

    /// Runs a netmap command that must succeed, and gives what it printed.
    pub fn done(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments)?;
        ensure!(
            output.status.success(),
            "`netmap {}` failed ({}): {}\nthe daemon's log:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
            self.log(),
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a netmap command that must fail with this exit status, and gives what it said.
    pub fn refused(&self, arguments: &[&str], status: i32) -> Result<String> {
        let output = self.cli(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(status),
            "`netmap {}` should exit with {status}, but {}: {said}",
            arguments.join(" "),
            output.status,
        );
        ensure!(
            !said.trim().is_empty(),
            "`netmap {}` fails without a word",
            arguments.join(" ")
        );
        Ok(said)
    }

    /// `netmap publish SPEC --to TARGET`.
    pub fn publish(&self, spec: &str, target: impl Into<IpAddr>) -> Result<()> {
        self.done(&["publish", spec, "--to", &target.into().to_string()])
            .map(drop)
    }

    /// `netmap unpublish SPEC`.
    pub fn unpublish(&self, spec: &str) -> Result<()> {
        self.done(&["unpublish", spec]).map(drop)
    }

    /// `netmap COMMAND --json`.
    pub fn json(&self, command: &str) -> Result<Value> {
        let text = self.done(&[command, "--json"])?;
        serde_json::from_str(&text)
            .with_context(|| format!("`netmap {command} --json` printed no JSON: {text}"))
    }

    /// The published rules, as `netmap ports --json` lists them, without what changes by itself.
    pub fn ports(&self) -> Result<Vec<Value>> {
        let mut ports = list(self.json("ports")?, "ports")?;
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            for moving in ["age_seconds", "idle_seconds", "flows"] {
                port.remove(moving);
            }
        }
        Ok(ports)
    }

    /// The flows, as `netmap flows --json` lists them.
    pub fn flows(&self) -> Result<Vec<Value>> {
        list(self.json("flows")?, "flows")
    }

    /// Waits until no packet was carried for longer than TCP puts off an acknowledgement (200 ms at the most), so that what
    /// a test has done before is not counted for what it does next.
    pub fn settle(&self) -> Result<()> {
        const QUIET: Duration = Duration::from_millis(250);
        let deadline = Instant::now() + DEADLINE;
        let (mut last, mut since) = (self.counters()?, Instant::now());
        while since.elapsed() < QUIET {
            ensure!(Instant::now() < deadline, "packets do not cease to be carried");
            let now = self.counters()?;
            if !last.until(&now).carried().is_empty() {
                since = Instant::now();
            }
            last = now;
        }
        Ok(())
    }

    /// The counters now.
    pub fn counters(&self) -> Result<Counters> {
        Counters::from_json(self.json("stats")?)
    }

    /// Packets counted under this reason at this hook.
    pub fn packets(&self, hook: &str, reason: &str) -> Result<u64> {
        Ok(self.counters()?.packets(hook, reason))
    }

    /// Does `work` and says which counters it moved.
    pub fn watch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Moved)> {
        let before = self.counters()?;
        let done = work()?;
        let moved = before.until(&self.counters()?);
        let moved = if self.merges_uplink_hooks {
            moved.with_uplink_hooks_merged()
        } else {
            moved
        };
        Ok((done, moved))
    }

    /// Stops the daemon as systemd would, with SIGTERM; the data plane stays.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let daemon = self.daemon.take().context("the daemon does not run")?;
        daemon.end(Signal::SIGTERM)
    }

    /// Kills the daemon, as an accident would.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        let daemon = self.daemon.take().context("the daemon does not run")?;
        daemon.end(Signal::SIGKILL)
    }

    /// Stops the daemon and runs a new one.
    pub fn restart(&mut self) -> Result<()> {
        let status = self.stop()?;
        ensure!(status.success(), "netmap stopped with {status}");
        self.run()
    }

    /// `netmap down`, which removes everything.
    pub fn down(&self) -> Result<()> {
        self.done(&["down"]).map(drop)
    }
}

impl Drop for Netmap {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            let _stopped = self.stop();
        }
        if self.shows_log {
            eprintln!("netmap's log:\n{}", self.log());
        }
        if self.pins.exists() {
            let _removed = self.down();
        }
        // What is left now is a fault, which a test of `netmap down` reports; the next test must not meet it.
        let _removed = fs::remove_dir_all(&self.pins);
        let _removed = fs::remove_dir_all(&self.state);
        let _removed = fs::remove_file(&self.socket);
        let _removed = fs::remove_file(self.shim_socket());
        let _removed = fs::remove_dir_all(self.shim_socket().with_extension("unpublished"));
        ground::end_cgroup(&self.cgroup);
    }
}

impl Daemon {
    fn end(mut self, signal: Signal) -> Result<ExitStatus> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > 2 * DEADLINE {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the daemon did not end within {:?} of {signal}", 2 * DEADLINE);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A command in a control group and a network namespace.
fn enter(cgroup: &Path, namespace: &Namespace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec nsenter "$@""#])
        .arg(cgroup)
        .arg(format!("--net={}", namespace.path().display()))
        .arg(program);
    command
}

fn keep(mut from: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
}

fn list(value: Value, key: &str) -> Result<Vec<Value>> {
    match value {
        Value::Object(mut object) => match object.remove(key) {
            Some(Value::Array(list)) => Ok(list),
            _ => bail!("the listing has no array {key:?}"),
        },
        _ => bail!("the listing is no object"),
    }
}
