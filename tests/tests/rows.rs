//! Every row of the design that gets through, in both families: content, the client's address, and who carried it.

use anyhow::Result;
use netmap_tests::{Options, Scene, many, rows, topology::has_br_netfilter};

/// More than every window and segment on the way.
const BULK: u64 = 3_000_001;

/// A scene of both families.
fn scene(options: Options) -> Result<Scene> {
    Scene::with(Options {
        ipv6: true,
        ..options
    })
}

/// Every row carries bytes enough to fill what is on its way.
fn check_bulk(scene: &Scene) -> Result<()> {
    rows::all(scene).try_for_each(|row| row.check_bulk(scene, many(BULK)))
}

#[test]
fn every_row_holds_with_offloads() -> Result<()> {
    let scene = scene(Options::default())?;
    rows::check_all(&scene)?;
    check_bulk(&scene)
}

#[test]
fn every_row_holds_without_offloads() -> Result<()> {
    let scene = scene(Options {
        offloads: false,
        ..Options::default()
    })?;
    rows::check_all(&scene)?;
    check_bulk(&scene)
}

#[test]
fn every_row_holds_with_native_xdp() -> Result<()> {
    by_native_xdp(true)
}

#[test]
fn every_row_holds_with_native_xdp_without_offloads() -> Result<()> {
    by_native_xdp(false)
}

fn by_native_xdp(offloads: bool) -> Result<()> {
    let scene = scene(Options {
        offloads,
        native_xdp: true,
        ..Options::default()
    })?;
    rows::check_all(&scene)?;
    check_bulk(&scene)
}

#[test]
fn every_row_holds_where_the_proxy_serves_the_host_itself() -> Result<()> {
    for offloads in [true, false] {
        let scene = scene(Options {
            offloads,
            socket_hooks: false,
            ..Options::default()
        })?;
        rows::check_all(&scene)?;
        check_bulk(&scene)?;
    }
    Ok(())
}

#[test]
fn every_row_holds_behind_a_firewall_that_drops_what_is_forwarded() -> Result<()> {
    let scene = scene(Options {
        firewall: true,
        br_netfilter: has_br_netfilter(),
        ..Options::default()
    })?;
    rows::check_all(&scene)
}

#[test]
fn every_row_holds_under_strict_reverse_path_filters() -> Result<()> {
    let scene = scene(Options {
        strict_rp_filter: true,
        ..Options::default()
    })?;
    rows::check_all(&scene)
}

#[test]
fn every_row_holds_a_second_time() -> Result<()> {
    let scene = scene(Options::default())?;
    rows::check_all(&scene)?;
    rows::check_all(&scene)
}
