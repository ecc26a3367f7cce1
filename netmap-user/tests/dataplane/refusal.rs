//! What is not done, and in which words.

use aya::maps::HashMap;
use netmap_common::maps::name;
use netmap_user::{
    dataplane::{Dataplane, DataplaneError, LoadOptions},
    maps::{Maps, MapsError, Pins},
};

use super::lab::{Lab, tree};

#[test]
fn a_pinned_map_of_another_layout_is_refused_by_name() {
    Lab::run(|lab| {
        let folder = Pins::new(&lab.pin_dir).maps();
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name::RULES);
        HashMap::<_, u32, u32>::create(7, 0).unwrap().pin(&path).unwrap();
        let error = refused(&lab.options());
        assert_eq!(
            error.to_string(),
            "the pinned map RULES is Hash(7 entries, keys of 4 bytes, values of 4 bytes, flags 0x0), but this netmap \
             needs Array(65536 entries, keys of 4 bytes, values of 24 bytes, flags 0x80); `netmap down` removes it, and \
             all flows with it"
        );
        let maps: Vec<_> = tree(&folder);
        assert_eq!(maps, ["./RULES"], "nothing was made beside it");
    });
}

#[test]
fn a_pinned_map_whose_entries_mean_something_else_is_refused_by_name() {
    Lab::run(|lab| {
        drop(lab.load());
        let types = Pins::new(&lab.pin_dir).root().join("types");
        let rules = || -> String {
            let notes = tree(&types);
            assert_eq!(notes.len(), name::ALL.len(), "{notes:?}");
            let rules = notes.iter().find(|note| note.starts_with("./RULES-"));
            rules.unwrap().clone()
        };
        // As of a version that had two fields of the same size the other way round.
        let ours = rules();
        std::fs::rename(types.join(&ours), types.join("RULES-00")).unwrap();
        let options = LoadOptions {
            mark: 0x200,
            ..lab.options()
        };
        let error = refused(&options);
        assert_eq!(
            error.to_string(),
            format!(
                "the entries of the pinned table RULES in {} mean something else to this version: `netmap down \
                 --keep-published` removes it with all flows, and the next start publishes again what is recorded",
                lab.pin_dir.display()
            )
        );
        assert_eq!(rules(), "./RULES-00");
        // Of a map that is gone nothing is left to be misread.
        std::fs::remove_file(Pins::new(&lab.pin_dir).map("RULES")).unwrap();
        drop(Dataplane::load(&options).unwrap());
        assert_eq!(rules(), ours);
    });
}

#[test]
fn the_flow_table_keeps_its_size_and_is_not_resized_behind_the_users_back() {
    Lab::run(|lab| {
        let sized = |flow_entries| LoadOptions {
            flow_entries,
            ..lab.options()
        };
        drop(Dataplane::load(&sized(Some(1_024))).unwrap());
        let error = refused(&sized(Some(2_048))).to_string();
        assert!(
            error.starts_with("the pinned map FLOWS is Hash(1024 entries")
                && error.contains("needs Hash(2048 entries"),
            "{error}"
        );
        drop(Dataplane::load(&sized(None)).unwrap());
        assert_eq!(
            Maps::open(&lab.pin_dir).unwrap().v4.flows.capacity().unwrap(),
            1_024
        );
    });
}

#[test]
fn a_second_data_plane_on_the_same_pins_is_refused_until_the_first_is_gone() {
    Lab::run(|lab| {
        let first = lab.load();
        let error = refused(&lab.options());
        assert!(matches!(error, DataplaneError::Running(_)));
        assert_eq!(
            error.to_string(),
            format!(
                "netmap already runs with its pins in {}; stop it first, or choose another --pin-dir",
                lab.pin_dir.display()
            )
        );
        drop(first);
        assert!(lab.load().adopted());
    });
}

#[test]
fn a_load_that_fails_leaves_nothing_behind() {
    Lab::run(|lab| {
        let too_many = LoadOptions {
            flow_entries: Some(u32::MAX),
            ..lab.options()
        };
        let error = refused(&too_many);
        assert!(error.to_string().starts_with("the table FLOWS"), "{error}");
        assert!(!lab.pin_dir.exists(), "{:?}", tree(&lab.pin_dir));
    });
}

#[test]
fn reading_without_a_data_plane_says_that_there_is_none() {
    Lab::run(|lab| {
        let error = Maps::open(&lab.pin_dir).err().unwrap();
        assert!(matches!(error, MapsError::NotLoaded(_)), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("netmap is not loaded: there is no /sys/fs/bpf/")
        );
        // Below something that is no folder at all.
        let error = Maps::open("/dev/null".as_ref()).err().unwrap();
        assert!(matches!(error, MapsError::NotLoaded(_)), "{error}");
    });
}

fn refused(options: &LoadOptions) -> DataplaneError {
    Dataplane::load(options).err().unwrap()
}
