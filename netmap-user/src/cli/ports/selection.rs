//! Which published ports are listed, and in which order.

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{PortRates, PortRow};
use crate::{
    api::{flows::containers, types::EngineNames},
    cli::args::{OwnerName, PortOrder, PortsArgs},
};

/// What was asked for.
#[derive(Debug)]
pub(super) struct Selection<'args> {
    args: &'args PortsArgs,
    containers: Option<BTreeSet<IpAddr>>,
}

impl<'args> Selection<'args> {
    /// What the arguments say, where containers are called so.
    ///
    /// # Errors
    ///
    /// One sentence: no container has one of the names.
    pub(super) fn new(args: &'args PortsArgs, names: &EngineNames) -> Result<Self, String> {
        let containers = containers(&args.containers, names)?;
        Ok(Self { args, containers })
    }

    /// Leaves of rows in the order of ports what is asked for, in the order that is.
    pub(super) fn apply(&self, rows: &mut Vec<PortRow>) {
        rows.retain(|row| self.includes(row));
        let rate = |row: &PortRow, of: fn(&PortRates) -> f64| row.rates.as_ref().map_or(-1.0, of);
        let by_rate = |rows: &mut Vec<PortRow>, of: fn(&PortRates) -> f64| {
            rows.sort_by(|one, other| rate(other, of).total_cmp(&rate(one, of)));
        };
        match self.args.sort {
            PortOrder::Port => {}
            PortOrder::Container => rows.sort_by_key(|row| (row.container, row.container_port)),
            PortOrder::Age => rows.sort_by_key(|row| row.age_seconds),
            PortOrder::Flows => rows.sort_by_key(|row| Reverse(row.flows)),
            PortOrder::LastUse => rows.sort_by_key(|row| row.idle_seconds.unwrap_or(u32::MAX)),
            PortOrder::Packets => by_rate(rows, |rates| rates.packets_per_second),
            PortOrder::Bytes => by_rate(rows, |rates| rates.bytes_per_second),
            PortOrder::NewFlows => by_rate(rows, |rates| rates.new_flows_per_second),
        }
        rows.truncate(self.args.limit.unwrap_or(usize::MAX));
    }

    fn includes(&self, row: &PortRow) -> bool {
        let args = self.args;
        let has = |port: &u16| {
            (row.port..=row.end).contains(port) || (row.container_port..=row.container_end).contains(port)
        };
        let is_in = |net: &IpNet| net.contains(&row.host) || net.contains(&row.container);
        (args.ports.is_empty() || args.ports.iter().any(has))
            && (args.addresses.is_empty() || args.addresses.iter().any(is_in))
            && self
                .containers
                .as_ref()
                .is_none_or(|containers| containers.contains(&row.container))
            && args.owner.is_none_or(|owner| is_of(owner, row.owner))
            && (!args.unused || !row.proxied && row.flows == 0 && row.idle_seconds.is_none())
    }
}

fn is_of(owner: OwnerName, name: &str) -> bool {
    match owner {
        OwnerName::Operator => name == "operator",
        OwnerName::Docker => name.starts_with("docker"),
        OwnerName::Unclaimed => name.ends_with("(unclaimed)"),
    }
}
