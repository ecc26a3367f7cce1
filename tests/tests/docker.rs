//! A real dockerd, its own way and netmap's.

use anyhow::Result;
use netmap_tests::docker::{Stage, Way, matrix, rules};

#[test]
fn the_engines_own_way_has_the_rows_that_it_is_known_for() -> Result<()> {
    let stage = Stage::new(Way::Engine)?;
    let cast = stage.cast(&matrix::PUBLISH)?;
    matrix::check(&stage, &cast)?;
    assert!(!rules::list(&stage.lab.host)?.is_empty());
    assert_eq!(stage.engine.processes("docker-proxy")?.len(), 4);
    Ok(())
}

#[test]
fn every_row_holds_for_a_real_engines_containers() -> Result<()> {
    let stage = Stage::new(Way::Netmap)?;
    let cast = stage.cast(&matrix::PUBLISH)?;
    matrix::check(&stage, &cast)?;
    rules::ensure_none(&stage.lab.host)
}
