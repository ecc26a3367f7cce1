//! A stage whose one core forwards the generator's packets to a sink, and nothing else.
//!
//! The time that the thread of the interface's receive queue ran is the time that forwarding took.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Namespace,
    topology::{C1, HOST, REMOTE},
};

use crate::{
    backend::{Backend, Stage},
    effort::Effort,
    generator::Generator,
    interrupt,
    machine::{self, CLIENT_CORE, Meter},
    queue,
    sink::{Counts, Expected, Sink},
    tool::{self, Server},
    traffic::{Packets, Sources, Traffic},
    window::{Sample, Window},
};

/// First source port of flows that the receiver has answered.
pub(crate) const ANSWERED: u16 = 20_000;
/// First source port of flows that it never answers.
pub(crate) const UNANSWERED: u16 = 30_000;
/// Where the remote host receives what containers send.
const REMOTE_SERVER: SocketAddrV4 = SocketAddrV4::new(REMOTE, 9000);

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the remote host to the published port.
    In,
    /// From the container to the remote host.
    Out,
}

/// A line that is ready.
#[derive(Debug)]
pub(crate) struct Line<'stage> {
    stage: &'stage Stage,
    direction: Direction,
    kind: Packets,
    meter: Meter,
    sink: Sink,
}

impl<'stage> Line<'stage> {
    /// Prepares a stage, and has `flows` flows answered.
    pub(crate) fn new(
        stage: &'stage Stage,
        direction: Direction,
        flows: u16,
        effort: Effort,
    ) -> Result<Self> {
        Self::of(stage, direction, Packets::Udp, flows, effort)
    }

    /// The same for packets of a kind.
    pub(crate) fn of(
        stage: &'stage Stage,
        direction: Direction,
        kind: Packets,
        flows: u16,
        effort: Effort,
    ) -> Result<Self> {
        let port = match direction {
            Direction::In => "up0",
            Direction::Out => "vc1",
        };
        let threads = queue::dedicate(&stage.lab.host, port)?;
        if is_preferred(stage) {
            threads.iter().try_for_each(|thread| machine::prefer(*thread))?;
        }
        let meter = Meter::of_threads(&threads)?.with_processes(&stage.processes());
        answer_flows(stage, direction, flows)?;
        let (receiver, expected) = expected(stage, direction, effort);
        let sink = Sink::attach(receiver, Expected { kind, ..expected })?;
        Ok(Self {
            stage,
            direction,
            kind,
            meter,
            sink,
        })
    }

    /// A stream of this line's.
    pub(crate) fn traffic(&self, from: Sources, rate: Option<u64>) -> Traffic {
        let lab = &self.stage.lab;
        let (namespace, next_hop, to) = match self.direction {
            // The addresses of up0 and br1 in every lab.
            Direction::In => (&lab.remote, [2, 0, 0, 0, 0x50, 2], self.stage.backend.address()),
            Direction::Out => (&lab.c1, [2, 0, 0, 0, 1, 1], REMOTE_SERVER),
        };
        Traffic {
            namespace: namespace.path().to_path_buf(),
            interface: "eth0".to_owned(),
            core: CLIENT_CORE,
            is_preferred: is_preferred(self.stage),
            next_hop,
            to,
            from,
            kind: self.kind,
            rate,
        }
    }

    /// Flows of the sender's own address.
    pub(crate) fn flows(&self, port: u16, flows: u16) -> Sources {
        Sources::flows(self.direction.sender(), port, flows)
    }

    /// Sends and counts.
    pub(crate) fn run(&self, traffic: &Traffic, effort: Effort) -> Result<Window> {
        let generator = Generator::start(traffic)?;
        let all = self.meter.clone().with_processes(&[generator.pid()]);
        interrupt::pause(effort.warm_up())?;
        let before = self.sample(&all)?;
        interrupt::pause(effort.window())?;
        let after = self.sample(&all)?;
        drop(generator);
        self.sink.ensure_intact()?;
        let window = before.until(&after);
        ensure!(window.packets > 0, "no packet arrived");
        Ok(window)
    }

