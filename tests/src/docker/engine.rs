//! dockerd: started, asked, stopped and killed.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{image, tools::Tools};
use crate::{Lab, Namespace, command, ground, launcher, namespace, wait_for};

/// How long dockerd may take to start, where everybody builds.
const READY: Duration = Duration::from_secs(60);
/// How many seconds a `docker` command may take.
const COMMAND_SECONDS: &str = "600";
/// Shims leave sockets in this folder, whatever containerd is told.
const ANCHOR: &str =
    "mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && echo ready && exec sleep 3600";

/// A dockerd in the lab's host. Gone with its containers, and without a trace, when dropped.
#[derive(Debug)]
pub struct Engine {
    host: Arc<Namespace>,
    tools: Tools,
    /// Everything that it writes.
    folder: PathBuf,
    /// Its own processes.
    processes: PathBuf,
    /// Its containers', a name in every hierarchy of control groups.
    containers: String,
    /// Holds the mount namespace that every dockerd here lives in.
    anchor: Child,
    daemon: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Engine {
    /// All that a dockerd needs in the lab's host, but no dockerd yet.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        sweep();
        let tools = Tools::find()?;
        let folder = std::env::temp_dir().join(format!("netmap-{}-docker", lab.name()));
        let processes = ground::cgroup_root()?
            .join(format!("netmap-{}", lab.name()))
            .join("engine");
        let containers = format!("netmap-{}-d", lab.name());
        fs::create_dir_all(folder.join("client"))?;
        fs::create_dir_all(&processes)
            .with_context(|| format!("cannot make control group {}", processes.display()))?;
        // Mounts of containers are seen by nobody else, and go with the last process.
        let anchor = Command::new("sh")
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec unshare "$@""#])
            .arg(&processes)
            .args(["--mount", "--propagation", "private", "sh", "-c", ANCHOR])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot make a mount namespace; the tests must run as root")?;
        let mut engine = Self {
            host: Arc::clone(&lab.host),
            tools,
            folder,
            processes,
            containers,
            anchor,
            daemon: None,
            environment: Vec::new(),
        };
        engine.await_anchor()?;
        fs::write(engine.configuration(), "{}")?;
        Ok(engine)
    }

    /// Adds to the environment of every dockerd from now on, which its userland proxies inherit.
    pub fn set_environment(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Its daemon.json.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("daemon.json")
    }

    /// What stands for the folder of systemd's units.
    pub fn units(&self) -> PathBuf {
        self.folder.join("system")
    }

    /// Where its API is.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The engine's own docker-proxy.
    pub fn own_proxy(&self) -> Result<PathBuf> {
        self.tools.program("docker-proxy")
    }

