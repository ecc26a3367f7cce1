//! Runs the NAT at an uplink's XDP hook: sends on or drops what can be decided there, and leaves the rest to TC as it
//! came.
//!
//! What is left is not counted here: `uplink_in` sees the same packet again, decides the same and counts it.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
    programs::XdpContext,
};
use netmap_common::{
    maps::{Address, Address6, Class, FlowKey, Hook, Hop, IfIndex, Reason, Way},
    nat::{self, Carried, Packet as _, Part, Step, Verdict},
};

use crate::{
    events,
    maps::{self, Tables},
    wire::{Frame, Nic},
    world::{self, Context, Kernel},
};

#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> u32 {
    let frame = Frame::new(ctx.ctx);
    if frame.is_scattered() {
        return XDP_PASS;
    }
    if frame.is_ipv6() {
        maps::go_on_xdp(ctx, Part::Known);
        return XDP_PASS;
    }
    translate::<Address>(ctx, frame, Part::Whole)
}

/// A part of the same for what the first program has found to be IPv6.
#[inline(always)]
pub(crate) fn run_ipv6(ctx: &XdpContext, part: Part) -> u32 {
    translate::<Address6>(ctx, Frame::new(ctx.ctx), part)
}

#[inline(always)]
fn translate<A: Tables>(ctx: &XdpContext, mut frame: Frame, part: Part) -> u32 {
    let kernel = Kernel::<_, A>::new(Sender::new::<A>(frame.nic()));
    match nat::process_part(&mut frame, &kernel, Hook::UplinkIn, part) {
        // What has no ports of its own is TC's anyway.
        Ok(Step::Next(Part::Other)) => XDP_PASS,
        Ok(Step::Next(part)) => {
            maps::go_on_xdp(ctx, part);
            XDP_PASS
        }
        Ok(Step::Done(carried)) => send::<A>(&mut frame, carried),
        Err(reason) => match reason.class() {
            // TC tells the sender.
            Class::Dropped if reason.is_told() => XDP_PASS,
            Class::Dropped => drop(&frame, reason),
            Class::Passed | Class::Carried => XDP_PASS,
        },
    }
}

#[inline(always)]
fn send<A: Tables>(frame: &mut Frame, carried: Carried) -> u32 {
    let Verdict::Peer(out) = carried.verdict else {
        // `sends` has said no to all others.
        return drop(frame, Reason::RewriteFailed);
    };
    // It is only noted down here: the driver does it when the program is over.
    let redirected = maps::REDIRECTS.redirect(out.0, u64::from(XDP_DROP));
    if redirected != Ok(XDP_REDIRECT) || frame.set_link_addresses(maps::hop::<A>().link).is_err() {
        return drop(frame, Reason::RewriteFailed);
    }
    maps::count(Hook::UplinkXdp, carried.reason, datagram_length(frame));
    XDP_REDIRECT
}

#[inline(always)]
fn drop(frame: &Frame, reason: Reason) -> u32 {
    maps::count(Hook::UplinkXdp, reason, datagram_length(frame));
    if events::is_watched() {
        let (hook, reason) = (Hook::UplinkXdp as u8, reason as u8);
        events::tell_packet::<Nic>(frame.nic().raw(), hook, reason, frame.length());
    }
    XDP_DROP
}

/// Length at layer 3, in bytes.
#[inline(always)]
fn datagram_length(frame: &Frame) -> u32 {
    const ETHERNET: u32 = 14;
    frame.length().saturating_sub(ETHERNET)
}

/// The context, and what can be sent from it.
struct Sender(Nic);

impl Sender {
    #[inline(always)]
    fn new<A: Tables>(nic: Nic) -> Self {
        // The last frame's.
        maps::set_hop(Hop::<A>::default());
        Self(nic)
    }

    /// Whether the frame can go to `to` by the port `out`, and notes down how.
    ///
    /// A device that is not in the table would lose it without a word, and so would one that it is too long for.
    #[inline(never)]
    fn find<A: Tables>(&self, to: A, out: IfIndex) -> bool {
        if maps::REDIRECTS.get_ifindex(out.0).is_none() {
            return false;
        }
        let Some(port) = world::interface::<A>(out) else {
            return false;
        };
        if !world::fits(&self.0, out) {
            return false;
        }
        let Some(link) = world::neighbour(&self.0, to, port.bridge) else {
            return false;
        };
        maps::set_hop(Hop { out, to, link });
        true
    }
}

impl Context for Sender {
    const MTU_FLAGS: u64 = Nic::MTU_FLAGS;

    #[inline(always)]
    fn raw(&self) -> *mut core::ffi::c_void {
        self.0.raw()
    }

    #[inline(always)]
    fn arrival(&self) -> IfIndex {
        self.0.arrival()
    }

    #[inline(always)]
    fn sends<A: Tables>(&self, to: &FlowKey<A>, way: Way, out: IfIndex) -> bool {
        if way != Way::Peer {
            return false;
        }
        // Asked before the packet is recorded in its flow, and again before it is translated.
        let known = maps::hop::<A>();
        (known.out == out && known.to == to.dst) || self.find(to.dst, out)
    }
}
