//! Which flows are wanted.

use std::net::IpAddr;

use netmap_common::maps::{Flow, FlowKey, Ip};

use super::sample::RuleKey;

/// What the reader is to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How many flows.
    pub flows: usize,
    /// Which of them.
    pub order: FlowOrder,
    /// Among which.
    pub focus: Focus,
    /// Nothing is read.
    pub paused: bool,
}

/// Which flows stand first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowOrder {
    /// Those with most bytes a second.
    #[default]
    Bytes,
    /// Those with most packets a second.
    Packets,
    /// Those with most bytes ever.
    Total,
    /// The youngest.
    Newest,
}

/// Among which flows. Nothing is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// Those that a rule opened.
    pub rule: Option<RuleKey>,
    /// Those of a container.
    pub container: Option<IpAddr>,
    /// Those with this address at either end, before or after translation.
    pub address: Option<IpAddr>,
    /// Those with this port there.
    pub port: Option<u16>,
}

impl Focus {
    pub(super) fn includes<A: Ip>(
        &self,
        key: &FlowKey<A>,
        flow: &Flow<A>,
        rule: Option<RuleKey>,
        containers: [Option<IpAddr>; 2],
    ) -> bool {
        if self.rule.is_some() && self.rule != rule {
            return false;
        }
        if self.container.is_some() && !containers.contains(&self.container) {
            return false;
        }
        let addresses = || [key.src, key.dst, flow.to.src, flow.to.dst];
        if let Some(address) = self.address
            && !addresses().into_iter().any(|end| end.into() == address)
        {
            return false;
        }
        let ports = [key.src_port, key.dst_port, flow.to.src_port, flow.to.dst_port];
        self.port
            .is_none_or(|port| ports.into_iter().any(|end| end.0 == port))
    }
}
