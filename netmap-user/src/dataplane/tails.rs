//! The programs that go on where another's stack ends (tail calls): the parts of the data path for IPv6.
//!
//! Each is put into the table that the first program jumps by. The tables are pinned, so that they keep their programs
//! without the daemon; a new version's programs take the old ones' places one by one, and an old first program may for a
//! moment go on with a new part: both know the same maps.

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError, ProgramArray},
    programs::{ProgramFd, SchedClassifier, Xdp},
};
use netmap_common::maps::{Hook, name, tail};

use super::{DataplaneError, load::find};
use crate::maps::{MapsError, Pins};

/// The names of the parts for TC.
pub(super) fn tc_programs() -> impl Iterator<Item = &'static str> {
    tc().map(|(_, _, program)| program)
}

/// Every place in the tables that a part is in: which table, and where.
pub(super) fn slots() -> impl Iterator<Item = (&'static str, u32)> {
    let in_tc = tc().map(|(hook, part, _)| (name::TAILS, tail::index(hook, part)));
    let in_xdp = (1..)
        .zip(tail::XDP)
        .map(|(part, _)| (name::TAILS_XDP, tail::index(Hook::UplinkXdp, part)));
    in_tc.chain(in_xdp)
}

/// Puts the parts for TC into the pinned table.
pub(super) fn place_tc(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), DataplaneError> {
    let mut table = open(pins, name::TAILS)?;
    for (hook, part, program) in tc() {
        let tail: &mut SchedClassifier = find(ebpf, program)?;
        let fd = tail.fd().map_err(|_| DataplaneError::NoProgram(program))?;
        set(&mut table, name::TAILS, tail::index(hook, part), fd)?;
    }
    Ok(())
}

/// The same for XDP.
pub(super) fn place_xdp(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), DataplaneError> {
    let mut table = open(pins, name::TAILS_XDP)?;
    for (part, program) in (1..).zip(tail::XDP) {
        let tail: &mut Xdp = find(ebpf, program)?;
        let fd = tail.fd().map_err(|_| DataplaneError::NoProgram(program))?;
        set(
            &mut table,
            name::TAILS_XDP,
            tail::index(Hook::UplinkXdp, part),
            fd,
        )?;
    }
    Ok(())
}

/// Hook, part and program of each. Part 0 is the whole, which needs no table.
fn tc() -> impl Iterator<Item = (Hook, u32, &'static str)> {
    tail::TC
        .into_iter()
        .flat_map(|(hook, parts)| (1..).zip(parts).map(move |(part, program)| (hook, part, program)))
}

fn open(pins: &Pins, name: &'static str) -> Result<ProgramArray<MapData>, DataplaneError> {
    let path = pins.map(name);
    let data = MapData::from_pin(&path).map_err(|error| MapsError::opening(&path, name, error))?;
    let table = ProgramArray::try_from(Map::ProgramArray(data));
    Ok(table.map_err(|error| MapsError::opening(&path, name, error))?)
}

fn set(
    table: &mut ProgramArray<MapData>,
    name: &'static str,
    index: u32,
    program: &ProgramFd,
) -> Result<(), DataplaneError> {
    let written = table.set(index, program, 0);
    Ok(written.map_err(|error| {
        let error = match error {
            MapError::SyscallError(error) => error.io_error,
            error => std::io::Error::other(error),
        };
        MapsError::writing(name)(error)
    })?)
}
