//! Every IPv4 row of the design that gets through: content, the client's address, and who carried it.

use anyhow::Result;
use netmap_tests::{
    Options, Scene,
    rows::{self, ROWS},
    topology::has_br_netfilter,
};

/// More than every window and segment on the way.
const BULK: u64 = 3_000_001;

#[test]
fn every_row_holds_with_offloads() -> Result<()> {
    let scene = Scene::new()?;
    rows::check_all(&scene)?;
    ROWS.iter().try_for_each(|row| row.check_bulk(&scene, BULK))
}

#[test]
fn every_row_holds_without_offloads() -> Result<()> {
    let scene = Scene::with(Options {
        offloads: false,
        ..Options::default()
    })?;
    rows::check_all(&scene)?;
    ROWS.iter().try_for_each(|row| row.check_bulk(&scene, BULK))
}

#[test]
fn every_row_holds_with_native_xdp() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            native_xdp: true,
            ..Options::default()
        })?;
        rows::check_all(&scene)?;
        ROWS.iter().try_for_each(|row| row.check_bulk(&scene, BULK))?;
    }
    Ok(())
}

#[test]
fn every_row_holds_where_the_proxy_serves_the_host_itself() -> Result<()> {
    for offloads in [true, false] {
        let scene = Scene::with(Options {
            offloads,
            socket_hooks: false,
            ..Options::default()
        })?;
        rows::check_all(&scene)?;
        ROWS.iter().try_for_each(|row| row.check_bulk(&scene, BULK))?;
    }
    Ok(())
}

#[test]
fn every_row_holds_behind_a_firewall_that_drops_what_is_forwarded() -> Result<()> {
    let scene = Scene::with(Options {
        firewall: true,
        br_netfilter: has_br_netfilter(),
        ..Options::default()
    })?;
    rows::check_all(&scene)
}

#[test]
fn every_row_holds_under_strict_reverse_path_filters() -> Result<()> {
    let scene = Scene::with(Options {
        strict_rp_filter: true,
        ..Options::default()
    })?;
    rows::check_all(&scene)
}

#[test]
fn every_row_holds_a_second_time() -> Result<()> {
    let scene = Scene::new()?;
    rows::check_all(&scene)?;
    rows::check_all(&scene)
}
