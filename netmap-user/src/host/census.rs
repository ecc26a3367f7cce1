//! Who lives behind which veth: the addresses in containers' network namespaces, by the host's own netlink.
//!
//! A socket hears of every change of an address in every namespace that has a number here (`NETLINK_LISTEN_ALL_NSID`, Linux
//! 4.2). It says where something changed, not what: the kernel is asked then for all addresses of that namespace
//! (`IFA_TARGET_NETNSID`, Linux 5.0). It is a socket of its own, so that nothing there is taken for an event of this namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{self, Future},
    io,
    os::fd::AsRawFd as _,
    pin::Pin,
    time::Duration,
};

use netmap_common::maps::IfIndex;
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, RecvMsg, UnknownCmsg, recvmsg},
};
use rtnetlink::{
    Handle, MulticastGroup,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use tokio::{io::unix::AsyncFd, time::Instant};

use super::{
    dump,
    snapshot::{Inhabitants, NamespaceId},
};

/// `NETLINK_LISTEN_ALL_NSID` of `linux/netlink.h`, as the type of the message that says in which namespace it was.
const LISTEN_ALL_NSID: i32 = 8;

/// How many messages are read in a row before the rest of the program gets its turn.
const BATCH: usize = 1_024;

/// A namespace is not asked more often: one whose addresses change all the time takes little of this program's time.
const PAUSE: Duration = Duration::from_millis(20);

/// What a namespace answered; nothing where it is gone, or would not be asked.
pub(super) type Answer = (NamespaceId, Option<Inhabitants>);

type Asking = Pin<Box<dyn Future<Output = Vec<Answer>> + Send>>;

/// Follows the namespaces behind ports.
#[derive(Default)]
pub(super) struct Census {
    /// None where the kernel does not tell.
    ear: Option<Ear>,
    /// Ports and the namespaces behind them.
    homes: BTreeSet<(IfIndex, NamespaceId)>,
    /// Namespaces to ask.
    due: BTreeSet<NamespaceId>,
    /// When each was asked last.
    asked: BTreeMap<NamespaceId, Instant>,
    asking: Option<Asking>,
}

impl Census {
    /// Listens in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            ear: Some(Ear::open()?),
            ..Self::default()
        })
    }

    /// These are the ports now, and the namespaces behind them. Those that are new are asked.
    pub(super) fn follow(&mut self, homes: BTreeSet<(IfIndex, NamespaceId)>) {
        if self.ear.is_none() || self.homes == homes {
            return;
        }
        // A number that was another namespace's before has a new port.
        let new = homes.difference(&self.homes).map(|(_, namespace)| *namespace);
        self.due.extend(new);
        self.homes = homes;
        let is_home = |namespace: &NamespaceId| self.homes.iter().any(|(_, home)| home == namespace);
        self.asked.retain(|namespace, _| is_home(namespace));
        self.due = std::mem::take(&mut self.due)
            .into_iter()
            .filter(is_home)
            .collect();
    }

    /// Asks all that are to be asked at once: at the start.
    pub(super) async fn take_all(&mut self, handle: &Handle) -> Vec<Answer> {
        ask(handle.clone(), std::mem::take(&mut self.due)).await
    }

    /// Waits for answers. Cancel safe.
    pub(super) async fn answers(&mut self, handle: &Handle) -> Vec<Answer> {
        loop {
            let now = Instant::now();
            if self.asking.is_none() {
                self.begin(handle, now);
            }
            let next = self
                .due
                .iter()
                .filter_map(|namespace| self.may_ask(*namespace))
                .min();
            let is_asking = self.asking.is_some();
            tokio::select! {
                told = hear(&mut self.ear) => self.note(told),
                answers = answered(&mut self.asking) => {
                    self.asking = None;
                    return answers;
                }
                () = super::until(next), if !is_asking => {}
            }
        }
    }

    fn begin(&mut self, handle: &Handle, now: Instant) {
        let is_ready = |namespace: &NamespaceId| self.may_ask(*namespace).is_none_or(|at| at <= now);
        let (ready, waiting) = self
            .due
            .iter()
            .partition::<BTreeSet<_>, _>(|namespace| is_ready(namespace));
        if ready.is_empty() {
            return;
        }
        self.due = waiting;
        self.asked.extend(ready.iter().map(|namespace| (*namespace, now)));
        self.asking = Some(Box::pin(ask(handle.clone(), ready)));
    }

    fn may_ask(&self, namespace: NamespaceId) -> Option<Instant> {
        self.asked.get(&namespace).map(|at| *at + PAUSE)
    }

    fn note(&mut self, told: io::Result<Told>) {
        let homes = || self.homes.iter().map(|(_, namespace)| *namespace);
        match told {
            Ok(Told::In(namespaces)) => {
                let news: Vec<_> = homes().filter(|home| namespaces.contains(home)).collect();
                self.due.extend(news);
            }
            Ok(Told::Anywhere) => {
                let all: Vec<_> = homes().collect();
                self.due.extend(all);
            }
            Err(error) => {
                tracing::warn!("containers' addresses are not followed any more: {error}");
                self.ear = None;
                // Nothing is known of anybody then.
                let unknown: Vec<_> = homes().map(|namespace| (namespace, None)).collect();
                self.homes.clear();
                self.due.clear();
                self.asking = Some(Box::pin(future::ready(unknown)));
            }
        }
    }
}

