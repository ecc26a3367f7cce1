//! The sockets that published ports are steered to: TCP listeners and a UDP socket an address family.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use netmap_common::maps::socket as index;

use super::{
    ProxyError,
    hold::is_unknown_family,
    socket::{self, Mark},
    udp::Front,
};

/// The sockets of both families.
#[derive(Debug)]
pub(super) struct Fronts {
    v4: FamilyFronts,
    /// None where the kernel has no IPv6.
    v6: Option<FamilyFronts>,
}

/// The sockets of one family. They are bound to its loopback address: what is reachable is decided by the steering
/// program, never by that.
#[derive(Debug)]
pub(super) struct FamilyFronts {
    /// A group that shares connections among them (`SO_REUSEPORT`), one a thread. Steering to one steers to all.
    tcp: Vec<Arc<TcpListener>>,
    pub(super) tcp_address: SocketAddr,
    pub(super) udp: Arc<Front>,
}

impl Fronts {
    /// Opens them, as many listeners a family as there are threads.
    pub(super) fn open(mark: Mark, threads: usize) -> Result<Self, ProxyError> {
        let v6 = match FamilyFronts::open(Ipv6Addr::LOCALHOST.into(), mark, threads) {
            Err(ProxyError::Tcp(error)) if is_unknown_family(&error) => None,
            opened => Some(opened?),
        };
        Ok(Self {
            v4: FamilyFronts::open(Ipv4Addr::LOCALHOST.into(), mark, threads)?,
            v6,
        })
    }

    /// Each with its index in the steering program's map.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        let v4 = self.v4.sockets([index::TCP4, index::UDP4]);
        let v6 = self
            .v6
            .iter()
            .flat_map(|v6| v6.sockets([index::TCP6, index::UDP6]));
        v4.chain(v6)
    }

    /// The listeners of each thread, one a family.
    pub(super) fn listeners(&self) -> Vec<Vec<Arc<TcpListener>>> {
        let of_thread = |thread: usize| {
            let listeners = self.families().filter_map(|family| family.tcp.get(thread));
            listeners.cloned().collect()
        };
        (0..self.v4.tcp.len()).map(of_thread).collect()
    }

    /// The UDP sockets.
    pub(super) fn udp(&self) -> Vec<Arc<Front>> {
        self.families().map(|family| Arc::clone(&family.udp)).collect()
    }

    /// Where they are bound.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.families()
            .flat_map(|family| [family.tcp_address, family.udp.address])
            .collect()
    }

    /// Those of one family.
    pub(super) fn families(&self) -> impl Iterator<Item = &FamilyFronts> {
        [&self.v4].into_iter().chain(&self.v6)
    }
}

impl FamilyFronts {
    fn open(loopback: IpAddr, mark: Mark, threads: usize) -> Result<Self, ProxyError> {
        let any_port = SocketAddr::new(loopback, 0);
        let open = |address| socket::tcp_front(address, mark);
        let first = open(any_port).map_err(ProxyError::Tcp)?;
        let tcp_address = first.local_addr().map_err(ProxyError::Tcp)?;
        let more = (1..threads).map(|_| open(tcp_address));
        let tcp: io::Result<Vec<_>> = [Ok(first)].into_iter().chain(more).collect();
        Ok(Self {
            tcp: tcp.map_err(ProxyError::Tcp)?.into_iter().map(Arc::new).collect(),
            tcp_address,
            udp: Arc::new(Front::bind(any_port, mark).map_err(ProxyError::Udp)?),
        })
    }

    fn sockets(&self, [tcp, udp]: [u32; 2]) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        let listener = self.tcp.first().map(|listener| (tcp, listener.as_fd()));
        listener.into_iter().chain([(udp, self.udp.as_fd())])
    }
}
