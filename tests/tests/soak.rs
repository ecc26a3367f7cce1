//! All kinds of load at once: nobody is failed, every packet is accounted for, nothing is left. `cargo xtask bench --only soak`
//! does the same for five minutes.

use std::time::Duration;

use anyhow::{Result, ensure};
use netmap_tests::soak;

#[test]
fn after_all_kinds_of_load_at_once_every_packet_is_accounted_for_and_nothing_is_left() -> Result<()> {
    let report = soak::run(Duration::from_secs(10))?;
    println!("{report:?}");
    ensure!(
        report.connections > 0 && report.bytes > 0 && report.published > 0,
        "{report:?}"
    );
    ensure!(report.received >= report.datagrams, "{report:?}");
    Ok(())
}
