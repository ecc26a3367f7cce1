//! Native XDP beside the TC programs of an uplink.

use netmap_common::maps::{Role, program};
use netmap_user::{
    daemon::down,
    dataplane::{Attachment, DataplaneError, Mode},
    sys::Xdp,
};

use super::lab::{Lab, sh, veth};

fn link_and_program(attachment: &Attachment) -> (u32, u32) {
    let link = attachment.link.unwrap();
    (link.id, link.program_id)
}

#[test]
fn its_link_is_kept_by_a_second_process_and_removed_by_down() {
    Lab::run(|lab| {
        let uplink = veth("up0");
        let mut dataplane = lab.load();
        dataplane.attach(uplink, Role::Uplink).unwrap();
        let first = dataplane.attach_xdp(uplink).unwrap();
        assert_eq!(first.program, program::UPLINK_XDP);
        assert_eq!(first.mode, Mode::Xdp(Xdp::Native));
        assert_eq!(
            (first.place.interface(), first.place.role(), first.place.hook()),
            ("up0".to_owned(), "uplink", "xdp")
        );
        drop(dataplane);
        let mut dataplane = lab.load_another();
        let second = dataplane.attach_xdp(uplink).unwrap();
        let (first, second) = (link_and_program(&first), link_and_program(&second));
        assert_eq!(first.0, second.0, "the link");
        assert_ne!(first.1, second.1, "the program");
        drop(dataplane);
        assert_eq!(down(&lab.pin_dir).unwrap().attachments, 3);
        assert!(!sh("ip link show up0").contains("xdp"));
    });
}

#[test]
fn it_goes_with_the_uplinks_role_and_with_the_interface() {
    Lab::run(|lab| {
        let (port, gone) = (veth("p0"), veth("gone0"));
        let mut dataplane = lab.load();
        for uplink in [port, gone] {
            dataplane.attach(uplink, Role::Uplink).unwrap();
            dataplane.attach_xdp(uplink).unwrap();
        }
        dataplane.attach(port, Role::Port).unwrap();
        sh("ip link del gone0");
        dataplane.detach(gone).unwrap();
        let left = dataplane.attachments().unwrap();
        let programs: Vec<_> = left.iter().map(|attachment| attachment.program).collect();
        assert_eq!(programs, [program::PORT_IN]);
        assert!(!sh("ip link show p0").contains("xdp"));
        dataplane.attach_xdp(port).unwrap();
        dataplane.detach_xdp(port).unwrap();
        dataplane.detach_xdp(port).unwrap();
        assert!(!sh("ip link show p0").contains("xdp"));
    });
}

#[test]
fn a_driver_without_it_is_named_and_generic_xdp_is_no_way_out() {
    Lab::run(|lab| {
        sh("ip link add dull0 type ifb");
        let dull = super::lab::index("dull0");
        let mut dataplane = lab.load();
        let error = dataplane.attach_xdp(dull).unwrap_err();
        assert!(matches!(error, DataplaneError::Xdp { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "dull0 cannot run native XDP: its driver has no native XDP"
        );
        assert!(!sh("ip link show dull0").contains("xdp"));
        assert_eq!(dataplane.attachments().unwrap(), []);
    });
}
