//! The programs that everybody has at hand find the network as it should be: from containers, from the host and from
//! outside, by both families, with offloads on and off, and whatever the links hold.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Lab, Moved, Namespace, Options, Place, Scene, dns, far,
    iperf::{self, Flow},
    rows::{self, ROWS, ROWS6, Row, Who},
    scene::PUBLISHED,
    tool, udp, wait_for,
};

const DNS: u16 = 53;
const IPERF: u16 = 5_201;

/// A scene with a machine behind the remote host, DNS at port 53 of that, of the remote host and of c1, and this published.
struct Tools {
    /// Go before the lab does.
    _servers: Vec<dns::Server>,
    _iperfs: Vec<iperf::Server>,
    scene: Scene,
    far: Arc<Namespace>,
}

impl Tools {
    /// Every link holds `mtu` bytes, the uplink `uplink`.
    fn start(options: Options, mtu: u32, uplink: u32) -> Result<Self> {
        let lab = Lab::with(Options {
            ipv6: true,
            ..options
        })?;
        let far = far::add(&lab)?;
        let link = |mtu: u32, names: &[&str]| -> String {
            let lines = names.iter().map(|name| format!("link set {name} mtu {mtu}"));
            lines.collect::<Vec<_>>().join("\n") + "\n"
        };
        lab.host
            .batch(&link(mtu, &["vc1", "vc1b", "vc2", "br1", "br2"]))?;
        lab.host.batch(&link(uplink, &["up0"]))?;
        lab.remote
            .batch(&(link(uplink, &["eth0"]) + &link(mtu, &["far0"])))?;
        for namespace in [&lab.c1, &lab.c1b, &lab.c2, &far] {
            namespace.batch(&link(mtu, &["eth0"]))?;
        }
        let scene = Scene::in_lab(lab)?;
        let (mut servers, mut iperfs) = (Vec::new(), Vec::new());
        for family in Family::ALL {
            for (namespace, place) in [(&scene.lab.c1, Place::C1), (&scene.lab.remote, Place::Remote)] {
                servers.push(dns::Server::start(namespace, family.at(place, DNS))?);
            }
            servers.push(dns::Server::start(&far, far::at(family, DNS))?);
            iperfs.push(iperf::Server::start(&far, far::at(family, IPERF))?);
            iperfs.push(iperf::Server::start(&scene.lab.c1, family.at(Place::C1, IPERF))?);
        }
        for port in [DNS, IPERF] {
            for transport in ["tcp", "udp"] {
                scene.publish_c1(&format!("{port}:{port}/{transport}"))?;
            }
        }
        Ok(Self {
            _servers: servers,
            _iperfs: iperfs,
            scene,
            far,
        })
    }

    /// What `work` moves, no packet of it dropped.
    fn watch(&self, what: &str, work: impl FnOnce() -> Result<()>) -> Result<Moved> {
        let ((), moved) = self.scene.netmap.watch(work).with_context(|| what.to_owned())?;
        ensure!(moved.dropped().is_empty(), "{what}: {moved}");
        Ok(moved)
    }

    /// Everything that does not depend on what fits the links.
    fn small(&self) -> Result<()> {
        self.hops()?;
        self.names()?;
        self.pages()?;
        self.both_ways()
    }

    /// Everything that does.
    fn large(&self) -> Result<()> {
        self.large_answers()?;
        self.pings()?;
        self.datagrams()?;
        self.streams()
    }

