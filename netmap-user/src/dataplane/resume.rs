//! Puts back frames that the daemon has held, by a test run of a program: what it sends on is sent indeed.

use aya::{
    TestRun as _,
    programs::{SchedClassifier, TestRunOptions},
};
use netmap_common::maps::{IfIndex, program};

use super::{DataplaneError, feature};

/// The beginning of `struct __sk_buff`, up to the mark: length and type are not the caller's to choose.
const UNSET: usize = 8;

/// Sends `frame` into the ingress of `arrival`.
pub(super) fn resume(
    program: &SchedClassifier,
    arrival: IfIndex,
    frame: &[u8],
) -> Result<(), DataplaneError> {
    let mut context = [0; UNSET + 4];
    context[UNSET..].copy_from_slice(&arrival.0.to_ne_bytes());
    let run = program.test_run(TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        ..TestRunOptions::default()
    });
    let run = run.map_err(|error| feature::explain(program::RESUME, error))?;
    if run.return_value == 0 {
        return Ok(());
    }
    Err(DataplaneError::Missing { interface: arrival })
}
