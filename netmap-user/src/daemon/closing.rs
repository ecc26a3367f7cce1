//! Flows that the operator has closed: each request goes over the tables once, a slice at a time among the daemon's other
//! work, one request after the other.

use std::collections::VecDeque;

use netmap_common::maps::IfIndex;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Daemon, counted};
use crate::{
    api::{
        flows::{Choice, CloseRequest, Closed},
        types::Refusal,
    },
    expiry::{Chosen, Closing},
    maps,
};

/// Who waits to hear how many went.
type Answer = oneshot::Sender<Result<Closed, Refusal>>;

/// Requests that are not done yet.
#[derive(Debug, Default)]
pub(super) struct Closings(VecDeque<(Closing, Choice, Answer)>);

impl Closings {
    /// Whether there is something to do.
    pub(super) fn are_some(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Daemon {
    /// Begins to close flows, or says why not.
    pub(super) fn close(&mut self, request: &CloseRequest, answer: Answer) {
        let index = |name: &str| -> Option<IfIndex> {
            let mut interfaces = self.host.view().interfaces.iter();
            interfaces
                .find(|(_, interface)| interface.name == name)
                .map(|(index, _)| *index)
        };
        match Choice::new(&request.filter, &self.names(), index) {
            Ok(choice) => self.closings.0.push_back((Closing::default(), choice, answer)),
            // Who has hung up does not wait for an answer.
            Err(error) => drop(answer.send(Err(Refusal { error }))),
        }
    }

    /// Ends what the first request has chosen in a slice of the tables.
    pub(super) fn close_slice(&mut self) {
        let Some((mut closing, choice, answer)) = self.closings.0.pop_front() else {
            return;
        };
        if answer.is_closed() {
            // Who has hung up wants no more closed.
            return;
        }
        closing.note(self.watchers.is_watched());
        let now = maps::now();
        let chosen = Chosen {
            v4: &|key, original, reply| match reply {
                Some(reply) => choice.includes(key, original, reply, now),
                None => choice.may_include(key, original, now),
            },
            v6: &|key, original, reply| match reply {
                Some(reply) => choice.includes(key, original, reply, now),
                None => choice.may_include(key, original, now),
            },
        };
        let swept = closing.slice(&mut self.maps, &chosen);
        self.sweeper.count_purged(closing.take_count());
        let ended = closing.ended();
        self.take_ended(ended);
        let answered = match swept {
            Ok(None) => return self.closings.0.push_front((closing, choice, answer)),
            Ok(Some(closed)) => {
                info!("closed {}, as asked", counted(closed, "flow"));
                let closed = closed as u64;
                Ok(Closed { closed })
            }
            Err(error) => {
                warn!("flows cannot be closed as asked: {error}");
                Err(Refusal {
                    error: format!("only some of the flows are closed: {error}"),
                })
            }
        };
        drop(answer.send(answered));
    }
}
