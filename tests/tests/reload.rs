//! The configuration file, read at the start, again, and never without its reader's knowing what is wrong.

use std::{fs, net::IpAddr, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Family, Lab, Netmap, Place,
    scene::{PUBLISHED, SERVED},
    tcp, udp, wait_for,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Another address of the host, for containers to leave by.
const OWN: &str = "192.168.50.7";

const FIRST: &str = "uplinks = [\"up0\"]\nbridges = [\"br1\"]\nmax_flows = 100\n";

/// Everything that a reload changes, and one key that it does not.
fn second() -> String {
    format!(
        "uplinks = [\"up0\"]\nbridges = [\"br1\", \"br2\"]\nmax_flows = 200\nmark_bit = 5\negress = [\"{OWN}\"]\n\
         log_level = \"debug\"\ntimeouts = {{ udp-answered = 200 }}\n"
    )
}

struct Configured {
    netmap: Netmap,
    file: PathBuf,
    lab: Lab,
}

impl Configured {
    fn start() -> Result<Self> {
        let lab = Lab::new()?;
        lab.host.batch(&format!("addr add {OWN}/24 dev up0\n"))?;
        let mut netmap = Netmap::prepare(&lab)?;
        let file = netmap.socket().with_extension("netmap.toml");
        fs::write(&file, FIRST)?;
        let name = file.to_str().context("a path in words")?;
        netmap.set_arguments(&["--config", name, "--max-new-flows", "0"]);
        netmap.run()?;
        Ok(Self { netmap, file, lab })
    }

    /// A setting's value, and who says so.
    fn setting(&self, key: &str) -> Result<(Value, String)> {
        let report: Value = serde_json::from_str(&self.netmap.done(&["config", "show", "--json"])?)?;
        ensure!(report["running"] == true);
        let settings = report["settings"].as_array().context("settings")?;
        let setting = settings
            .iter()
            .find(|setting| setting["key"] == key)
            .context("a key")?;
        let origin = setting["origin"].as_str().context("an origin")?;
        Ok((setting["value"].clone(), origin.to_owned()))
    }

    /// Packets of the flows that there are, in both directions.
    fn carried(&self) -> Result<u64> {
        let flows = self.netmap.flows()?;
        let packets = |flow: &Value, key: &str| flow[key].as_u64().unwrap_or_default();
        let both = |flow| packets(flow, "packets_original") + packets(flow, "packets_reply");
        Ok(flows.iter().map(both).sum())
    }

    fn pending(&self) -> Result<String> {
        let status = self.netmap.json("status")?;
        Ok(status["config_pending"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // Gone already, or left in the folder for what is temporary.
        let _gone = fs::remove_file(&self.file);
    }
}

#[test]
fn a_reload_changes_what_it_may_and_no_flow_notices() -> Result<()> {
    let configured = Configured::start()?;
    let Configured {
        netmap, lab, file, ..
    } = &configured;
    let family = Family::V4;
    let served = |place| family.at(place, SERVED);
    let _tcp = tcp::Server::start(&lab.c1, served(Place::C1))?;
    let _udp = udp::Server::start(&lab.remote, served(Place::Remote))?;
    let _late = tcp::Server::start(&lab.remote, served(Place::Remote))?;
    netmap.publish(&format!("{PUBLISHED}:{SERVED}"), family.address(Place::C1))?;

    let mut connection = tcp::Client::connect(&lab.remote, family.at(Place::Host, PUBLISHED))?;
    let stream = udp::Client::connected(&lab.c1, served(Place::Remote))?;
    ensure!(connection.ask("before")?.client.ip() == family.address(Place::Remote));
    let before = stream.ask("before")?.client;
    ensure!(before.ip() == family.address(Place::Host));
    let carried = configured.carried()?;
    ensure!(configured.setting("max_flows")? == (100.into(), "file".to_owned()));
    ensure!(configured.setting("max_new_flows")? == (0.into(), "flag".to_owned()));
    ensure!(configured.pending()?.is_empty());

    fs::write(file, second())?;
    let pending = configured.pending()?;
    ensure!(
        pending.contains("max_flows") && pending.contains("`netmap reload`"),
        "{pending}"
    );
    let answer: Value = serde_json::from_str(&netmap.done(&["reload", "--json"])?)?;
    let keys = |list: &str| -> Vec<&str> {
        let changes = answer[list].as_array().into_iter().flatten();
        changes.filter_map(|change| change["key"].as_str()).collect()
    };
    ensure!(
        keys("changed")
            == [
                "bridges",
                "egress",
                "timeouts.udp-answered",
                "max_flows",
                "log_level"
            ],
        "{answer}"
    );
    ensure!(keys("needs_restart") == ["mark_bit"], "{answer}");
    ensure!(configured.setting("mark_bit")?.0 == 27);
    ensure!(configured.setting("max_flows")?.0 == 200);
    ensure!(configured.pending()?.contains("mark_bit (starting netmap anew"));

    // The same flows, as they were.
    ensure!(connection.ask("after")?.client.ip() == family.address(Place::Remote));
    ensure!(
        stream.ask("after")?.client == before,
        "the stream has another source"
    );
    let more = configured.carried()?;
    ensure!(more > carried, "counters went from {carried} to {more}");
    connection.finish()?;
    // New ones leave by the other address, those of the new bridge too.
    let own: IpAddr = OWN.parse()?;
    ensure!(udp::request(&lab.c1, served(Place::Remote), "new")?.client.ip() == own);
    ensure!(tcp::request(&lab.c2, served(Place::Remote), "new")?.client.ip() == own);
    wait_for("the log", || {
        Ok(netmap.log().contains("max_flows is 200, was 100").then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_file_that_is_refused_changes_nothing_and_everybody_says_so() -> Result<()> {
    let configured = Configured::start()?;
    let Configured { netmap, file, .. } = &configured;
    let pid = netmap.pid().context("a daemon")?;
    let name = file.display().to_string();
    for (text, why) in [
        (
            "max_flows = 300\nbirdges = []\n",
            "line 2: there is no key `birdges` (did you mean `bridges`?)",
        ),
        (
            "max_flows = 300\nmark_bit = 32\n",
            "line 2: \"32\" is not a bit of the packet mark; give 0 to 31",
        ),
        (
            "max_flows = 300\nbridges = \"br1\"\n",
            "line 2: `bridges` takes a list of bridges' names",
        ),
    ] {
        fs::write(file, text)?;
        let refused = netmap.refused(&["config", "check", &name], 1)?;
        ensure!(refused.contains(&format!("{name}, {why}")), "{refused}");
        let refused = netmap.refused(&["reload"], 1)?;
        ensure!(
            refused.contains("nothing has changed") && refused.contains(why),
            "{refused}"
        );
        ensure!(configured.pending()?.contains(why));
        ensure!(configured.setting("max_flows")?.0 == 100);
    }
    // What only the host can know: valid, but nothing to run with.
    fs::write(file, "max_flows = 300\nuplinks = [\"up9\"]\n")?;
    let checked = netmap.cli(&["config", "check", &name])?;
    ensure!(checked.status.success());
    let told = String::from_utf8(checked.stderr)?;
    ensure!(told.contains("uplinks: there is no interface up9 here"), "{told}");
    let refused = netmap.refused(&["reload"], 1)?;
    ensure!(
        refused.contains("there is no interface up9 to take as uplink"),
        "{refused}"
    );
    ensure!(configured.setting("max_flows")?.0 == 100);

    let hang_up = || kill(Pid::from_raw(pid.try_into()?), Signal::SIGHUP).map_err(anyhow::Error::from);
    fs::write(file, "nonsense")?;
    hang_up()?;
    wait_for("the warning", || {
        Ok(netmap.log().contains("netmap.toml, line 1: ").then_some(()))
    })?;
    ensure!(configured.setting("max_flows")?.0 == 100);
    fs::write(file, FIRST.replace("100", "150"))?;
    hang_up()?;
    wait_for("the new limit", || {
        Ok((configured.setting("max_flows")?.0 == 150).then_some(()))
    })?;
    ensure!(configured.pending()?.is_empty() && netmap.pid() == Some(pid));
    Ok(())
}
