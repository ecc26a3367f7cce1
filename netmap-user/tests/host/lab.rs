//! Network namespaces of a test's own.

use std::{
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use netmap_common::maps::IfIndex;
use nix::sched::{CloneFlags, setns};

/// Network namespaces with a name of their own, deleted at the end.
pub(crate) struct Lab {
    prefix: String,
    names: Vec<&'static str>,
}

impl Lab {
    /// A host namespace `h` with an uplink up0 towards a router in `r` and an empty bridge br1; an empty one, `c`.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("nmh{}x{count}", std::process::id());
        let mut lab = Self {
            prefix,
            names: Vec::new(),
        };
        for name in ["h", "r", "c"] {
            run(Command::new("ip").args(["netns", "add", &lab.full(name)]));
            lab.names.push(name);
        }
        lab.ip(
            "h",
            "link add br1 type bridge\n\
             addr add 172.30.1.1/24 dev br1\n\
             link set br1 up\n\
             link set lo up\n\
             link add up0 type veth peer name eth0 netns R\n\
             addr add 192.168.50.2/24 dev up0\n\
             link set up0 up",
        );
        lab.ip("r", "addr add 192.168.50.1/24 dev eth0\nlink set eth0 up");
        lab.ip("h", "route add default via 192.168.50.1");
        lab
    }

    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs lines of `ip` commands in a namespace. `R` and `C` stand for the router's and the container's one.
    pub(crate) fn ip(&self, name: &str, lines: &str) {
        let lines = lines
            .replace("netns R", &format!("netns {}", self.full("r")))
            .replace("netns C", &format!("netns {}", self.full("c")));
        let mut child = Command::new("ip")
            .args(["-n", &self.full(name), "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{lines}");
    }

    /// A container in namespace `c` and on br1, that has never sent a packet. The container's end of the pair moves
    /// before it is switched on, as container engines do it.
    pub(crate) fn container(&self) {
        self.ip(
            "h",
            "link add vc1 type veth peer name tmp1\n\
             link set vc1 master br1\n\
             link set vc1 up\n\
             link set tmp1 netns C name eth0",
        );
        self.ip(
            "c",
            "link set eth0 addrgenmode none\n\
             addr add 172.30.1.2/24 dev eth0\n\
             link set eth0 up",
        );
    }

    pub(crate) fn index(&self, link: &str) -> IfIndex {
        let path = format!("/sys/class/net/{link}/ifindex");
        let output = Command::new("ip")
            .args(["netns", "exec", &self.full("h"), "cat", &path])
            .output()
            .unwrap();
        IfIndex(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
    }

    /// Runs `body` in namespace `h`.
    pub(crate) fn inside<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Send> + Send,
    {
        self.inside_of("h", body)
    }

    /// Runs `body` on a thread inside a namespace, with a runtime of one thread.
    pub(crate) fn inside_of<F>(&self, name: &str, body: F) -> F::Output
    where
        F: Future<Output: Send> + Send,
    {
        let path = format!("/run/netns/{}", self.full(name));
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_all().build().unwrap().block_on(body)
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            run(Command::new("ip").args(["netns", "del", &self.full(name)]));
        }
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
