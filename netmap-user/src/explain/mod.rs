//! Why a packet would go the way it would: the NAT's own code, over the pinned tables, for one packet that nobody sends.
//!
//! `explain` makes the packet (`frame`), finds where it comes in (`arrival`), and has
//! [`netmap_common::nat::process`] decide in a `world` that reads the tables and writes nothing. What the host's own stack
//! does before and after, `host` tells, and what its processes get, `process`; `published` finds what comes close, `advice` what would change it.

mod advice;
mod answer;
mod arrival;
mod family;
mod frame;
mod host;
mod listeners;
mod naming;
mod process;
mod published;
mod question;
mod routes;
mod sight;
mod wire;
mod world;

use std::{collections::HashMap, net::IpAddr, path::Path};

use netmap_common::maps::{Address, Address6, Hook, IfIndex, Protocol};

pub use self::{
    answer::{Advice, Answer, FlowRow, Outcome, RuleRow, Seen, Source, Step},
    arrival::ArrivalError,
    frame::Ends,
    question::{Question, QuestionError},
};
use self::{arrival::Arrival, family::Family, naming::ip, routes::Routes, world::World};
use crate::{
    dataplane::{self, Place},
    maps::Maps,
};

/// What containers are called.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<IpAddr, String>);

impl Names {
    /// These.
    pub fn new(names: impl IntoIterator<Item = (IpAddr, String)>) -> Self {
        Self(names.into_iter().collect())
    }

    fn of(&self, address: IpAddr) -> Option<&str> {
        self.0.get(&address).map(String::as_str)
    }

    /// As in `web (172.17.0.2)`.
    fn told(&self, address: IpAddr) -> String {
        match self.of(address) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }
}

/// What is known beside the tables.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The daemon runs, and its proxy with it.
    pub daemon: bool,
    /// What containers are called.
    pub names: Names,
}

/// Everything that one answer is made of.
struct Case<'case, A: Family> {
    maps: &'case Maps,
    world: World<'case, A>,
    surroundings: &'case Surroundings,
    attached: Attached,
    question: Question,
    answer: Answer,
}

/// Which programs are attached.
#[derive(Clone, Debug, Default)]
struct Attached {
    /// The socket hooks that lead processes of the host to containers.
    connect: bool,
    /// Packet programs: the interface, and whether it is the egress.
    interfaces: Vec<(IfIndex, bool)>,
    /// Uplinks that run XDP.
    xdp: Vec<IfIndex>,
}

/// What becomes of a packet, by the tables pinned below `pin_dir`. `from` is the interface that it comes in by, or `host`; by
/// its source where none is given. Nothing is written.
///
/// # Errors
///
/// Tables that are not there or cannot be read, an interface that is not there, or what the kernel answers to questions about
/// routes.
pub fn explain(
    pin_dir: &Path,
    maps: &Maps,
    question: Question,
    from: Option<&str>,
    surroundings: &Surroundings,
) -> anyhow::Result<Answer> {
    let attached = Attached::read(pin_dir)?;
    if question.to.is_ipv4() {
        explain_one::<Address>(maps, question, from, surroundings, attached)
    } else {
        explain_one::<Address6>(maps, question, from, surroundings, attached)
    }
}

fn explain_one<A: Family>(
    maps: &Maps,
    question: Question,
    from: Option<&str>,
    surroundings: &Surroundings,
    attached: Attached,
) -> anyhow::Result<Answer> {
    let routes = Routes::open()?;
    let world = World::<A>::new(maps, &routes)?;
    let (arrival, why) = arrival::find(&world, &question, from)?;
    let mut case = Case {
        maps,
        world,
        surroundings,
        attached,
        question,
        answer: Answer::new(&question, arrival.row()),
    };
    case.begin(arrival, &why);
    match arrival {
        Arrival::Host => case.ask_as_process()?,
        Arrival::At(hook, interface) => case.arrive_at(hook, interface)?,
        Arrival::Unmanaged(interface) => case.arrive_unseen(interface)?,
    }
    case.advise()?;
    case.world.check()?;
    Ok(case.answer)
}

impl<A: Family> Case<'_, A> {
    /// The packet, and where it comes in.
    fn begin(&mut self, arrival: Arrival, why: &str) {
        let Question {
            protocol,
            established,
            ..
        } = self.question;
        let what = match (protocol, established) {
            (Protocol::Tcp, false) => "TCP, the packet that opens a connection (SYN)",
            (Protocol::Tcp, true) => "TCP, in the middle of a connection (ACK)",
            (Protocol::Udp, _) => "UDP, a datagram",
            (Protocol::Icmp, false) => "ICMP, an echo request",
            (Protocol::Icmp, true) => "ICMP, an echo reply",
        };
        let ends = Ends::from(&self.question).told(protocol);
        self.answer.step("packet", format!("{what}: {ends}."));
        let name = self.answer.from.interface.clone().unwrap_or_default();
        let from = match arrival {
            Arrival::Host => format!("A process of this host sends it: {why}."),
            Arrival::At(Hook::UplinkIn, _) => format!("It comes in at {name}, an uplink: {why}."),
            Arrival::At(Hook::PortIn, _) => {
                format!("A container sends it, behind {name}, a port of a managed bridge: {why}.")
            }
            Arrival::At(..) => format!("It comes in at {name}, a managed bridge: {why}."),
            Arrival::Unmanaged(_) => format!("It comes in at {name}, where netmap has no program: {why}."),
        };
        self.answer.step("from", from);
        let Arrival::At(hook, index) = arrival else { return };
        if !self.attached.at(index, false) {
            self.answer.step(
                "from",
                format!("No program of netmap's is attached to {name}: what follows holds once one is (`netmap status`, `netmap doctor`)."),
            );
        } else if hook == Hook::UplinkIn && self.attached.xdp.contains(&index) {
            self.answer.step(
                "from",
                format!("{name} runs XDP: its program decides just so, and leaves to TC what it cannot send; it counts as uplink-xdp what it carries."),
            );
        }
    }

    /// A container as people know it.
    fn container(&self, address: A) -> String {
        self.surroundings.names.told(ip(address))
    }
}

impl Attached {
    fn read(pin_dir: &Path) -> anyhow::Result<Self> {
        let mut attached = Self::default();
        for attachment in dataplane::attachments(pin_dir)? {
            match attachment.place {
                Place::Interface { index, direction, .. } => {
                    attached
                        .interfaces
                        .push((index, direction == dataplane::Direction::Egress));
                }
                Place::Wire { index, .. } => attached.xdp.push(index),
                Place::Cgroup { hook } => attached.connect |= hook == "connect4",
                Place::Netns => {}
            }
        }
        Ok(attached)
    }

    fn at(&self, index: IfIndex, egress: bool) -> bool {
        self.interfaces.contains(&(index, egress))
    }
}
