//! Which source ports masquerading may take, and the kernel's settings that go with published ranges.

use anyhow::Context as _;
use netmap_common::maps::{Port, PortRange, PortSlots, Settings, capacity};

use crate::{
    binding::{Binding, PortSpan, Published, Transport},
    mappings::Mappings,
    maps::{Family, FamilyMaps, Maps},
    proxy::{self, Hold, Mark, PortSet, Reservations},
    publish::Publisher,
    sys,
};

/// Writes what does not change while the daemon runs. The secret is made once: flows find their ports again.
pub(super) fn write_settings(maps: &mut Maps, mark: Mark, mappings: &Mappings) -> anyhow::Result<()> {
    let mut settings = maps.settings()?;
    if settings.secret == [0; 2] {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        settings.secret = bytemuck::cast(secret);
    }
    settings.netns_cookie = sys::netns_cookie().context("the network namespace has no cookie")?;
    settings.socket_mark = mark.0;
    settings.flags = if mappings.has_any_for_all() {
        Settings::MAPPINGS
    } else {
        0
    };
    maps.set_settings(settings)?;
    Ok(())
}

/// Brings the pool and the reserved ports up to date: published, used by the host, or reserved by its administrator.
pub(super) fn refresh(maps: &mut Maps, publisher: &Publisher) -> anyhow::Result<()> {
    let pool = pool(proxy::ephemeral_range().context("the range of ephemeral ports cannot be read")?);
    let settings = maps.settings()?;
    let wanted = Settings { pool, ..settings };
    if wanted != settings {
        maps.set_settings(wanted)?;
    }
    let mut words = vec![0; capacity::RESERVED];
    let reserved = proxy::reserved_ports().context("the reserved ports cannot be read")?;
    for transport in [Transport::Tcp, Transport::Udp] {
        reserved.iter().for_each(|port| mark(&mut words, transport, port));
        let used = match transport {
            // Connections are found by a look-up of their own.
            Transport::Tcp => proxy::listening(transport),
            Transport::Udp => proxy::bound(transport),
        };
        for socket in used.context("the host's sockets cannot be read")? {
            mark(&mut words, transport, socket.port());
        }
    }
    mark_bindings(&mut words, &mut publisher.bindings());
    maps.reserved.replace(&words)?;
    Ok(())
}

/// Adds what is published to the reserved ports; what is published no longer goes with the next [`refresh`].
pub(super) fn mark_published(maps: &mut Maps, bindings: &[Binding]) -> anyhow::Result<()> {
    // An engine publishes port after port: what it costs must not grow with what there is.
    if let [only] = bindings
        && only.published.ports.len() == 1
    {
        let Published { ports, transport, .. } = only.published;
        return Ok(maps.reserved.insert(transport.protocol(), Port(ports.first()))?);
    }
    let mut words = maps.reserved.all()?;
    mark_bindings(&mut words, &mut bindings.iter());
    maps.reserved.replace(&words)?;
    Ok(())
}

fn mark_bindings(words: &mut [u64], bindings: &mut dyn Iterator<Item = &Binding>) {
    for binding in bindings {
        let Published { ports, transport, .. } = binding.published;
        ports.iter().for_each(|port| mark(words, transport, port));
    }
}

/// Whether a binding's ports are kept by the bind hook and the kernel's reserved ports, not by sockets.
pub(super) const fn is_range(binding: &Binding) -> bool {
    binding.published.ports.len() > Hold::MOST_SOCKETS
}

/// The ports of all ranges that are kept without sockets.
pub(super) fn ranges(publisher: &Publisher) -> PortSet {
    let mut ports = PortSet::new();
    for binding in publisher.bindings().filter(|binding| is_range(binding)) {
        binding.published.ports.iter().for_each(|port| ports.insert(port));
    }
    ports
}

/// Gives the kernel's reserved ports back that were reserved for the rules in these maps.
pub(super) fn release(maps: &Maps) -> anyhow::Result<()> {
    let mut ports = PortSet::new();
    insert_ranges(&mut ports, &maps.v4)?;
    insert_ranges(&mut ports, &maps.v6)?;
    Ok(Reservations::new(ports).tidy()?)
}

fn insert_ranges<A: Family>(ports: &mut PortSet, maps: &FamilyMaps<A>) -> anyhow::Result<()> {
    for (_, rule) in maps.rules.live()? {
        let span = PortSpan::new(rule.host_port.0, rule.last_port().0);
        if let Some(span) = span.ok().filter(|span| span.len() > Hold::MOST_SOCKETS) {
            span.iter().for_each(|port| ports.insert(port));
        }
    }
    Ok(())
}

/// The ports beside the host's own ephemeral ones, so that neither ever takes the other's.
fn pool(ephemeral: PortSpan) -> [PortRange; 2] {
    let range = |first, last| PortRange {
        first: Port(first),
        last: Port(last),
    };
    let below = range(1_024, ephemeral.first().saturating_sub(1));
    match ephemeral.last().checked_add(1) {
        Some(first) => [below, range(first.max(1_024), u16::MAX)],
        None => [below, range(1, 0)],
    }
}

fn mark(words: &mut [u64], transport: Transport, port: u16) {
    let Some((word, bit)) = PortSlots::word(transport.protocol(), Port(port)) else {
        return;
    };
    if let Some(word) = usize::try_from(word).ok().and_then(|word| words.get_mut(word)) {
        *word |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_what_the_kernel_does_not_hand_out() {
        let sizes = |first, last| {
            let span = PortSpan::new(first, last).unwrap();
            pool(span).map(|range| (range.first.0, range.len()))
        };
        assert_eq!(sizes(32_768, 60_999), [(1_024, 31_744), (61_000, 4_536)]);
        assert_eq!(sizes(1_024, 65_535), [(1_024, 0), (1, 0)]);
        assert_eq!(sizes(1, 500), [(1_024, 0), (1_024, 64_512)]);
    }
}
