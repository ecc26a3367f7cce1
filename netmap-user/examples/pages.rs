//! Writes what a package holds beside the binary, out of the command line itself: `pages FOLDER` makes man pages in
//! FOLDER/man and completions for bash, zsh and fish in FOLDER/completions.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use netmap_user::cli::args::Cli;

/// Of administrators' commands.
const SECTION: &str = "8";

fn main() -> anyhow::Result<()> {
    let folder: PathBuf = env::args_os().nth(1).context("usage: pages FOLDER")?.into();
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut netmap = Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut netmap, "netmap", &completions)?;
    }
    // What is global stands with each command, which goes by its whole name.
    let mut netmap = Cli::command().disable_help_subcommand(true);
    netmap.build();
    pages(&man, &netmap)?;
    Ok(())
}

/// A page for a command and each below it.
fn pages(folder: &Path, command: &Command) -> io::Result<()> {
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    visible
        .into_iter()
        .try_for_each(|command| pages(folder, command))?;
    let page = Man::new(command.clone())
        .section(SECTION)
        .manual("netmap")
        .source(concat!("netmap ", env!("CARGO_PKG_VERSION")));
    page.generate_to(folder).map(drop)
}
