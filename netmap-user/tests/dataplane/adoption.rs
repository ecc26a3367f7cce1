//! What is attached outlives the process, and the next one takes it over.

use aya::{
    maps::{Map, MapData, ProgramArray},
    programs::{LinkOrder, SchedClassifier, TcAttachType, tc::TcAttachOptions},
};
use netmap_common::maps::{Address, Hook, IfIndex, Role, program, tail};
use netmap_user::daemon::down;
use netmap_user::{
    dataplane::{Attachment, CURRENT_NETNS, Dataplane, DataplaneError, Mode, Removed, attachments},
    maps::{Maps, Pins},
};

use super::lab::{Lab, index, sh, tree, veth};

#[test]
fn another_version_keeps_links_and_maps_and_exchanges_programs() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = lab.load();
        let first = dataplane.attach(uplink, Role::Uplink).unwrap();
        let described: Vec<_> = first
            .iter()
            .map(|one| {
                (
                    one.place.interface(),
                    one.place.role(),
                    one.place.hook(),
                    one.mode,
                )
            })
            .collect();
        assert_eq!(
            described,
            [
                ("up0".to_owned(), "uplink", "ingress", Mode::Tcx),
                ("up0".to_owned(), "uplink", "egress", Mode::Tcx)
            ]
        );
        let mut maps = Maps::open(&lab.pin_dir).unwrap();
        maps.v4.locals.insert(Address(77), IfIndex(1).into()).unwrap();
        drop(dataplane);
        assert_eq!(attachments(&lab.pin_dir).unwrap(), first);
        assert_eq!(on_interface("up0"), [program_id(&first[0])]);

        let mut dataplane = lab.load_another();
        assert!(dataplane.adopted());
        let second = dataplane.attach(uplink, Role::Uplink).unwrap();
        for (before, after) in first.iter().zip(&second) {
            assert_eq!(link_id(before), link_id(after));
            assert_ne!(program_id(before), program_id(after));
        }
        assert_eq!(on_interface("up0"), [program_id(&second[0])]);
        // Again, in the same process.
        assert_eq!(dataplane.attach(uplink, Role::Uplink).unwrap(), second);
        assert_eq!(dataplane.attachments().unwrap(), second);
        assert_eq!(maps.v4.locals.get(&Address(77)).unwrap(), Some(IfIndex(1).into()));
    });
}

#[test]
fn the_same_version_takes_the_running_programs_over() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = lab.load();
        let attached = dataplane.attach(uplink, Role::Uplink).unwrap();
        let loaded = dataplane.programs().unwrap();
        drop(dataplane);

        let mut dataplane = lab.load();
        assert!(dataplane.adopted());
        assert_eq!(dataplane.programs().unwrap(), loaded);
        assert_eq!(dataplane.attach(uplink, Role::Uplink).unwrap(), attached);
        // What was killed between loading and attaching is made good.
        drop(dataplane);
        drop(lab.load_another());
        assert_eq!(attachments(&lab.pin_dir).unwrap(), attached);
        let mut dataplane = lab.load_another();
        let exchanged = dataplane.attach(uplink, Role::Uplink).unwrap();
        for (before, after) in attached.iter().zip(&exchanged) {
            assert_eq!(link_id(before), link_id(after));
            assert_ne!(program_id(before), program_id(after));
        }
    });
}

#[test]
fn programs_that_somebody_has_meddled_with_are_loaded_anew() {
    type Meddle = fn(&Lab);
    let meddlers: [(&str, Meddle); 4] = [
        ("the seal is gone, as after a death half-way", |lab| {
            sh(&format!("rmdir {}/*/loaded-*", lab.pin_dir.display()));
        }),
        ("a program is another", |lab| {
            sh(&format!(
                "cd {}/*/programs && rm uplink_in && mv bridge_in uplink_in && rm port_in",
                lab.pin_dir.display()
            ));
        }),
        ("a map is missing", |lab| {
            sh(&format!("rm {}/*/maps/LIMITS", lab.pin_dir.display()));
        }),
        ("a table of jumps has a gap", |lab| {
            let tails = MapData::from_pin(Pins::new(&lab.pin_dir).map("TAILS")).unwrap();
            let mut tails = ProgramArray::try_from(Map::ProgramArray(tails)).unwrap();
            let index = tail::index(Hook::UplinkIn, 1);
            tails.clear_index(&index).unwrap();
        }),
    ];
    Lab::run(move |lab| {
        let mut loaded = lab.load().programs().unwrap();
        for (what, meddle) in meddlers {
            meddle(lab);
            let again = lab.load().programs().unwrap();
            assert_eq!(again.len(), loaded.len(), "{what}");
            let is_new = again
                .iter()
                .zip(&loaded)
                .all(|(again, before)| again.id != before.id);
            assert!(is_new, "{what}: {again:?}");
            assert_eq!(
                lab.load().programs().unwrap(),
                again,
                "{what}, and then nothing more"
            );
            loaded = again;
        }
    });
}

