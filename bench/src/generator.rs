//! The packet generator: a process of its own that runs a BPF program on live frames until it is ended.
//!
//! One call of `BPF_PROG_TEST_RUN` takes 15 to 20 ms to set up its page pool, so there is one that never returns.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns},
    sys::{prctl::set_pdeathsig, signal::Signal},
};

use crate::{
    machine, programs,
    traffic::{BURST, Packets, Template, Traffic},
};

const READY: &str = "ready";

/// A generator that runs. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Generator {
    child: Child,
}

impl Generator {
    /// Starts to send.
    pub(crate) fn start(traffic: &Traffic) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("generate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the generator")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let generator = Self { child };
        serde_json::to_writer(stdin.context("the generator has no input")?, traffic)?;
        let mut line = String::new();
        BufReader::new(stdout.context("the generator has no output")?).read_line(&mut line)?;
        ensure!(
            line.trim_end() == READY,
            "the generator did not start; its message is above"
        );
        Ok(generator)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What the process of a generator does: reads the traffic from standard input and sends until it is killed.
pub(crate) fn generate() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let traffic: Traffic = serde_json::from_reader(std::io::stdin())?;
    machine::pin(0, traffic.core)?;
    if traffic.is_preferred {
        machine::stand_out()?;
    }
    setns(File::open(&traffic.namespace)?, CloneFlags::CLONE_NEWNET)?;
    let interface = if_nametoindex(traffic.interface.as_str())
        .with_context(|| format!("there is no interface {}", traffic.interface))?;
    let template = traffic.template();
    let mut object = load(&traffic, &template, interface)?;
    let program: &mut Xdp = programs::program(&mut object, "generate")?;
    program.load()?;
    println!("{READY}");
    std::io::stdout().flush()?;
    loop {
        let sent = program.test_run(TestRunOptions {
            data_in: template.frame.get(..60),
            repeat: u32::MAX,
            attrs: TestRunAttrs::new().xdp_live_frames(BURST),
            ..TestRunOptions::default()
        });
        match sent {
            Ok(_) => {}
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the kernel does not run XDP programs on live frames"),
        }
    }
}

/// Loads the programs with a stream's globals, sending to `interface`.
pub(crate) fn load(traffic: &Traffic, template: &Template, interface: u32) -> Result<Ebpf> {
    let interval = traffic.interval();
    let address = traffic.from.address.to_bits();
    let (stride, syns) = (traffic.from.stride, u32::from(traffic.kind == Packets::Syns));
    let (port, ports) = (u32::from(traffic.from.port), u32::from(traffic.from.ports));
    programs::load(|loader| {
        loader
            .override_global("FRAME", &template.frame, true)
            .override_global("IP_SUM", &template.ip_sum, true)
            .override_global("UDP_SUM", &template.udp_sum, true)
            .override_global("ADDRESS", &address, true)
            .override_global("ADDRESSES", &traffic.from.addresses, true)
            .override_global("STRIDE", &stride, true)
            .override_global("SYNS", &syns, true)
            .override_global("PORT", &port, true)
            .override_global("PORTS", &ports, true)
            .override_global("INTERVAL", &interval, true)
            .override_global("INTERFACE", &interface, true);
    })
}
