//! A real terminal, without anybody in front of it: `tmux`, with a server and a socket of its own.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use nix::unistd::Pid;

use crate::{Scene, command, wait_within};

/// How long a screen may take to show what it should.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal in which a shell runs.
#[derive(Debug)]
pub struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    /// One of so many columns and lines.
    pub fn open(name: &str, columns: u16, lines: u16) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("netmap-terminal-{name}"));
        let _left_over = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        let terminal = Self { folder };
        let size = [columns.to_string(), lines.to_string()];
        let [columns, lines] = &size;
        // No user's settings, and the prompt is known.
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "main",
            "-x",
            columns,
            "-y",
            lines,
            "env PS1='$ ' ENV= TERM=screen sh",
        ])?;
        terminal.shows("$")?;
        Ok(terminal)
    }

    /// Starts `netmap top` as somebody would who sits at the terminal; its process, once there is a screen.
    pub fn start_top(&self, scene: &Scene, arguments: &str) -> Result<Pid> {
        let netmap = &scene.netmap;
        let place = netmap.state().with_extension("top");
        let script = format!(
            "echo $$ >{place}.pid; export NETMAP_SOCKET={} NETMAP_PIN_DIR={} NETMAP_STATE={}\n\
             exec nsenter --net={} {} top {arguments}\n",
            netmap.socket().display(),
            netmap.pins().display(),
            netmap.state().display(),
            scene.lab.host.path().display(),
            netmap.binary().display(),
            place = place.display(),
        );
        fs::write(&place, script)?;
        self.line(&format!("clear; sh {}; echo ended $?", place.display()))?;
        self.shows("netmap top  every")?;
        let pid = fs::read_to_string(place.with_extension("top.pid"))?;
        fs::remove_file(&place)?;
        fs::remove_file(place.with_extension("top.pid"))?;
        Ok(Pid::from_raw(pid.trim().parse()?))
    }

    /// Types a line, and Enter.
    pub fn line(&self, line: &str) -> Result<()> {
        self.tmux(&["send-keys", "-t", "main", "-l", line])?;
        self.key("Enter")
    }

    /// Presses a key, as tmux calls it: `q`, `Enter`, `C-c`.
    pub fn key(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", "-t", "main", key]).map(drop)
    }

    /// Makes it larger or smaller.
    pub fn resize(&self, columns: u16, lines: u16) -> Result<()> {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-t", "main", "-x", &columns, "-y", &lines])
            .map(drop)
    }

    /// What it shows.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-t", "main", "-p"])
    }

    /// The same with the sequences for how it looks.
    pub fn coloured(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-t", "main", "-p", "-e"])
    }

    /// Waits until it shows this, and says what it shows then.
    pub fn shows(&self, text: &str) -> Result<String> {
        self.fits(text, |screen| screen.contains(text))
    }

    /// Waits until what it shows fits.
    pub fn fits(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        let found = wait_within(PATIENCE, what, || {
            last = self.screen()?;
            Ok(fits(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("the screen has\n{last}"))
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command().args(arguments).output()?;
        ensure!(
            status.success(),
            "tmux {arguments:?}: {}",
            String::from_utf8_lossy(&stderr)
        );
        Ok(String::from_utf8(stdout)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-S"])
            .arg(self.folder.join("socket"))
            .env_remove("TMUX")
            .env_remove("NO_COLOR");
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = command::run(self.command().arg("kill-server"));
        let _removed = fs::remove_dir_all(&self.folder);
    }
}
