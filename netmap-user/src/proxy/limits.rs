//! How much the proxy takes on, and how long it waits.

use std::{fs, io, time::Duration};

/// Upper bounds; beyond them the new is refused and counted, never the old dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections at a time.
    pub connections: usize,
    /// UDP sessions at a time.
    pub sessions: usize,
    /// UDP sessions of one client address at a time, so that one client cannot use up all.
    pub sessions_per_client: usize,
}

impl Limits {
    /// What is offered when files are no concern.
    pub const MOST: Self = Self {
        connections: 16_384,
        sessions: 16_384,
        sessions_per_client: 4_096,
    };

    /// A connection takes two sockets and two pipes.
    const FILES_A_CONNECTION: usize = 6;
    /// A session takes a socket towards the container and, at worst, a reply socket of its own.
    const FILES_A_SESSION: usize = 2;

    /// As many as fit into three quarters of this process's open files (`RLIMIT_NOFILE`, soft): half for connections,
    /// a quarter for sessions, and a quarter left for held ports, maps and the API.
    pub fn for_this_process() -> io::Result<Self> {
        let limits = fs::read_to_string("/proc/self/limits")?;
        Ok(Self::for_open_files(open_files(&limits)))
    }

    fn for_open_files(files: usize) -> Self {
        let sessions = (files / 4 / Self::FILES_A_SESSION).clamp(1, Self::MOST.sessions);
        Self {
            connections: (files / 2 / Self::FILES_A_CONNECTION).clamp(1, Self::MOST.connections),
            sessions,
            sessions_per_client: (sessions / 4).max(1),
        }
    }
}

/// How long the proxy waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a container to accept a connection.
    pub connect: Duration,
    /// For the first reply in a UDP session.
    pub unreplied: Duration,
    /// For the next datagram of a UDP session, either way, once there was a reply. RFC 4787, REQ-5: not below 2 minutes.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            unreplied: Duration::from_secs(30),
            idle: Duration::from_secs(120),
        }
    }
}

/// The soft limit of open files in the text of `/proc/PID/limits`; no limit where there is none.
fn open_files(limits: &str) -> usize {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             unlimited            unlimited            processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(text), 1024);
        assert_eq!(
            open_files("Max open files  unlimited  unlimited  files"),
            usize::MAX
        );
    }

    #[test]
    fn few_files_make_few_connections_and_many_make_no_more_than_the_most() {
        let few = Limits::for_open_files(1024);
        assert_eq!(
            (few.connections, few.sessions, few.sessions_per_client),
            (85, 128, 32)
        );
        assert_eq!(Limits::for_open_files(usize::MAX), Limits::MOST);
        assert_eq!(Limits::for_open_files(0).connections, 1);
    }

    #[test]
    fn this_process_has_room() {
        assert!(Limits::for_this_process().unwrap().connections >= 1);
    }
}
