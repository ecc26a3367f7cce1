//! What is measured when: every backend in every round, in an order that differs from round to round.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    io::Write as _,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    arguments::Arguments,
    backend::{self, Backend, Features},
    effort::Effort,
    figures::{Figures, Measure},
    interrupt, machine,
    measure::Run,
    report,
};

/// One step: a measure of a backend.
type Step = (Measure, Backend);

/// Does all rounds, shows how it goes, and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    machine::ensure_fit()?;
    interrupt::notice()?;
    let effort = arguments.effort();
    let features = Features::of_binary()?;
    let (steps, skipped) = choose(arguments, features);
    ensure!(
        !steps.is_empty(),
        "none of these backends takes part in these measures"
    );
    for note in &skipped {
        println!("{note}");
    }
    let rounds = arguments.rounds.unwrap_or(effort.rounds());
    let start = Instant::now();
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    let soaks = steps
        .iter()
        .filter(|(measure, _)| *measure == Measure::Soak)
        .count();
    let total = (steps.len() - soaks) * usize::try_from(rounds)? + soaks;
    let mut number = 0;
    for round in 1..=rounds {
        let mut order = steps.clone();
        shuffle(&mut order);
        for (measure, backend) in order {
            // Five minutes are enough of it.
            if measure == Measure::Soak && round > 1 {
                continue;
            }
            number += 1;
            interrupt::check()?;
            let name = format!("{} of {}", measure.name(), backend.name());
            print!("[{number}/{total}] round {round}: {name} ...");
            std::io::stdout().flush()?;
            let began = Instant::now();
            let outcome = Run {
                measure,
                backend,
                effort,
                figures: &mut figures,
            }
            .go();
            interrupt::check()?;
            let seconds = began.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => println!(" {seconds:.1} s"),
                Err(error) => {
                    println!(" FAILED: {error:#}");
                    failures.push(format!("{name}, round {round}: {error:#}"));
                }
            }
        }
    }
    let took = start.elapsed();
    println!("\n{total} steps in {:.0} s.", took.as_secs_f64());
    if effort != Effort::Smoke && !figures.is_empty() {
        let report = report::Report {
            figures: &figures,
            effort,
            rounds,
            took,
            notes: &skipped,
            failures: &failures,
        };
        report.print();
        if let Some(folder) = arguments.folder() {
            report
                .write(&folder)
                .with_context(|| format!("cannot write the results to {}", folder.display()))?;
            println!("\nWritten to {}.", folder.display());
        }
    }
    ensure!(
        failures.is_empty(),
        "{} of {total} steps failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

/// The steps of a round, and what is left out for a reason.
fn choose(arguments: &Arguments, features: Features) -> (Vec<Step>, Vec<String>) {
    let mut skipped = Vec::new();
    let mut refuse = |backend, why: &str| {
        skipped.push(format!("Without {}: {why}.", Backend::name(backend)));
        backend
    };
    let mut absent = Vec::new();
    if !features.native_xdp {
        absent.push(refuse(Backend::NetmapXdp, "this netmap has no `--xdp native`"));
    }
    if !backend::has_docker_proxy() {
        absent.push(refuse(Backend::Proxy, "there is no docker-proxy here"));
    }
    if arguments.effort() == Effort::Quick && arguments.backends.is_empty() {
        absent.push(refuse(Backend::IptLegacy, "--quick leaves it out"));
    }
    // Its proxy carries localhost, then, which is measured as such.
    let has_hook = features.connect_hook;
    if !has_hook {
        skipped.push("Without netmap for localhost: this netmap has no connect hook.".to_owned());
    }
    let wanted = |measure: &Measure| arguments.only.is_empty() || arguments.only.contains(measure);
    let named = |backend: &Backend| arguments.backends.is_empty() || arguments.backends.contains(backend);
    let steps = Measure::ALL
        .into_iter()
        .filter(wanted)
        .flat_map(|measure| measure.backends().iter().map(move |backend| (measure, *backend)))
        .filter(|(_, backend)| named(backend) && !absent.contains(backend))
        .filter(|step| has_hook || *step != (Measure::Localhost, Backend::Netmap))
        .collect();
    (steps, skipped)
}

/// Any order is as likely as any other (Fisher and Yates).
fn shuffle(steps: &mut [Step]) {
    for end in (1..steps.len()).rev() {
        // Seeded by the system anew each time.
        let random = RandomState::new().build_hasher().finish();
        let other = random % (end as u64 + 1);
        if let Ok(other) = usize::try_from(other) {
            steps.swap(end, other);
        }
    }
}
