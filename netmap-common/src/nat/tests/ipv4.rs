//! The tests with IPv4.

mod family;
mod header;
mod parse;
mod pieces;
mod quote;

#[path = "allocator.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod allocator;
#[path = "check.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod check;
#[path = "cpu.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod cpu;
#[path = "direct.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod direct;
#[path = "echo.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod echo;
#[path = "egress.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod egress;
#[path = "exhaustion.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod exhaustion;
#[path = "flows.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod flows;
#[path = "forward.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod forward;
#[path = "fragments.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod fragments;
#[path = "hairpin.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod hairpin;
#[path = "icmp.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod icmp;
#[path = "isolation.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod isolation;
#[path = "lifetime.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod lifetime;
#[path = "limits.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod limits;
#[path = "mapping.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod mapping;
#[path = "message.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod message;
#[path = "model.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod model;
#[path = "off_the_wire.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod off_the_wire;
#[path = "own_address.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod own_address;
#[path = "own_port.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod own_port;
#[path = "owner.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod owner;
#[path = "parts.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod parts;
#[path = "policy.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod policy;
#[path = "ports.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod ports;
#[path = "properties.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod properties;
#[path = "publish_on.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod publish_on;
#[path = "published.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod published;
#[path = "race.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod race;
#[path = "refused.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod refused;
#[path = "rewrite.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod rewrite;
#[path = "rules.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod rules;
#[path = "sample.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod sample;
#[path = "scene.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod scene;
#[path = "stack.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod stack;
#[path = "uplink_out.rs"]
#[expect(clippy::duplicate_mod, reason = "a module of each family")]
mod uplink_out;

use std::{vec, vec::Vec};

use self::{
    family::{Address, IpAddr, Socket, World, address, socket},
    header::{CONTENT, HEADER, kind},
    pieces::piece,
    sample::{ACK, Content, FIN, RST, SYN, Sample, error, ping, pong, tcp, udp},
    scene::{
        BRIDGE_1, C1_PEER, C1_PORT, C1B_PEER, C1B_PORT, C2_PEER, C2_PORT, Host, Place, TAP_NEIGH, TAP_PORT,
        UPLINK, UPLINK_IN, UPLINK_NEIGH, UPLINK_OUT, at, c1, c1b, c2, gw1, gw2, h, h2, key, published, r,
        tap,
    },
};
use crate::{
    maps::{
        Flow, Generation, Hook, IfIndex, Interface, Ip as _, Kind, Port, PortRange, Protocol, Reason, Rule,
        RuleId, Seconds, Settings, Side, Way,
    },
    nat::{HostSocket, Route, Verdict, process, testing::OffTheWire},
};
