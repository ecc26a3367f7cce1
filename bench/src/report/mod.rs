//! What comes of the figures: a table on screen, `results.md`, `results.json` and plots.

mod machine;
mod markdown;
mod plot;
mod targets;

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use serde_json::json;

use self::machine::Machine;
use crate::{
    effort::Effort,
    figures::{Figures, Summary},
};

/// Everything that is reported.
#[derive(Debug)]
pub(crate) struct Report<'run> {
    /// The samples.
    pub(crate) figures: &'run Figures,
    /// How much was measured.
    pub(crate) effort: Effort,
    /// How often.
    pub(crate) rounds: u32,
    /// How long it all took.
    pub(crate) took: Duration,
    /// What was left out.
    pub(crate) notes: &'run [String],
    /// What went wrong.
    pub(crate) failures: &'run [String],
}

impl Report<'_> {
    /// Prints tables and verdicts.
    pub(crate) fn print(&self) {
        println!("\n{}", markdown::tables(self.figures));
        println!("{}", targets::table(self.figures));
    }

    /// Writes all files.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let machine = Machine::of_this();
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.json"), self.json(&machine)?)?;
        let plots = plot::write(self.figures, folder)?;
        fs::write(
            folder.join("results.md"),
            markdown::document(self, &machine, &plots),
        )?;
        Ok(())
    }

    fn json(&self, machine: &Machine) -> Result<String> {
        let figures: Vec<_> = self
            .figures
            .iter()
            .flat_map(|(place, backends)| {
                backends.iter().map(move |(backend, samples)| {
                    json!({
                        "place": place,
                        "backend": backend,
                        "summary": Summary::of(samples),
                        "samples": samples,
                    })
                })
            })
            .collect();
        let targets: Vec<_> = targets::judge(self.figures);
        let all = json!({
            "machine": machine,
            "rounds": self.rounds,
            "seconds": self.took.as_secs(),
            "is_full": self.effort.is_full(),
            "notes": self.notes,
            "failures": self.failures,
            "targets": targets,
            "figures": figures,
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }
}
