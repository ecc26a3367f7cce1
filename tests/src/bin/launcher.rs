//! What a container engine does about published ports, and no more: binds them, starts a proxy for each with the
//! descriptors that dockerd gives it, and stops it by SIGINT. Commands are lines of JSON on the standard input, see
//! [`netmap_tests::launcher`]; killing it kills its proxies by SIGTERM, as dockerd arranges it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, PipeReader, Read as _, Write as _},
    net::SocketAddr,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use netmap_tests::launcher::{Order, Port, Report};
use nix::{
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{Signal, kill},
        socket::{setsockopt, sockopt},
    },
    unistd::{Pid, dup2_raw},
};
use socket2::{Domain, Socket, Type};

/// For how long dockerd waits for a proxy, in milliseconds.
const PATIENCE: u16 = 16_000;

fn main() -> Result<()> {
    let program = std::env::args_os().nth(1).context("usage: launcher PROXY")?;
    let mut proxies: BTreeMap<String, Child> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let report = match serde_json::from_str(&line?)? {
            Order::Start(port) => match start(Path::new(&program), &port) {
                Ok(proxy) => {
                    let pid = proxy.id();
                    proxies.insert(port.name.clone(), proxy);
                    Report::Started(pid)
                }
                Err(error) => Report::Failed(format!("{error:#}")),
            },
            Order::Stop(name) => match proxies.remove(&name).context("no such proxy").and_then(stop) {
                Ok((code, milliseconds)) => Report::Stopped { code, milliseconds },
                Err(error) => Report::Failed(format!("{error:#}")),
            },
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        out.flush()?;
    }
    Ok(())
}

/// `StartProxy` of `daemon/libnetwork/portmapper/proxy_linux.go`.
fn start(program: &Path, port: &Port) -> Result<Child> {
    let socket = port.has_socket.then(|| bind(port)).transpose();
    let socket = socket.with_context(|| format!("failed to bind host port {}/{}", port.host, port.proto))?;
    let (mut status, pipe) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(["-proto", &port.proto])
        .args(["-host-ip", &port.host.ip().to_string()])
        .args(["-host-port", &port.host.port().to_string()])
        .args(["-container-ip", &port.container.ip().to_string()])
        .args(["-container-port", &port.container.port().to_string()])
        .args(socket.as_ref().map(|_| "-use-listen-fd"))
        .args(&port.arguments)
        .envs(&port.environment)
        .stdin(Stdio::null());
    // Where neither is in the other's place.
    let [pipe, socket] = [Some(pipe.into()), socket.map(OwnedFd::from)].map(|descriptor| {
        descriptor
            .map(|descriptor: OwnedFd| high(descriptor.as_fd()))
            .transpose()
    });
    let (pipe, socket) = (pipe?.context("no pipe")?, socket?);
    let inherited = [Some(pipe.as_raw_fd()), socket.as_ref().map(OwnedFd::as_raw_fd)];
    // SAFETY: prctl(2) and dup2(2) may be called between fork(2) and execve(2), and nothing else is.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            for (number, descriptor) in (3..).zip(inherited) {
                if let Some(descriptor) = descriptor {
                    duplicate(descriptor, number)?;
                }
            }
            Ok(())
        });
    }
    let proxy = command.spawn().context("failed to start docker-proxy")?;
    drop((pipe, socket));
    match wait(&mut status) {
        Ok(()) => Ok(proxy),
        Err(error) => {
            // It says why not and ends by itself.
            proxy.wait_with_output()?;
            Err(error)
        }
    }
}

fn duplicate(descriptor: i32, number: i32) -> io::Result<()> {
    // SAFETY: it is open: this process has inherited it.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // SAFETY: this process is about to become another, which alone owns the number.
    let placed = unsafe { dup2_raw(descriptor, number) }?;
    std::mem::forget(placed);
    Ok(())
}

/// The same file as a descriptor that is in nobody's way.
fn high(descriptor: BorrowedFd<'_>) -> Result<OwnedFd> {
    let number = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(100))?;
    // SAFETY: fcntl(2) has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads `0\n`, or what is wrong.
fn wait(status: &mut PipeReader) -> Result<()> {
    let mut files = [PollFd::new(status.as_fd(), PollFlags::POLLIN)];
    ensure!(
        poll(&mut files, PollTimeout::from(PATIENCE))? > 0,
        "timed out starting the userland proxy"
    );
    let mut word = [0; 2];
    let length = status.read(&mut word)?;
    if word.get(..length) == Some(b"0\n") {
        return Ok(());
    }
    ensure!(
        length > 0,
        "failed to start docker-proxy, check that the current version is in your $PATH"
    );
    let mut why = String::new();
    status.read_to_string(&mut why)?;
    bail!("error starting userland proxy: {why}")
}

/// `Stop` of the same file: SIGINT, and then it waits.
fn stop(mut proxy: Child) -> Result<(Option<i32>, u64)> {
    let start = Instant::now();
    kill(Pid::from_raw(proxy.id().try_into()?), Signal::SIGINT)?;
    let status = proxy.wait()?;
    Ok((status.code(), start.elapsed().as_millis().try_into()?))
}

/// As `bindTCPOrUDP` of the engine's version 28.
fn bind(port: &Port) -> Result<Socket> {
    let address: SocketAddr = port.host;
    let kind = if port.proto == "udp" {
        Type::DGRAM
    } else {
        Type::STREAM
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if kind == Type::DGRAM {
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(4096)?;
    }
    Ok(socket)
}
