//! Kernels without tcx: filters on a clsact.

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{NlOptions, TcAttachOptions},
};
use netmap_common::maps::Role;
use netmap_user::daemon::down;
use netmap_user::dataplane::{Dataplane, DataplaneError, LoadOptions, Mode};
use netmap_user::maps::Pins;

use super::lab::{Lab, in_namespace, sh, veth};

#[test]
fn filters_are_exchanged_by_a_second_process_and_removed_with_their_clsact() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = load(lab);
        let found = dataplane.attach(uplink, Role::Uplink).unwrap();
        assert!(found.iter().all(|one| one.mode == Mode::Clsact));
        let before = filters("ingress");
        assert_eq!(before.len(), 1);
        assert!(
            before[0].contains("uplink_in") && before[0].contains("pref 2 "),
            "{before:?}"
        );
        drop(dataplane);
        assert_eq!(filters("ingress"), before);

        let mut dataplane = load(lab);
        assert_eq!(dataplane.attach(uplink, Role::Uplink).unwrap(), found);
        assert_eq!(filters("ingress"), before, "the program was taken over");
        drop(dataplane);

        let mut dataplane = Dataplane::load(&LoadOptions {
            mark: 0x200,
            ..options(lab)
        })
        .unwrap();
        assert_eq!(dataplane.attach(uplink, Role::Uplink).unwrap(), found);
        let after = filters("ingress");
        assert_eq!(after.len(), 1);
        assert_ne!(before, after, "the filter runs another program");
        assert_eq!(filters("egress").len(), 1);
        assert_eq!(dataplane.attachments().unwrap(), found);
        drop(dataplane);

        assert_eq!(down(&lab.pin_dir).unwrap().attachments, 2);
        assert!(!sh("tc qdisc show dev up0").contains("clsact"));
        assert!(!lab.pin_dir.exists());
    });
}

#[test]
fn a_clsact_of_another_program_stays() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        sh("tc qdisc add dev up0 clsact");
        let mut dataplane = load(lab);
        dataplane.attach(uplink, Role::Uplink).unwrap();
        drop(dataplane);
        down(&lab.pin_dir).unwrap();
        assert_eq!(filters("ingress").len() + filters("egress").len(), 0);
        assert!(sh("tc qdisc show dev up0").contains("clsact"));
    });
}

#[test]
fn a_clsact_of_ours_stays_while_it_carries_other_filters() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = load(lab);
        dataplane.attach(uplink, Role::Uplink).unwrap();
        let mut other = SchedClassifier::from_pin(Pins::new(&lab.pin_dir).program("port_in")).unwrap();
        let options = TcAttachOptions::Netlink(NlOptions {
            priority: 7,
            ..NlOptions::default()
        });
        other
            .attach_with_options("up0", TcAttachType::Egress, options)
            .unwrap();
        dataplane.detach(uplink).unwrap();
        assert_eq!(filters("ingress").len(), 0);
        let left = filters("egress");
        assert!(left.len() == 1 && left[0].contains("pref 7 "), "{left:?}");
        assert_eq!(dataplane.interfaces().unwrap().len(), 0);
    });
}

#[test]
fn filters_that_others_removed_are_put_back() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = load(lab);
        dataplane.attach(uplink, Role::Uplink).unwrap();
        sh("tc filter del dev up0 ingress");
        dataplane.attach(uplink, Role::Uplink).unwrap();
        assert_eq!(filters("ingress").len(), 1);
        sh("tc qdisc del dev up0 clsact");
        dataplane.attach(uplink, Role::Uplink).unwrap();
        assert_eq!(filters("ingress").len(), 1);
        assert_eq!(filters("egress").len(), 1);
        sh("ip link del up0");
        dataplane.detach(uplink).unwrap();
        assert_eq!(dataplane.interfaces().unwrap().len(), 0);
    });
}

#[test]
fn tcx_takes_over_from_clsact_and_back() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        load(lab).attach(uplink, Role::Uplink).unwrap();
        let mut dataplane = lab.load();
        dataplane.attach(uplink, Role::Uplink).unwrap();
        assert_eq!(filters("ingress").len(), 0);
        assert!(!sh("tc qdisc show dev up0").contains("clsact"));
        let found = dataplane.attachments().unwrap();
        assert!(
            found.len() == 2 && found.iter().all(|one| one.mode == Mode::Tcx),
            "{found:?}"
        );
        drop(dataplane);
        load(lab).attach(uplink, Role::Uplink).unwrap();
        let found = netmap_user::dataplane::attachments(&lab.pin_dir).unwrap();
        assert!(
            found.len() == 2 && found.iter().all(|one| one.mode == Mode::Clsact),
            "{found:?}"
        );
    });
}

#[test]
fn another_namespace_neither_runs_on_the_pins_nor_forgets_filters_out_of_reach() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        load(lab).attach(uplink, Role::Uplink).unwrap();
        let (options, pin_dir) = (lab.options(), lab.pin_dir.clone());
        in_namespace(move || {
            let error = Dataplane::load(&options).err().unwrap();
            assert!(matches!(error, DataplaneError::OtherNamespace(_)), "{error}");
            let errors = down(&pin_dir).unwrap_err();
            assert!(
                matches!(errors[..], [DataplaneError::OutOfReach { interfaces: 1 }]),
                "{errors:?}"
            );
        });
        assert_eq!(filters("ingress").len(), 1);
        assert_eq!(down(&lab.pin_dir).unwrap().attachments, 2);
        assert_eq!(filters("ingress").len(), 0);
    });
}

fn load(lab: &Lab) -> Dataplane {
    Dataplane::load(&options(lab)).unwrap()
}

fn options(lab: &Lab) -> LoadOptions {
    LoadOptions {
        force_clsact: true,
        ..lab.options()
    }
}

/// The BPF filters of `up0`, a line each as tc(8) shows them.
fn filters(direction: &str) -> Vec<String> {
    let listing = sh(&format!("tc filter show dev up0 {direction} 2>&1 || true"));
    let lines = listing.lines().filter(|line| line.contains("direct-action"));
    lines.map(str::to_owned).collect()
}
