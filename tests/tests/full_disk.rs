//! What is published is recorded on a disk, which may be full.

use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddrV4,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use netmap_tests::{
    Lab, Netmap, command, tcp,
    topology::{C1, HOST, REMOTE},
    wait_for,
};

/// A file system of 64 KiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("netmap-{name}-disk"));
        fs::create_dir_all(&path)?;
        let disk = Self(path);
        command::line(&format!("mount -t tmpfs -o size=64k tmpfs {}", disk.0.display()))?;
        Ok(disk)
    }

    fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.0.join("ballast"))?;
        while ballast.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = command::line(&format!("umount -l {}", self.0.display()));
        let _removed = fs::remove_dir(&self.0);
    }
}

/// Whether the record names a port.
fn records(folder: &Path, port: u16) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && fs::read_to_string(&path)?.contains(&port.to_string()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_full_disk_keeps_no_port_from_being_published_and_the_record_is_whole_again_with_the_next_command()
-> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::new(lab.name())?;
    let state = disk.0.join("state");
    let arguments = [
        "--uplink",
        "up0",
        "--bridge",
        "br1",
        "--state",
        state.to_str().unwrap_or_default(),
    ];
    let netmap = Netmap::start_with(&lab, &arguments)?;
    let _server = tcp::Server::start(&lab.c1, SocketAddrV4::new(C1, 80))?;
    netmap.publish("8080:80/tcp", C1)?;
    ensure!(records(&state, 8_080)?, "it is not recorded");

    disk.fill()?;
    netmap.publish("8081:80/tcp", C1)?;
    for port in [8_080, 8_081] {
        let answer = tcp::request(&lab.remote, SocketAddrV4::new(HOST, port), "while it is full")?;
        ensure!(answer.client.ip() == REMOTE, "{answer:?}");
    }
    wait_for("the log says so in one line", || {
        let log = netmap.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("No space left on device"));
        Ok((lines.count() == 1).then_some(()))
    })?;
    ensure!(records(&state, 8_080)?, "the former record is gone");

    disk.make_room()?;
    netmap.publish("8082:80/tcp", C1)?;
    for port in [8_080, 8_081, 8_082] {
        ensure!(records(&state, port)?, "{port} is not recorded");
    }
    Ok(())
}
