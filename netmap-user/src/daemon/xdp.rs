//! Which uplinks run native XDP, and why not the others.

use std::collections::BTreeMap;

use netmap_common::maps::IfIndex;
use tracing::{info, warn};

use crate::{
    api::types::UplinkXdp,
    dataplane::{Attachment, Dataplane, DataplaneError, Place},
    host::{View, Wire},
    options::XdpMode,
};

/// Every uplink's XDP.
#[derive(Debug, Default)]
pub(super) struct Accelerator {
    mode: XdpMode,
    uplinks: BTreeMap<IfIndex, State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Attached.
    On,
    /// Not wanted, for this reason.
    Off(String),
    /// Refused, for this reason.
    Refused(String),
}

impl Accelerator {
    pub(super) fn new(mode: XdpMode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Attaches where it is wanted, and detaches where it is not. What a driver has refused is tried again only where
    /// the user insists.
    pub(super) fn follow(&mut self, view: &View, dataplane: &mut Dataplane) {
        self.uplinks.retain(|index, _| view.wires.contains_key(index));
        for (index, wire) in &view.wires {
            let last = self.uplinks.get(index);
            let state = match (self.refusal_of(wire), last) {
                (Some(reason), Some(State::Off(last))) if reason == *last => continue,
                (Some(reason), _) => detach(dataplane, *index, reason),
                (None, Some(State::On)) => continue,
                (None, Some(State::Refused(_))) if self.mode == XdpMode::Auto => continue,
                (None, _) => match attach(dataplane, *index) {
                    Some(state) => state,
                    None => continue,
                },
            };
            if last == Some(&state) {
                continue;
            }
            let name = view.interfaces.get(index).map_or("?", |link| &link.name);
            match &state {
                State::On => info!("{name} runs native XDP"),
                State::Off(reason) => info!("{name} is carried by TC alone: {reason}"),
                State::Refused(reason) => warn!("{name} is carried by TC alone: {reason}"),
            }
            self.uplinks.insert(*index, state);
        }
    }

    /// Why the user's wish for native XDP is not fulfilled.
    pub(super) fn unfulfilled(&self) -> Option<&str> {
        if self.mode != XdpMode::Native {
            return None;
        }
        self.uplinks.values().find_map(|state| match state {
            State::Refused(reason) => Some(reason.as_str()),
            _ => None,
        })
    }

    /// Every uplink with the mode that the kernel tells of it.
    pub(super) fn status(&self, view: &View, attachments: &[Attachment]) -> Vec<UplinkXdp> {
        let uplinks = view.wires.keys().filter_map(|index| {
            let name = view.interfaces.get(index)?.name.clone();
            let mode = attachments.iter().find_map(|attachment| match attachment.place {
                Place::Wire { index: at, .. } if at == *index => Some(attachment.mode.name()),
                _ => None,
            });
            let mode = mode.unwrap_or("off");
            let reason = match self.uplinks.get(index) {
                Some(State::Off(reason) | State::Refused(reason)) => Some(reason.clone()),
                Some(State::On) if mode == "off" => Some("somebody else has detached it".to_owned()),
                _ => None,
            };
            Some(UplinkXdp {
                interface: name,
                mode: mode.to_owned(),
                reason,
            })
        });
        uplinks.collect()
    }

    fn refusal_of(&self, wire: &Wire) -> Option<String> {
        match (self.mode, wire) {
            (XdpMode::Off, _) => Some("--xdp off".to_owned()),
            (XdpMode::Auto, Wire::NoCard(_) | Wire::Tagged(_)) => Some(wire.to_string()),
            (XdpMode::Auto, Wire::Card) | (XdpMode::Native, _) => None,
        }
    }
}

fn detach(dataplane: &mut Dataplane, index: IfIndex, reason: String) -> State {
    match dataplane.detach_xdp(index) {
        Ok(()) => State::Off(reason),
        Err(error) => State::Refused(format!("{reason}, and yet: {error}")),
    }
}

/// None when the interface is gone again.
fn attach(dataplane: &mut Dataplane, index: IfIndex) -> Option<State> {
    match dataplane.attach_xdp(index) {
        Ok(_) => Some(State::On),
        Err(DataplaneError::Missing { .. }) => None,
        Err(error) => Some(State::Refused(error.to_string())),
    }
}
