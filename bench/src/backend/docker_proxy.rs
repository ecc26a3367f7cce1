//! Docker's userland proxy, a process a port.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{Lab, topology::C1};

use crate::ports::Port;

/// docker-proxies that run. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Proxies {
    children: Vec<Child>,
}

impl Proxies {
    /// Starts one a port and waits until each listens.
    pub(crate) fn start(lab: &Lab, ports: impl IntoIterator<Item = Port>) -> Result<Self> {
        let binary = find().context("there is no docker-proxy; `cargo xtask bench` fetches it")?;
        let mut proxies = Self { children: Vec::new() };
        for port in ports {
            crate::interrupt::check()?;
            let (host, container) = (port.host.to_string(), port.container.to_string());
            // It says on file descriptor 3 that it listens.
            let child = lab
                .host
                .command("sh")
                .args(["-c", r#"exec "$0" "$@" 3>&1 1>/dev/null"#])
                .arg(&binary)
                .args([
                    "-proto",
                    port.transport.name(),
                    "-host-ip",
                    "0.0.0.0",
                    "-host-port",
                    &host,
                ])
                .args(["-container-ip", &C1.to_string(), "-container-port", &container])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                // It complains of every connection that a client leaves at its end.
                .stderr(Stdio::null())
                .spawn()
                .context("cannot start docker-proxy")?;
            proxies.children.push(child);
            let said = proxies.children.last_mut().and_then(|child| child.stdout.take());
            let mut line = String::new();
            BufReader::new(said.context("docker-proxy has no output")?).read_line(&mut line)?;
            ensure!(line.trim_end() == "0", "docker-proxy did not start: {line}");
        }
        Ok(proxies)
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _killed = child.kill();
        }
        for child in &mut self.children {
            let _ended = child.wait();
        }
    }
}

/// Whether docker-proxy can be run here.
pub(crate) fn is_there() -> bool {
    find().is_some()
}

/// The program that `DOCKER_PROXY` names, or that of an installed Docker.
fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/libexec/docker".into()])
        .map(|folder| folder.join("docker-proxy"));
    env::var_os("DOCKER_PROXY")
        .map(PathBuf::from)
        .into_iter()
        .chain(installed)
        .find(|file| file.is_file())
}
