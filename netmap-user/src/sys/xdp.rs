//! What XDP program an interface has, as the kernel tells it by netlink: bpf(2) does not say in which mode.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage, LinkXdp, XdpAttached},
};
use netmap_common::maps::IfIndex;
use rtnetlink::{
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// How an interface runs its XDP program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xdp {
    /// It has none.
    #[default]
    Off,
    /// In its driver.
    Native,
    /// In the stack, after the driver has made a packet of the frame: slower than TC.
    Generic,
    /// In the card.
    Offloaded,
    /// In several of these ways at once.
    Several,
}

impl Xdp {
    /// Its name in the CLI and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
            Self::Several => "several",
        }
    }
}

/// How an interface runs XDP, and which program (0 when there is none, or more than one).
///
/// # Errors
///
/// What the netlink request fails with, `ENODEV` when there is no such interface.
pub fn xdp_of(interface: IfIndex) -> io::Result<(Xdp, u32)> {
    let link = ask(interface)?;
    let told = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(told) => Some(told.as_slice()),
        _ => None,
    });
    let mut state = (Xdp::Off, 0);
    for attribute in told.unwrap_or_default() {
        match attribute {
            LinkXdp::Attached(attached) => state.0 = mode(*attached),
            LinkXdp::ProgId(id) => state.1 = *id,
            _ => {}
        }
    }
    Ok(state)
}

fn mode(attached: XdpAttached) -> Xdp {
    match attached {
        XdpAttached::None => Xdp::Off,
        XdpAttached::Driver => Xdp::Native,
        XdpAttached::SocketBuffer => Xdp::Generic,
        XdpAttached::Hardware => Xdp::Offloaded,
        _ => Xdp::Several,
    }
}

fn ask(interface: IfIndex) -> io::Result<LinkMessage> {
    let mut question = LinkMessage::default();
    question.header.index = interface.0;
    question
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    // The answer is there when sending returns.
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("netlink answers something else")),
    }
}
