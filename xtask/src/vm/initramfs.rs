//! What the guest starts with: busybox, the modules for this machine's files, and a script that makes them its root.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::kernel::Kernel;
use crate::packages;

/// For virtio, 9p and an overlay.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// The name of this machine's files towards the guest.
pub(crate) const TAG: &str = "host";

/// Writes the image; returns its path.
pub(crate) fn pack(kernel: &Kernel, folder: &Path) -> anyhow::Result<PathBuf> {
    let tree = folder.join("initramfs");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for name in ["bin", "modules", "proc", "sys", "dev", "new", "host", "memory"] {
        fs::create_dir_all(tree.join(name))?;
    }
    let busybox = packages::locate("busybox").context("busybox is missing")?;
    fs::copy(busybox, tree.join("bin/busybox"))?;
    let mut loading = Vec::new();
    for module in kernel.modules(&MODULES)? {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(&module, tree.join("modules").join(name))?;
        loading.push(format!("/bin/busybox insmod /modules/{}\n", name.display()));
    }
    let init = tree.join("init");
    fs::write(&init, script(&loading.concat(), kernel))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let image = folder.join("initramfs.cpio");
    write(&tree, &image)?;
    Ok(image)
}

/// The first process of the guest. What it writes stays in memory.
fn script(modules: &str, kernel: &Kernel) -> String {
    let own_modules = kernel.root().join("lib/modules");
    format!(
        "#!/bin/busybox sh\n\
         b=/bin/busybox\n\
         $b mount -t proc proc /proc\n\
         $b mount -t sysfs sys /sys\n\
         $b mount -t devtmpfs dev /dev\n\
         {modules}\
         $b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro {TAG} /host\n\
         $b mount -t tmpfs memory /memory\n\
         $b mkdir /memory/upper /memory/work\n\
         $b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /new\n\
         $b mkdir -p /new/proc /new/sys /new/dev /new/run /new/lib/modules\n\
         $b mount --bind /host{own_modules} /new/lib/modules\n\
         $b mount -t tmpfs run /new/run\n\
         for folder in proc sys dev; do $b mount --move /$folder /new/$folder; done\n\
         read -r line < /new/proc/cmdline\n\
         exec $b switch_root /new /bin/sh ${{line##*script=}}\n",
        own_modules = own_modules.display(),
    )
}

/// By busybox: the list of files goes in, the archive comes out.
fn write(tree: &Path, image: &Path) -> anyhow::Result<()> {
    let find = Command::new("busybox")
        .arg("find")
        .arg(".")
        .current_dir(tree)
        .output()?;
    ensure!(find.status.success(), "cannot list {}", tree.display());
    let mut cpio = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(image)?)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run busybox")?;
    let mut list = cpio.stdin.take().context("cpio has no input")?;
    list.write_all(&find.stdout)?;
    drop(list);
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(())
}
