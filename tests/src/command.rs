//! Programs that set up the network, and what they say when they cannot.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Runs `command` to its end and gives its standard output; its standard error is the error when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    feed(command, "")
}

/// The same, with `input` as its standard input.
pub fn feed(command: &mut Command, input: &str) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot start `{shown}`; `cargo xtask setup` installs what the tests need")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that fails early does not read it all; its exit status says so below.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for `{shown}`"))?;
    ensure!(
        output.status.success(),
        "`{shown}` failed ({}): {}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
        if input.is_empty() {
            String::new()
        } else {
            format!("\nits input was:\n{input}")
        },
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program of `line`, split at white space.
pub fn line(line: &str) -> Result<String> {
    run(&mut words(line)?)
}

/// The command that `line` names, split at white space.
pub fn words(line: &str) -> Result<Command> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("an empty command line")?);
    command.args(words);
    Ok(command)
}
