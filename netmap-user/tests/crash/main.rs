//! Death at any moment: whenever the daemon is killed, the next one finds what was published, whole, and nothing else. Needs
//! root.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its helpers as well"
)]

mod dice;
mod host;
#[path = "../dataplane/lab.rs"]
#[expect(dead_code, reason = "the tests of the data plane need more of it")]
mod lab;
mod model;

use std::{collections::BTreeSet, thread, time::Duration};

use self::{dice::Dice, host::Host, lab::Lab, model::Model};

const DEATHS: u32 = 200;

#[test]
fn a_daemon_that_is_killed_at_any_moment_leaves_exactly_what_was_published() {
    Lab::run(|lab| {
        let mut dice = Dice::from_environment();
        let mut host = Host::new(lab);
        let mut model = Model::new(&lab.pin_dir, host.state());
        host.start();
        model.open_living_flows();
        for death in 0..DEATHS {
            println!("death {death} of {DEATHS}, {dice}");
            if dice.one_in(4) {
                host.die_while_starting(Duration::from_micros(dice.below(150_000)));
            } else {
                let moment = Duration::from_micros(dice.below(25_000));
                let killer = host.killer();
                thread::scope(|scope| {
                    scope.spawn(move || {
                        thread::sleep(moment);
                        killer.kill();
                    });
                    Host::attach_or_detach_a_port(&mut dice);
                    // Until nobody answers any more.
                    while model.change(&host, &mut dice) {}
                });
                host.bury();
                if dice.one_in(2) {
                    Host::attach_or_detach_a_port(&mut dice);
                }
            }
            model.open_idle_flows(death);
            host.start();
            model.check();
        }
        model.check_flows();
    });
}

#[test]
fn of_two_commands_that_want_one_port_exactly_one_gets_it() {
    const RACES: u16 = 20;
    Lab::run(|lab| {
        let mut host = Host::new(lab);
        host.start();
        for race in 0..RACES {
            let spec = format!("{}:80/tcp", 9_000 + race);
            let runners: Vec<_> = ["172.30.1.2", "172.30.1.3"]
                .map(|target| host.spawn_command(&["publish", &spec, "--to", target]))
                .into();
            let ended = runners
                .into_iter()
                .map(|runner| runner.wait_with_output().unwrap());
            let (won, lost): (Vec<_>, Vec<_>) = ended.partition(|output| output.status.success());
            assert_eq!((won.len(), lost.len()), (1, 1), "{won:?} {lost:?}");
            let said = String::from_utf8_lossy(&lost[0].stderr);
            assert_eq!(lost[0].status.code(), Some(1));
            assert!(said.contains("overlaps with"), "{said}");
        }
        let published = model::published(&lab.pin_dir);
        // One rule for each family, and both lead to the winner's container.
        assert_eq!(published.len(), 2 * usize::from(RACES));
        let winners: BTreeSet<_> = published
            .iter()
            .map(|(published, container, _)| (published.ports, *container))
            .collect();
        assert_eq!(winners.len(), usize::from(RACES));
    });
}

#[test]
fn a_second_daemon_on_the_same_pins_is_refused_and_the_first_goes_on() {
    Lab::run(|lab| {
        let mut host = Host::new(lab);
        host.start();
        let published = host.spawn_command(&["publish", "8080:80", "--to", "172.30.1.2"]);
        assert!(published.wait_with_output().unwrap().status.success());
        let before = (model::published(&lab.pin_dir), lab::tree(&lab.pin_dir));
        for socket in [host.socket(), &host.socket().with_extension("second")] {
            let second = host.spawn_run_at(socket).wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&second.stderr);
            assert_eq!(second.status.code(), Some(1), "{said}");
            assert!(said.contains("already"), "{said}");
        }
        assert_eq!(before, (model::published(&lab.pin_dir), lab::tree(&lab.pin_dir)));
        let published = host.spawn_command(&["publish", "8081:80", "--to", "172.30.1.2"]);
        assert!(published.wait_with_output().unwrap().status.success());
    });
}
