//! Debian's Prometheus and promtool, unpacked and never installed: it would start as a service.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{Namespace, command, wait_within};
use serde_json::Value;

/// It is slow to start on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of the folder that `NETMAP_PROMETHEUS` names, or that `cargo xtask test` has filled beside the tests.
fn program(name: &str) -> Result<PathBuf> {
    let this = env::current_exe()?;
    env::var_os("NETMAP_PROMETHEUS")
        .map(PathBuf::from)
        .into_iter()
        .chain(this.ancestors().map(|folder| folder.join("prometheus")))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .context("there is no Prometheus to test with: `cargo xtask setup` unpacks one")
}

/// Runs promtool, which must be content with `input`.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    command::feed(Command::new(program("promtool")?).args(arguments), input)
}

/// One that runs.
pub(crate) struct Prometheus {
    namespace: Arc<Namespace>,
    address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Prometheus {
    /// Runs in `namespace` with these rules and scrapes `target` every second, all it has in a folder of its own.
    pub(crate) fn start(namespace: &Arc<Namespace>, target: SocketAddr, rules: &Path) -> Result<Self> {
        let address: SocketAddr = ([127, 0, 0, 1], 9_090).into();
        let folder = env::temp_dir().join(format!("{}-prometheus", namespace.name()));
        fs::create_dir_all(&folder)?;
        let config = folder.join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [{}]\n\
                 scrape_configs:\n  - job_name: netmap\n    static_configs: [{{targets: [\"{target}\"]}}]\n",
                rules.display()
            ),
        )?;
        let child = namespace
            .command(program("prometheus")?)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()
            .context("cannot start prometheus")?;
        Ok(Self {
            namespace: Arc::clone(namespace),
            address,
            child,
            folder,
        })
    }

    /// Waits until its only target is up.
    pub(crate) fn wait(&self) -> Result<()> {
        let up = || {
            let Ok(targets) = self.get("targets", "") else {
                return Ok(None);
            };
            let target = &targets["data"]["activeTargets"][0];
            Ok((target["health"] == "up").then_some(()))
        };
        wait_within(PATIENCE, "prometheus has its target", up)
            .with_context(|| fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }

    /// What an expression gives now: the value of each series.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<f64>> {
        let answer = self.get("query", expression)?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().context("no result")?;
        let values = series.iter().filter_map(|series| series["value"][1].as_str());
        Ok(values.map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Waits until an expression gives one series with this value.
    pub(crate) fn expect(&self, expression: &str, value: f64) -> Result<()> {
        let mut found = Vec::new();
        let is_there = || {
            found = self.query(expression)?;
            Ok(matches!(found[..], [one] if (one - value).abs() < 1e-9).then_some(()))
        };
        let waited = wait_within(PATIENCE, "the value is there", is_there);
        waited.with_context(|| format!("{expression} is {found:?}, not {value}"))
    }

    fn get(&self, path: &str, expression: &str) -> Result<Value> {
        let mut curl = self.namespace.command("curl");
        curl.args(["--silent", "--max-time", "20", "--get", "--noproxy", "*"]);
        if !expression.is_empty() {
            curl.arg("--data-urlencode").arg(format!("query={expression}"));
        }
        curl.arg(format!("http://{}/api/v1/{path}", self.address));
        Ok(serde_json::from_str(&command::run(&mut curl)?)?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}
