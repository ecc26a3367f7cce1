//! What is answered: steps in words, and the same with stable keys.

use std::net::IpAddr;

use netmap_common::{
    maps::{Hook, Reason},
    nat::{Carried, Verdict},
};
use serde::Serialize;

use super::{Ends, Question, naming::name};

/// Where a packet ends up, and how it gets there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: &'static str,
    /// The packet that was asked for.
    pub packet: Ends,
    /// Where it comes in.
    pub from: Source,
    /// Every step in words, in their order.
    pub steps: Vec<Step>,
    /// Every program of netmap's that sees the packet, in their order.
    pub hooks: Vec<Seen>,
    /// What becomes of it in the end.
    pub outcome: Outcome,
    /// The reason that it is counted for: of the program that decided, or of the socket hooks; none where netmap has no part.
    pub reason: Option<&'static str>,
    /// The reason in a sentence.
    pub meaning: Option<&'static str>,
    /// The packet as it arrives; the same as `packet` where nothing is translated.
    pub translated: Ends,
    /// The answer to it, as its sender sends it.
    pub answer: Ends,
    /// The answer as the asker gets it.
    pub answer_translated: Ends,
    /// The published rule that it belongs to.
    pub rule: Option<RuleRow>,
    /// The flow that it belongs to, or opens.
    pub flow: Option<FlowRow>,
    /// What would change it.
    pub advice: Vec<Advice>,
}

/// Where a packet comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The interface; none for a process of this host.
    pub interface: Option<String>,
    /// `uplink`, `port`, `bridge`, `host` or `unmanaged`.
    pub role: &'static str,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name: `packet`, `from`, `flow`, `rule`, `near`, `policy`, `translation`, `answers`, `way` or `end`.
    pub step: &'static str,
    /// What happens.
    pub text: String,
}

/// What one program makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The hook.
    pub hook: &'static str,
    /// The interface.
    pub interface: String,
    /// Why.
    pub reason: &'static str,
    /// `carried`, `passed` or `dropped`.
    pub class: &'static str,
    /// `peer`, `neigh` or `stack`; none where it is not carried.
    pub way: Option<&'static str>,
    /// Where the way leads; none for the host's stack.
    pub out: Option<String>,
    /// The packet before.
    pub before: Ends,
    /// The packet after.
    pub after: Ends,
}

/// What becomes of a packet in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// netmap's programs send it on.
    Carried,
    /// The socket hooks lead the process straight to the container.
    Connected,
    /// The proxy has it.
    Proxied,
    /// A program of this host has it, or its kernel.
    Host,
    /// The host's stack forwards it, or the bridge.
    Forwarded,
    /// It is refused at this host: nobody listens.
    Refused,
    /// Dropped.
    Dropped,
}

impl Outcome {
    /// In a word or two, for people.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Carried => "carried by netmap",
            Self::Connected => "led straight to the container by the socket hook",
            Self::Proxied => "carried by netmap's proxy",
            Self::Host => "given to this host itself",
            Self::Forwarded => "left to the host, which sends it on by itself",
            Self::Refused => "refused by this host",
            Self::Dropped => "dropped",
        }
    }
}

/// A published rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleRow {
    /// As `netmap publish` has it, with the host's address: `0.0.0.0:8080/tcp`.
    pub published: String,
    /// The container.
    pub container: IpAddr,
    /// What the engine calls it, where the daemon knows.
    pub container_name: Option<String>,
    /// The container's port behind the one that was asked for.
    pub container_port: Option<u16>,
    /// Who may connect; empty for anybody.
    pub allow: Vec<String>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowRow {
    /// It is in the table; else the packet opens it.
    pub exists: bool,
    /// As `netmap flows` has it; none where the packet only would open it.
    pub kind: Option<&'static str>,
    /// `original` or `reply`.
    pub side: &'static str,
}

/// What would change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What to do.
    pub text: String,
    /// How, as one line for a shell, where there is one.
    pub command: Option<String>,
}

impl Advice {
    /// Something to do, with a command.
    pub(super) fn command(text: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: Some(command.into()),
        }
    }

    /// Something that no one command does.
    pub(super) fn words(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: None,
        }
    }
}

impl Answer {
    pub(super) fn new(question: &Question, from: Source) -> Self {
        let packet = Ends::from(question);
        Self {
            protocol: question.protocol.name(),
            packet,
            from,
            steps: Vec::new(),
            hooks: Vec::new(),
            outcome: Outcome::Forwarded,
            reason: None,
            meaning: None,
            translated: packet,
            answer: packet.reversed(),
            answer_translated: packet.reversed(),
            rule: None,
            flow: None,
            advice: Vec::new(),
        }
    }

    /// Another step.
    pub(super) fn step(&mut self, step: &'static str, text: impl Into<String>) {
        self.steps.push(Step {
            step,
            text: text.into(),
        });
    }

    /// How it ends.
    pub(super) fn end(&mut self, outcome: Outcome, reason: Option<Reason>) {
        self.outcome = outcome;
        if let Some(reason) = reason {
            self.reason = Some(reason.name());
            self.meaning = Some(reason.meaning());
        }
    }

    /// What becomes of the packet, which so far was `translated`.
    pub(super) fn becomes(&mut self, after: Ends) {
        self.translated = after;
        self.answer = after.reversed();
    }
}

impl Seen {
    pub(super) fn new(
        hook: Hook,
        interface: String,
        result: Result<Carried, Reason>,
        before: Ends,
        after: Ends,
    ) -> Self {
        let reason = match result {
            Ok(carried) => carried.reason,
            Err(reason) => reason,
        };
        let (way, out) = match result.map(|carried| carried.verdict) {
            Ok(Verdict::Peer(out)) => (Some("peer"), Some(name(out))),
            Ok(Verdict::Neigh(out)) => (Some("neigh"), Some(name(out))),
            Ok(Verdict::Stack) => (Some("stack"), None),
            Err(_) => (None, None),
        };
        Self {
            hook: hook.name(),
            interface,
            reason: reason.name(),
            class: reason.class().name(),
            way,
            out,
            before,
            after,
        }
    }
}