/// Where addresses changed.
enum Told {
    /// In these namespaces.
    In(BTreeSet<NamespaceId>),
    /// Messages were lost.
    Anywhere,
}

/// The socket that hears of all namespaces.
struct Ear {
    socket: AsyncFd<Socket>,
}

impl Ear {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.set_listen_all_namespaces(true)?;
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let groups = groups
            .iter()
            .fold(0, |bits, group| bits | 1 << (*group as u32 - 1));
        socket.bind(&SocketAddr::new(0, groups))?;
        #[expect(
            deprecated,
            reason = "the way in its place is unsafe: it promises that the socket owns its descriptor, as this one does"
        )]
        let socket = AsyncFd::new(socket)?;
        Ok(Self { socket })
    }

    /// Cancel safe.
    async fn hear(&mut self) -> io::Result<Told> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut namespaces = BTreeSet::new();
            for _ in 0..BATCH {
                match receive(ready.get_inner()) {
                    Ok(namespace) => namespaces.extend(namespace),
                    Err(Errno::EAGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::ENOBUFS) => return Ok(Told::Anywhere),
                    Err(errno) => return Err(errno.into()),
                }
            }
            if !namespaces.is_empty() {
                return Ok(Told::In(namespaces));
            }
        }
    }
}

/// In which namespace something changed; none for this one. The message itself does not matter, so it is cut short.
fn receive(socket: &Socket) -> nix::Result<Option<NamespaceId>> {
    let mut byte = [0];
    let mut iov = [io::IoSliceMut::new(&mut byte)];
    let mut control = cmsg_space!(i32);
    let message: RecvMsg<'_, '_, NetlinkAddr> = recvmsg(
        socket.as_raw_fd(),
        &mut iov,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    // Only the kernel has port number 0.
    if message.address.is_none_or(|sender| sender.pid() != 0) {
        return Ok(None);
    }
    Ok(message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Unknown(UnknownCmsg {
            cmsg_header,
            data_bytes,
        }) if (cmsg_header.cmsg_level, cmsg_header.cmsg_type) == (libc::SOL_NETLINK, LISTEN_ALL_NSID) => {
            let (number, _) = data_bytes.split_first_chunk()?;
            Some(NamespaceId(i32::from_ne_bytes(*number)))
        }
        _ => None,
    }))
}

async fn hear(ear: &mut Option<Ear>) -> io::Result<Told> {
    match ear {
        Some(ear) => ear.hear().await,
        None => future::pending().await,
    }
}

async fn answered(asking: &mut Option<Asking>) -> Vec<Answer> {
    match asking {
        Some(asking) => asking.await,
        None => future::pending().await,
    }
}

async fn ask(mut handle: Handle, namespaces: BTreeSet<NamespaceId>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for namespace in namespaces {
        let answer = dump::inhabitants(&mut handle, namespace).await;
        let answer = answer
            .inspect_err(|error| tracing::debug!("namespace {}: {error}", namespace.0))
            .ok();
        answers.push((namespace, answer));
    }
    answers
}
