//! The allocator's figures on the default pool, every flow to one destination: the worst case there is.

use std::collections::BTreeSet;

use super::*;

/// How many ports are outside 32768 to 60999, and above the well-known ones.
const POOL: u32 = 36_280;

#[test]
fn filling_the_pool_fails_for_nobody_up_to_three_quarters_and_for_few_up_to_all_of_it() {
    let host = Host::new();
    let size: u32 = host.world.settings.pool.iter().map(|range| range.len()).sum();
    assert_eq!(size, POOL);
    let mut taken = BTreeSet::new();
    let (mut failures, mut most) = (0, 0);
    for attempt in 0..POOL {
        let packet = udp(client(attempt), r(53)).payload(b"");
        let (result, after) = host.run(C1_PORT, &packet.bytes());
        most = most.max(host.world.probes.get());
        match result {
            Ok(_) => assert!(taken.insert(Sample::read(&after).src), "taken twice"),
            Err(why) => {
                assert_eq!(why, Reason::PortsExhausted);
                assert!(attempt > POOL / 4 * 3, "failed at attempt {attempt}");
                failures += 1;
            }
        }
    }
    assert!(failures * 1_000 < POOL * 25, "{failures} of {POOL} failed");
    assert_eq!(most, 33, "the packet's own port and 32 others");
    assert!(taken.iter().all(|outside| {
        let port = Port(outside.port());
        outside.ip() == h(0).ip() && host.world.settings.pool.iter().any(|range| range.contains(port))
    }));
    assert_eq!(
        host.world.flows.borrow().len(),
        taken.len() * 2,
        "a failure leaves nothing behind"
    );
}

/// Containers of one network, each with ports that the pool does not have.
fn client(number: u32) -> Socket {
    let (container, port) = (number / 20_000, number % 20_000);
    socket(
        address::container(container),
        u16::try_from(40_000 + port).unwrap(),
    )
}
