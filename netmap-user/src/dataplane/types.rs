//! What the entries of pinned maps mean: the types of their keys and values by the object's BTF, field by field.
//!
//! Sizes that agree are not enough: two fields may have changed places. So a folder `types/MAP-DIGEST` beside the pins says with
//! which types each map was made. The kernel knows them too, but shows them to nobody without `CAP_SYS_ADMIN`
//! (`BPF_BTF_GET_FD_BY_ID`).

use std::{collections::BTreeMap, path::PathBuf};

use aya_obj::{Map, Object};
use netmap_common::maps::name;

use super::{DataplaneError, bpffs, btf::Btf, digest::Digest};
use crate::maps::Pins;

/// The types of an object's maps.
pub(super) struct Types(BTreeMap<&'static str, String>);

impl Types {
    /// Of `object`. A map without types is none of ours, or has sizes alone.
    pub(super) fn of(object: &[u8]) -> Result<Self, DataplaneError> {
        let object = Object::parse(object).map_err(|error| DataplaneError::Object(error.into()))?;
        let Some(bytes) = object.btf.as_ref().map(aya_obj::btf::Btf::to_bytes) else {
            return Ok(Self(BTreeMap::new()));
        };
        let btf = Btf::parse(&bytes);
        let notes = name::ALL.iter().filter_map(|name| {
            let Map::Btf(map) = object.maps.get(*name)? else {
                return None;
            };
            let mut digest = Digest::new();
            for id in [map.def.btf_key_type_id, map.def.btf_value_type_id] {
                digest.add(btf.as_ref()?.describe(id).as_bytes());
                digest.add(b";");
            }
            Some((*name, format!("{name}-{:032x}", digest.0)))
        });
        Ok(Self(notes.collect()))
    }

    /// Whether the pinned maps were made with these. Nothing is known of one without a note.
    pub(super) fn check(&self, pins: &Pins) -> Result<(), DataplaneError> {
        for noted in bpffs::names(&folder(pins))? {
            let Some((name, _)) = noted.rsplit_once('-') else {
                continue;
            };
            let is_there = || pins.map(name).exists();
            if let Some((name, wanted)) = self.0.get_key_value(name)
                && *wanted != noted
                && is_there()
            {
                return Err(DataplaneError::OtherTypes {
                    pin_dir: pins.base().to_owned(),
                    name,
                });
            }
        }
        Ok(())
    }

    /// Notes that they were.
    pub(super) fn note(&self, pins: &Pins) -> Result<(), DataplaneError> {
        let folder = folder(pins);
        bpffs::make_dir(&folder)?;
        for stale in bpffs::names(&folder)? {
            if !self.0.values().any(|note| *note == stale) {
                bpffs::remove_dir(&folder.join(stale))?;
            }
        }
        self.0
            .values()
            .try_for_each(|note| bpffs::make_dir(&folder.join(note)))
    }
}

/// Where the notes are.
pub(super) fn folder(pins: &Pins) -> PathBuf {
    pins.root().join("types")
}