    fn pings(&self) -> Result<()> {
        for family in Family::ALL {
            let outside = [far::address(family), family.address(Place::Remote)];
            let own = [Place::Gateway1, Place::Host].map(|place| family.address(place));
            let asked = [(Who::C1, &outside[..]), (Who::C1, &own), (Who::Remote, &own[1..])];
            for (who, addresses) in asked {
                for &to in addresses {
                    for size in ["56", "8000", "30000"] {
                        let more = format!("-s {size} -p 5a17");
                        self.watch(&format!("{who:?} pings {to}, {more}"), || {
                            let received = tool::pings(tool::of(&self.scene, who, ""), to, 2, &more)?;
                            ensure!(received == 2, "{received} of 2 came back");
                            Ok(())
                        })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// 30 kB both ways, on every row.
    fn datagrams(&self) -> Result<()> {
        for row in rows::all(&self.scene) {
            let payload = format!("row {} ", row.number).repeat(5_000);
            let moved = self.watch(&format!("{row:?}"), || {
                let answer = udp::request(row.from.client(&self.scene), row.to, &payload)?;
                ensure!(answer.client.ip() == row.sees, "{answer:?}");
                Ok(())
            })?;
            moved.ensure_includes(row.carried)?;
        }
        Ok(())
    }

    fn hops(&self) -> Result<()> {
        for family in Family::ALL {
            let (to, host) = (far::address(family), family.address(Place::Host));
            let way = [family.address(Place::Gateway1), family.address(Place::Remote), to];
            let way = way.map(|hop| hop.to_string());
            for how in ["-U", "", "-I", "-T -p 53"] {
                self.watch(&format!("traceroute {how} {to}"), || {
                    let hops = tool::traceroute(&mut tool::of(&self.scene, Who::C1, ""), to, how)?;
                    ensure!(hops == way, "{hops:?}");
                    Ok(())
                })?;
            }
            for how in ["", "--udp", "--tcp -P 53"] {
                self.watch(&format!("mtr {how} {to}"), || {
                    let hops = tool::mtr(&mut tool::of(&self.scene, Who::C1, ""), to, how)?;
                    ensure!(hops == way, "{hops:?}");
                    Ok(())
                })?;
            }
            // From outside, containers are not to be seen: the host is the last.
            let way = [router(family).to_owned(), host.to_string()];
            for how in ["-U -p 8080", "-T -p 8080", "-I"] {
                self.watch(&format!("traceroute {how} {host} from afar"), || {
                    let hops = tool::traceroute(&mut tool::within(&self.far, ""), host, how)?;
                    ensure!(hops == way, "{hops:?}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<()> {
        for row in ROWS.iter().chain(ROWS6) {
            let server = SocketAddr::new(row.to.ip(), DNS);
            // A socket that is bound already, if to any address only, as dig's are, keeps what the kernel chooses towards the
            // container.
            let sees = if row.from == Who::Host {
                row.family.address(Place::Gateway1)
            } else {
                row.sees
            };
            for how in ["", "+tcp"] {
                self.row(row, &format!("dig {how}"), |dig| {
                    let who = tool::dig(dig, server, dns::WHO, how)?;
                    ensure!(who == sees.to_string(), "the server saw {who}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn large_answers(&self) -> Result<()> {
        for row in ROWS.iter().chain(ROWS6) {
            let server = SocketAddr::new(row.to.ip(), DNS);
            // More than a packet holds; and more than the client takes: it asks again by TCP.
            for how in ["+bufsize=4096", "+bufsize=512"] {
                self.row(row, &format!("dig {how}"), |dig| {
                    ensure!(tool::dig(dig, server, dns::LARGE, how)? == dns::large());
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn pages(&self) -> Result<()> {
        for row in rows::all(&self.scene) {
            let path = format!("/row-{}", row.number);
            self.row(row, "curl", |curl| {
                let client = tool::curl(curl, row.to, &path)?;
                ensure!(client == row.sees, "the server saw {client}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A program's way along a row, which only those carry that should.
    fn row(
        &self,
        row: &Row,
        what: &str,
        work: impl FnOnce(&mut std::process::Command) -> Result<()>,
    ) -> Result<()> {
        let what = format!("{what}: {row:?}");
        let moved = self.watch(&what, || work(&mut tool::of(&self.scene, row.from, "")))?;
        moved.ensure_carried_by(row.carried).context(what)
    }

    /// Both ways at once.
    fn both_ways(&self) -> Result<()> {
        for family in Family::ALL {
            for (who, to) in [
                (Who::C1, far::at(family, IPERF)),
                (Who::Remote, family.at(Place::Host, IPERF)),
            ] {
                self.watch(&format!("iperf3 --bidir from {who:?} to {to}"), || {
                    let flows = iperf::run(&mut tool::of(&self.scene, who, ""), to, "--bidir -t 1")?;
                    ensure!(carries(&flows, 2, 8 << 20, 1), "{flows:?}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn streams(&self) -> Result<()> {
        for family in Family::ALL {
            let host = family.at(Place::Host, IPERF);
            let pairs = [
                (Who::C1, far::at(family, IPERF)),
                (Who::Remote, host),
                (Who::C2, host),
                (Who::Host, family.at(Place::Localhost, IPERF)),
            ];
            for (who, to) in pairs {
                let run = |how: &str| {
                    let mut flows = Vec::new();
                    self.watch(&format!("iperf3 {how} from {who:?} to {to}"), || {
                        flows = iperf::run(&mut tool::of(&self.scene, who, ""), to, how)?;
                        Ok(())
                    })?;
                    anyhow::Ok(flows)
                };
                for how in ["-n 8M", "-R -n 8M"] {
                    let flows = run(how)?;
                    ensure!(carries(&flows, 1, 8 << 20, 1), "{how} {to}: {flows:?}");
                }
                for how in ["-u -b 100M -n 1M -l 1200", "-u -b 100M -n 1M -l 1200 -R"] {
                    let flows = run(how)?;
                    ensure!(carries(&flows, 1, 1_000_000, 5), "{how} {to}: {flows:?}");
                }
            }
        }
        Ok(())
    }
}

/// Whether there are so many directions, each of which had `bytes` to carry at least, and so many tenths arrived while iperf3
/// counted: it ends before all of TCP's are there, and UDP may lose some where nobody reads fast enough.
fn carries(flows: &[Flow], directions: usize, bytes: u64, tenths: u64) -> bool {
    let fits = |flow: &Flow| flow.sent >= bytes && flow.received >= flow.sent / 10 * tenths;
    flows.len() == directions && flows.iter().all(fits)
}

/// The remote host as a machine behind it sees it.
const fn router(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.77.0.1",
        Family::V6 => "fd00:77::1",
    }
}

/// The path's MTU that `namespace` has learned towards `to`.
fn learned(namespace: &Namespace, to: std::net::IpAddr) -> Result<Option<u32>> {
    let route = namespace.line(&format!("ip route get {to}"))?;
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    Ok(words.nth(1).and_then(|mtu| mtu.parse().ok()))
}

#[test]
fn everything_works_with_offloads() -> Result<()> {
    let tools = Tools::start(Options::default(), 1_500, 1_500)?;
    tools.small()?;
    tools.large()
}

#[test]
fn everything_works_without_offloads() -> Result<()> {
    let options = Options {
        offloads: false,
        ..Options::default()
    };
    let tools = Tools::start(options, 1_500, 1_500)?;
    tools.small()?;
    tools.large()
}

#[test]
fn everything_works_where_links_hold_as_little_as_ipv6_needs() -> Result<()> {
    let tools = Tools::start(Options::default(), 1_280, 1_280)?;
    tools.large()
}

#[test]
fn everything_works_with_jumbo_frames() -> Result<()> {
    for offloads in [true, false] {
        let options = Options {
            offloads,
            ..Options::default()
        };
        let tools = Tools::start(options, 9_000, 9_000)?;
        tools.large()?;
    }
    Ok(())
}

#[test]
fn containers_find_out_how_much_the_way_holds() -> Result<()> {
    for (mtu, uplink) in [(1_500, 1_280), (9_000, 1_500)] {
        let tools = Tools::start(Options::default(), mtu, uplink)?;
        let (c1, far) = (&tools.scene.lab.c1, &tools.far);
        for family in Family::ALL {
            let remote = family.address(Place::Remote);
            let host = family.address(Place::Host);
            for (from, to) in [(c1, remote), (c1, far::address(family)), (far, host)] {
                let too_big = format!("-M do -s {uplink}");
                // Too big: the host says so to c1, which learns it, and the router to the machine behind it.
                tools.watch("ping -M do", || {
                    let received = tool::pings(tool::within(from, ""), to, 1, &too_big)?;
                    ensure!(received == 0, "{received} came back");
                    wait_for("they know the path's MTU", || {
                        Ok((learned(from, to)? == Some(uplink)).then_some(()))
                    })
                })?;
            }
        }
        tools.pages()?;
        tools.large()?;
    }
    Ok(())
}

#[test]
fn a_scan_finds_published_ports_open_and_the_others_as_the_host_has_them() -> Result<()> {
    for firewall in [false, true] {
        let tools = Tools::start(
            Options {
                firewall,
                ..Options::default()
            },
            1_500,
            1_500,
        )?;
        let other = if firewall { "filtered" } else { "closed" };
        let other_udp = if firewall { "open|filtered" } else { "closed" };
        for family in Family::ALL {
            let host = family.address(Place::Host);
            for who in [Who::Remote, Who::C1b, Who::C2] {
                for (how, other) in [("-sT", other), ("-sS", other), ("-sU", other_udp)] {
                    let expected = [(22, other), (PUBLISHED, "open"), (9_999, other)];
                    let ports = expected.map(|(port, _)| port);
                    let moved = tools.watch(&format!("nmap {how} {host} from {who:?}"), || {
                        let found = tool::nmap(&mut tool::of(&tools.scene, who, ""), host, how, &ports)?;
                        let found: Vec<_> = found
                            .iter()
                            .map(|(port, state)| (*port, state.as_str()))
                            .collect();
                        ensure!(found == expected, "{found:?}");
                        Ok(())
                    })?;
                    ensure!(
                        moved.packets("socket proxied") == 0,
                        "{how} from {who:?}: {moved}"
                    );
                }
            }
            // Nothing of its own is open to a container that scans the outside.
            let remote = family.address(Place::Remote);
            tools.watch("nmap from c1", || {
                let found = tool::nmap(
                    &mut tool::of(&tools.scene, Who::C1, ""),
                    remote,
                    "-sS",
                    &[80, 9_999],
                )?;
                ensure!(
                    found == [(80, "open".to_owned()), (9_999, "closed".to_owned())],
                    "{found:?}"
                );
                Ok(())
            })?;
        }
    }
    Ok(())
}
