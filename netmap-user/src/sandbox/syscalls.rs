//! The system calls of the proxy's threads, as a filter of seccomp(2). Everything else fails there with `EPERM`: no file can
//! be opened, no program started, no other process looked into, no BPF program or map touched, no memory made executable.
//!
//! `EPERM` and no signal, because a call that some later C library makes must not take the daemon with it.

use std::{collections::BTreeMap, env::consts::ARCH};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Calls that are allowed whatever their arguments.
const FREE: &[libc::c_long] = &[
    // Sockets, made before and by `socket`.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Bytes and pipes; what is logged.
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_splice,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_futex,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Time and chance, where the vDSO has none.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    // Memory, less what makes it executable.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_sched_getaffinity,
    // The end of a thread, and a panic.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Calls that give memory its rights, by their third argument.
const MAPPINGS: [libc::c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

/// Restricts the calling thread, for good. It must not be able to gain rights any more, or be allowed to promise that.
pub(super) fn restrict() -> Result<(), seccompiler::Error> {
    seccompiler::apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FREE.iter().map(|call| (*call, Vec::new())).collect();
    let families = [libc::AF_INET, libc::AF_INET6];
    rules.insert(libc::SYS_socket, any_of(0, &SeccompCmpOp::Eq, families)?);
    rules.insert(
        libc::SYS_ioctl,
        any_of(1, &SeccompCmpOp::Eq, [libc::FIONBIO, libc::FIONREAD])?,
    );
    let executable = SeccompCmpOp::MaskedEq(u64::from(libc::PROT_EXEC.unsigned_abs()));
    for call in MAPPINGS {
        rules.insert(call, any_of(2, &executable, [0_u8])?);
    }
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

/// The argument of this number is one of these values, by this comparison.
fn any_of<const N: usize>(
    argument: u8,
    operator: &SeccompCmpOp,
    values: [impl TryInto<u32>; N],
) -> Result<Vec<SeccompRule>, seccompiler::Error> {
    let rules = values.into_iter().map(|value| {
        // All of them are small and positive.
        let value = value.try_into().map_or(u64::MAX, u64::from);
        let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator.clone(), value)?;
        Ok(SeccompRule::new(vec![is])?)
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io,
        net::{TcpListener, TcpStream, UdpSocket},
        os::unix::net::UnixDatagram,
        process::Command,
        thread,
    };

    use aya::maps::{MapError, MapInfo};

    use super::*;

    /// What happens on a thread that is restricted.
    fn restricted<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let thread = thread::spawn(|| {
            restrict().unwrap();
            work()
        });
        thread.join().unwrap()
    }

    fn refused<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) {
        let error = restricted(work).err().expect("it is refused");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
    }

    #[test]
    fn files_programs_and_other_sockets_are_out_of_reach() {
        refused(|| File::open("/etc/passwd"));
        refused(|| std::fs::remove_file("/nothing-there"));
        refused(|| Command::new("true").status());
        refused(UnixDatagram::unbound);
        refused(crate::sys::cgroup2_root);
    }

    #[test]
    fn bpf_and_namespaces_are_out_of_reach() {
        refused(|| match MapInfo::from_id(1) {
            Err(MapError::SyscallError(error)) => Err(error.io_error),
            _ => Ok(()),
        });
        refused(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).map_err(Into::into));
    }

    #[test]
    fn connections_and_datagrams_are_carried() {
        let answer = restricted(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            client.set_nodelay(true)?;
            client.set_nonblocking(true)?;
            client.set_nonblocking(false)?;
            let (mut server, _) = listener.accept()?;
            io::Write::write_all(&mut client, b"carried")?;
            client.shutdown(std::net::Shutdown::Write)?;
            let socket = UdpSocket::bind("[::1]:0")?;
            socket.send_to(b"x", socket.local_addr()?)?;
            let large = vec![1_u8; 8 << 20];
            assert_eq!(large.len(), 8 << 20);
            io::read_to_string(&mut server)
        });
        assert_eq!(answer.unwrap(), "carried");
    }
}
