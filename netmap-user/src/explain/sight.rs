//! What the NAT looked at while it decided.

use netmap_common::{
    maps::{Endpoint, Flow, FlowKey, Rule, RuleId},
    nat::Route,
};

use super::family::Family;

/// What the NAT looked at.
#[derive(Clone, Debug)]
pub(super) struct Sight<A: Family> {
    /// The packet's flow entry.
    pub(super) flow: Option<(FlowKey<A>, Flow<A>)>,
    /// The published rule.
    pub(super) rule: Option<(RuleId, Rule<A>)>,
    /// Whether the allow-list has the source, if it was asked.
    pub(super) allowed: Option<bool>,
    /// The container of the rule, and its place if it is known.
    pub(super) endpoint: Option<(A, Option<Endpoint<A>>)>,
    /// How many source ports were tried.
    pub(super) tries: u32,
    /// How many of them another flow has.
    pub(super) taken: u32,
    /// How many of them the host uses.
    pub(super) used: u32,
    /// Where the packet was found to be routed.
    pub(super) route: Option<Route>,
    /// The flow that was opened: the packet before and after.
    pub(super) opened: Option<(FlowKey<A>, FlowKey<A>)>,
}

impl<A: Family> Default for Sight<A> {
    fn default() -> Self {
        Self {
            flow: None,
            rule: None,
            allowed: None,
            endpoint: None,
            tries: 0,
            taken: 0,
            used: 0,
            route: None,
            opened: None,
        }
    }
}