    /// Starts dockerd with its daemon.json and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let (mut daemon, from) = self.spawn()?;
        let start = Instant::now();
        while !self.try_docker(&["version"])?.status.success() {
            if let Some(status) = daemon.try_wait()? {
                anyhow::bail!("dockerd ended with {status}:\n{}", self.log_since(from)?);
            }
            if start.elapsed() > READY {
                let _killed = daemon.kill();
                let _reaped = daemon.wait();
                anyhow::bail!("dockerd does not answer:\n{}", self.log_since(from)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Starts a dockerd that must refuse to, and gives what it said.
    pub fn refuses_to_start(&self) -> Result<String> {
        let (mut daemon, from) = self.spawn()?;
        let start = Instant::now();
        loop {
            if let Some(status) = daemon.try_wait()? {
                ensure!(!status.success(), "dockerd ended as if all were well");
                return self.log_since(from);
            }
            if start.elapsed() > READY || self.try_docker(&["version"])?.status.success() {
                let _killed = daemon.kill();
                let _reaped = daemon.wait();
                anyhow::bail!("dockerd runs:\n{}", self.log_since(from)?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// dockerd's process.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Stops dockerd as systemd would; its containers go, too, unless it is told to let them live.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Kills dockerd, as an accident would. Its containerd goes with it, which runs by itself on other hosts: a new dockerd
    /// has to start one.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)?;
        let named = self.folder.join("exec/containerd/containerd.pid");
        let pid: u32 = fs::read_to_string(&named)?.trim().parse()?;
        wait_for("containerd ends", || Ok(launcher::is_gone(pid).then_some(())))?;
        // Nobody may look after a dead process here, and dockerd takes it for one that lives.
        Ok(fs::remove_file(named)?)
    }

    /// What dockerd has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A `docker` command of the host, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.host.command("timeout");
        command
            .arg(COMMAND_SECONDS)
            .arg(self.tools.program("docker")?)
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments)
            .env("DOCKER_CONFIG", self.folder.join("client"))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a `docker` command to its end, whatever the end is.
    pub fn try_docker(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// Runs a `docker` command that must succeed, and gives what it printed without the line feed.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_docker(arguments)?;
        ensure!(
            output.status.success(),
            "`docker {}` failed ({}): {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs a `docker` command that must fail, and gives what it said.
    pub fn refused(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_docker(arguments)?;
        ensure!(
            !output.status.success(),
            "`docker {}` should fail",
            arguments.join(" ")
        );
        Ok(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Makes the image of which the lab's containers are.
    pub fn import_image(&self) -> Result<()> {
        let tree = self.folder.join("image");
        fs::create_dir_all(&tree)?;
        image::lay_out(&self.tools, &tree)?;
        let archive = self.folder.join("image.tar");
        command::run(
            Command::new("tar")
                .arg("--create")
                .arg("--file")
                .arg(&archive)
                .arg("--directory")
                .arg(&tree)
                .arg("."),
        )?;
        let archive = archive.display().to_string();
        self.docker(&["import", &archive, image::NAME]).map(drop)
    }

    /// Processes of the program `name` that this engine has started and that still run.
    pub fn processes(&self, name: &str) -> Result<Vec<u32>> {
        let all = fs::read_to_string(self.processes.join("cgroup.procs"))?;
        Ok(all
            .lines()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| {
                let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                program.file_name().is_some_and(|file| file == name)
            })
            .collect())
    }

    fn spawn(&self) -> Result<(Child, u64)> {
        let log = self.folder.join("log");
        let from = fs::metadata(&log).map_or(0, |log| log.len());
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec nsenter "$@""#])
            .arg(&self.processes)
            .arg(format!("--mount=/proc/{}/ns/mnt", self.anchor.id()))
            .arg(format!("--net={}", self.host.path().display()))
            .arg(self.tools.program("dockerd")?);
        for (flag, place) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(flag).arg(self.folder.join(place));
        }
        command
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .arg("--cgroup-parent")
            .arg(format!("/{}", self.containers))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.tools.equip(&mut command)?;
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let daemon = command.spawn().context("cannot start dockerd")?;
        Ok((daemon, from))
    }

    fn log_since(&self, from: u64) -> Result<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut log = File::open(self.folder.join("log"))?;
        log.seek(SeekFrom::Start(from))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        Ok(text)
    }

    fn await_anchor(&mut self) -> Result<()> {
        use std::io::{BufRead as _, BufReader};
        let mut line = String::new();
        let said = self.anchor.stdout.take().context("the anchor has no output")?;
        BufReader::new(said).read_line(&mut line)?;
        ensure!(
            line.trim_end() == "ready",
            "there is no mount namespace for dockerd"
        );
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let mut daemon = self.daemon.take().context("dockerd does not run")?;
        kill(Pid::from_raw(daemon.id().try_into()?), signal)?;
        let start = Instant::now();
        while daemon.try_wait()?.is_none() {
            if start.elapsed() > READY {
                daemon.kill()?;
                daemon.wait()?;
                anyhow::bail!("dockerd did not end within {READY:?} of {signal}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("dockerd's log:\n{}", self.log());
        }
        // No orders to dockerd: it might wait for what the test has broken.
        for child in self.daemon.iter_mut().chain([&mut self.anchor]) {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
        ground::end_cgroup(&self.processes);
        end_containers(&self.containers);
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// Ends the containers below a control group's name, in every hierarchy.
fn end_containers(name: &str) {
    let Ok(root) = ground::cgroup_root() else {
        return;
    };
    ground::end_cgroup(&root.join(name));
    // Version 1 has hierarchies beside that of version 2, which is mounted below them.
    let beside = root.parent().unwrap_or(&root);
    for entry in fs::read_dir(beside).into_iter().flatten().flatten() {
        let cgroup = entry.path().join(name);
        if cgroup.is_dir() {
            let _removed = ground::remove_cgroup(&cgroup);
        }
    }
}

/// Removes what engines of dead processes have left; their processes went with [`ground::sweep`].
fn sweep() {
    let names = |folder: &Path| {
        let entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| {
                let maker = name.strip_prefix("netmap-").and_then(namespace::maker);
                maker.is_some_and(namespace::is_dead)
            })
    };
    let folder = std::env::temp_dir();
    for name in names(&folder).filter(|name| name.ends_with("-docker")) {
        if let Some(lab) = name.strip_suffix("-docker") {
            end_containers(&format!("{lab}-d"));
        }
        let _removed = fs::remove_dir_all(folder.join(&name));
    }
}
