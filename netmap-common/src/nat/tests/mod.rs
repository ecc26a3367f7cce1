//! The NAT, one packet at a time: what goes into a hook, what is decided, what comes out.
//!
//! `scene` is the host that they run on, `sample` the packets, `check` the only way from one to the other. Packets are
//! built and read by etherparse, which knows nothing of this crate: a byte that differs, a checksum too, is a failure.

mod allocator;
mod check;
mod cpu;
mod direct;
mod echo;
mod egress;
mod exhaustion;
mod flows;
mod forward;
mod fragments;
mod hairpin;
mod icmp;
mod lifetime;
mod limits;
mod message;
mod off_the_wire;
mod own_port;
mod parse;
mod policy;
mod ports;
mod properties;
mod published;
mod race;
mod refused;
mod rewrite;
mod rules;
mod sample;
mod scene;
mod stack;
mod uplink_out;

use std::{vec, vec::Vec};

use self::{
    sample::{ACK, FIN, RST, SYN, Sample, error, ping, pong, tcp, udp},
    scene::{
        BRIDGE_1, C1_PEER, C1_PORT, C1B_PEER, C1B_PORT, C2_PEER, C2_PORT, Host, Place, TAP_NEIGH, TAP_PORT,
        UPLINK, UPLINK_IN, UPLINK_NEIGH, UPLINK_OUT, at, c1, c1b, c2, gw1, gw2, h, h2, key, published, r,
        tap,
    },
};
use super::{HostSocket, Route, Verdict, process, testing::OffTheWire};
use crate::maps::{
    Address, Flow, Generation, Hook, IfIndex, Interface, Kind, Port, PortRange, Protocol, Reason, Rule,
    RuleId, Seconds, Settings, Side, Way,
};