#[test]
fn an_interface_in_another_role_loses_the_programs_of_the_former() {
    Lab::run(|lab| {
        let port = veth("p0");
        let mut dataplane = lab.load();
        dataplane.attach(port, Role::Uplink).unwrap();
        dataplane.attach(port, Role::Port).unwrap();
        let found = dataplane.attachments().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].program, program::PORT_IN);
        assert_eq!(on_interface("p0"), [program_id(&found[0])]);
        dataplane.detach(port).unwrap();
        assert!(on_interface("p0").is_empty());
        assert_eq!(dataplane.interfaces().unwrap().len(), 0);
        dataplane.detach(port).unwrap();
    });
}

#[test]
fn interfaces_that_are_gone_are_forgotten_and_their_successors_attached() {
    Lab::run(|lab| {
        let gone = veth("gone0");
        let successor = veth("back0");
        let mut dataplane = lab.load();
        dataplane.attach(gone, Role::Port).unwrap();
        let before = dataplane.attach(successor, Role::Port).unwrap();
        sh("ip link del gone0");
        let error = dataplane.attach(gone, Role::Port).unwrap_err();
        assert!(
            matches!(error, DataplaneError::Missing { interface } if interface == gone),
            "{error}"
        );
        drop(dataplane);
        sh(&format!(
            "ip link del back0 && ip link add back0 index {} type veth peer name back0-peer",
            successor.0
        ));
        assert_eq!(index("back0"), successor);

        let mut dataplane = lab.load();
        assert!(!dataplane.interfaces().unwrap().contains(&gone));
        let after = dataplane.attach(successor, Role::Port).unwrap();
        assert_ne!(link_id(&before[0]), link_id(&after[0]));
        assert_eq!(on_interface("back0"), [program_id(&after[0])]);
    });
}

#[test]
fn a_program_in_front_of_ours_is_named() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = lab.load();
        let ours = dataplane.attach(uplink, Role::Uplink).unwrap();
        assert!(ours[0].in_front.is_empty());
        let mut other = SchedClassifier::from_pin(Pins::new(&lab.pin_dir).program("port_in")).unwrap();
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        other
            .attach_with_options("up0", TcAttachType::Ingress, first)
            .unwrap();
        let found = dataplane.attachments().unwrap();
        let id = other.info().unwrap().id();
        assert_eq!(found[0].in_front, [format!("port_in (program {id})")]);
        assert!(found[1].in_front.is_empty());
    });
}

#[test]
fn socket_hooks_keep_their_links_and_move_when_asked_to() {
    Lab::run(|lab| {
        let cgroups = [Cgroup::make("one"), Cgroup::make("two")];
        let mut dataplane = lab.load();
        let steer = dataplane.attach_steer(CURRENT_NETNS.as_ref()).unwrap();
        let hold = holds(&mut dataplane, &cgroups[0]);
        let hooks = hold.each_ref().map(|hold| hold.place.hook());
        assert_eq!((steer.place.hook(), hooks), ("sk_lookup", ["bind4", "bind6"]));
        drop(dataplane);

        let mut dataplane = lab.load_another();
        let steer_again = dataplane.attach_steer(CURRENT_NETNS.as_ref()).unwrap();
        let hold_again = holds(&mut dataplane, &cgroups[0]);
        assert_eq!(link_id(&steer), link_id(&steer_again));
        assert_ne!(program_id(&steer), program_id(&steer_again));
        let moved = holds(&mut dataplane, &cgroups[1]);
        for ((hold, again), moved) in hold.iter().zip(&hold_again).zip(&moved) {
            assert_eq!(link_id(hold), link_id(again));
            assert_ne!(program_id(hold), program_id(again));
            assert_ne!(link_id(hold), link_id(moved));
            assert_ne!(hold.link.unwrap().target, moved.link.unwrap().target);
        }
        let [moved4, moved6] = moved;
        assert_eq!(dataplane.attachments().unwrap(), [steer_again, moved4, moved6]);
        dataplane.detach_hold().unwrap();
        assert_eq!(dataplane.attachments().unwrap().len(), 1);
    });
}

