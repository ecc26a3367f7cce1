//! The machine, and what it does when it is up.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{choice::Call, initramfs::TAG, kernel::Kernel};

/// How the machine ends when all tests passed: `isa-debug-exit` makes `2 n + 1` of the number written to its port, so that a
/// panic, a power-off and a hang are something else.
pub(crate) const PASSED: i32 = 3;

/// The longest that it may take, in seconds.
const LIMIT: u32 = 1_500;

/// Of packets and bytes where a test sends many, the guest sends this part.
const LESS: u32 = 20;

/// What makes the kernel neither safer nor another here, only slower; and a fault in it is a failure.
const SETTINGS: &str = "mitigations=off init_on_alloc=0 apparmor=0 audit=0 nowatchdog oops=panic panic=-1";

/// Writes what the guest runs: the tests one after the other. Returns the script's path, the same there.
pub(crate) fn write(folder: &Path, netmap: &Path, object: &Path, calls: &[Call]) -> anyhow::Result<PathBuf> {
    let mut script = format!(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n\
         export NETMAP_BIN={netmap} NETMAP_OBJECT={object} NETMAP_LESS={LESS}\n\
         mount -t bpf bpf /sys/fs/bpf\n\
         mount -t cgroup2 cgroup2 /sys/fs/cgroup\n\
         ip link set lo up\n\
         modprobe tun\n\
         all=1\n",
        netmap = netmap.display(),
        object = object.display(),
    );
    for call in calls {
        writeln!(
            script,
            "cd {folder}\n{binary} --color never --test-threads 2{ignored}{exact} {tests} || all=2",
            folder = call.folder.display(),
            binary = call.binary.display(),
            ignored = if call.ignored { " --ignored" } else { "" },
            exact = if call.tests.is_empty() { "" } else { " --exact" },
            tests = call.tests.join(" "),
        )?;
    }
    script.push_str("printf \"\\\\00$all\" | dd of=/dev/port bs=1 seek=244 2>/dev/null\n");
    let path = folder.join("guest.sh");
    fs::write(&path, script)?;
    Ok(path)
}

/// The command that is the machine. It writes what its console shows.
pub(crate) fn boot(kernel: &Kernel, initramfs: &Path, script: &Path) -> Command {
    let mut machine = Command::new("timeout");
    machine.arg(LIMIT.to_string()).arg("qemu-system-x86_64");
    // No KVM: where these tests run there may be none.
    machine.args(["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]);
    machine.args(["-smp", "2", "-m", "4096"]);
    machine.args(["-nographic", "-no-reboot", "-nic", "none"]);
    machine.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    machine.args([
        "-virtfs",
        &format!("local,path=/,mount_tag={TAG},security_model=none,readonly=on,multidevs=remap"),
    ]);
    machine.arg("-kernel").arg(kernel.image());
    machine.arg("-initrd").arg(initramfs);
    machine.arg("-append");
    machine.arg(format!(
        "console=ttyS0 quiet {SETTINGS} script={}",
        script.display()
    ));
    machine
}