    /// Sends until `most` packets have arrived or the time is over, and counts from the first packet on.
    pub(crate) fn run_up_to(&self, traffic: &Traffic, most: u64, effort: Effort) -> Result<Window> {
        const STEP: Duration = Duration::from_millis(2);
        let base = self.sink.counts()?.right;
        let generator = Generator::start(traffic)?;
        let all = self.meter.clone().with_processes(&[generator.pid()]);
        let (mut first, start): (Option<Sample>, _) = (None, Instant::now());
        let window = loop {
            interrupt::pause(STEP)?;
            let now = self.sample(&all)?;
            let Some(first) = &first else {
                ensure!(start.elapsed() < Duration::from_secs(5), "no packet arrived");
                first = (now.packets > base).then_some(now);
                continue;
            };
            if now.packets >= base + most || now.at - first.at >= effort.window() {
                break first.until(&now);
            }
        };
        drop(generator);
        self.sink.ensure_intact()?;
        ensure!(window.packets > 0, "only one burst of packets arrived");
        Ok(window)
    }

    /// Waits until so many packets have arrived.
    pub(crate) fn wait_for(&self, packets: u64) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(60);
        let start = Instant::now();
        while self.sink.counts()?.right < packets {
            let arrived = self.sink.counts()?.right;
            ensure!(
                start.elapsed() < LONGEST,
                "of {packets} packets only {arrived} arrived"
            );
            interrupt::pause(Duration::from_millis(10))?;
        }
        self.sink.ensure_intact()
    }

    /// How many have arrived.
    pub(crate) fn arrived(&self) -> Result<u64> {
        self.sink.ensure_intact()?;
        Ok(self.sink.counts()?.right)
    }

    fn sample(&self, all: &Meter) -> Result<Sample> {
        let Counts { right, .. } = self.sink.counts()?;
        Ok(Sample {
            packets: right,
            at: Instant::now(),
            work: self.meter.nanoseconds(),
            all: all.nanoseconds(),
            busy: machine::busy(),
        })
    }
}

impl Direction {
    const fn sender(self) -> Ipv4Addr {
        match self {
            Self::In => REMOTE,
            Self::Out => C1,
        }
    }
}

/// Whether generator and forwarding go before all else: a proxy, which is a process as any other, would starve.
const fn is_preferred(stage: &Stage) -> bool {
    !stage.backend.is_proxy()
}

/// Sends a datagram a flow and waits for its answer, so that every backend knows both directions.
fn answer_flows(stage: &Stage, direction: Direction, flows: u16) -> Result<()> {
    let lab = &stage.lab;
    let (sender, receiver, to, at) = match direction {
        Direction::In => {
            let at = Backend::Route.address();
            (&lab.remote, &lab.c1, stage.backend.address(), at)
        }
        Direction::Out => (&lab.c1, &lab.remote, REMOTE_SERVER, REMOTE_SERVER),
    };
    let _server = Server::start(tool::inside(receiver)?, CLIENT_CORE, at)?;
    let from = direction.sender();
    sender
        .try_run(|| {
            for port in ANSWERED..ANSWERED + flows {
                let socket = UdpSocket::bind((from, port))?;
                socket.set_read_timeout(Some(Duration::from_secs(1)))?;
                socket.connect(to)?;
                // Of a datagram that waits for a neighbour's address, the kernel may drop one.
                for last in [false, true] {
                    socket.send(b"is anybody there?")?;
                    match socket.recv(&mut [0; 64]) {
                        Ok(_) => break,
                        Err(error) if last => return Err(error),
                        Err(_) => {}
                    }
                }
            }
            Ok(())
        })
        .with_context(|| format!("{} does not carry answers of {to}", stage.backend.name()))
}

/// The receiver, and what it must see.
fn expected(stage: &Stage, direction: Direction, effort: Effort) -> (&Namespace, Expected) {
    let lab = &stage.lab;
    let thorough = effort == Effort::Smoke;
    match direction {
        Direction::In => (
            &lab.c1,
            Expected {
                to: Backend::Route.address(),
                from: None,
                checksummed: !stage.backend.is_proxy(),
                kind: Packets::Udp,
                thorough,
            },
        ),
        Direction::Out => {
            let is_routed = stage.backend == Backend::Route;
            (
                &lab.remote,
                Expected {
                    to: REMOTE_SERVER,
                    from: Some(if is_routed { C1 } else { HOST }),
                    checksummed: true,
                    kind: Packets::Udp,
                    thorough,
                },
            )
        }
    }
}