fn holds(dataplane: &mut Dataplane, cgroup: &Cgroup) -> [Attachment; 2] {
    let attached = dataplane.attach_hold(cgroup.0.as_ref()).unwrap();
    attached.try_into().unwrap()
}

#[test]
fn detours_are_attached_together_and_keep_their_links() {
    Lab::run(|lab| {
        let cgroup = Cgroup::make("detours");
        let mut dataplane = lab.load();
        let attached = dataplane.attach_detours(cgroup.0.as_ref()).unwrap();
        let hooks: Vec<_> = attached.iter().map(|one| one.place.hook()).collect();
        assert_eq!(
            hooks,
            [
                "getpeername4",
                "getpeername6",
                "recvmsg4",
                "recvmsg6",
                "sendmsg4",
                "sendmsg6",
                "connect4",
                "connect6"
            ]
        );
        assert_eq!(dataplane.attachments().unwrap(), attached);
        drop(dataplane);

        let mut dataplane = lab.load_another();
        let again = dataplane.attach_detours(cgroup.0.as_ref()).unwrap();
        for (before, after) in attached.iter().zip(&again) {
            assert_eq!(link_id(before), link_id(after));
            assert_ne!(program_id(before), program_id(after));
        }
        assert!(dataplane.attach_detours("/nowhere".as_ref()).is_err());
        assert!(dataplane.attachments().unwrap().is_empty(), "half attached");
        dataplane.attach_detours(cgroup.0.as_ref()).unwrap();
        dataplane.detach_detours().unwrap();
        assert!(dataplane.attachments().unwrap().is_empty());
    });
}

#[test]
fn down_leaves_neither_pin_nor_program() {
    Lab::run(|lab| {
        let cgroup = Cgroup::make("down");
        let uplink = veth("up0");
        let port = veth("p0");
        let mut dataplane = lab.load();
        dataplane.attach(uplink, Role::Uplink).unwrap();
        dataplane.attach(port, Role::Port).unwrap();
        dataplane.attach_steer(CURRENT_NETNS.as_ref()).unwrap();
        dataplane.attach_hold(cgroup.0.as_ref()).unwrap();
        dataplane.attach_detours(cgroup.0.as_ref()).unwrap();
        let errors = down(&lab.pin_dir).unwrap_err();
        assert!(matches!(errors[..], [DataplaneError::Running(_)]), "{errors:?}");
        assert_eq!(dataplane.attachments().unwrap().len(), 14);
        drop(dataplane);

        let removed = down(&lab.pin_dir).unwrap();
        assert_eq!(
            removed,
            Removed {
                attachments: 14,
                programs: 17,
                maps: netmap_common::maps::name::ALL.len()
            }
        );
        assert!(!lab.pin_dir.exists(), "{:?}", tree(&lab.pin_dir));
        assert!(on_interface("up0").is_empty());
        assert!(on_interface("p0").is_empty());
        assert!(down(&lab.pin_dir).unwrap().is_empty());
    });
}

/// The programs at an interface's tcx ingress, as the kernel lists them.
fn on_interface(name: &str) -> Vec<u32> {
    let (_, programs) = SchedClassifier::query_tcx(name, TcAttachType::Ingress).unwrap();
    programs.iter().map(aya::programs::ProgramInfo::id).collect()
}

fn link_id(attachment: &Attachment) -> u32 {
    attachment.link.unwrap().id
}

fn program_id(attachment: &Attachment) -> u32 {
    attachment.link.unwrap().program_id
}

/// A cgroup without processes.
struct Cgroup(String);

impl Cgroup {
    fn make(name: &str) -> Self {
        let root = sh("findmnt -n -t cgroup2 -o TARGET | head -n 1");
        let path = format!("{}/netmap-test-{}-{name}", root.trim(), std::process::id());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}
