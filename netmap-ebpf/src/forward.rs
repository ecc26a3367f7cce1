//! Runs the NAT at a TC hook, counts what it decided, and does it.

use aya_ebpf::{EbpfContext as _, programs::TcContext};
use netmap_common::{
    maps::{Address, Address6, Class, Hook, Reason},
    nat::{self, Packet as _, Part, Step, Verdict},
};

use crate::{
    events,
    maps::{self, Tables},
    packet::{Frame, Tc},
    world::{Context as _, Kernel},
};

/// Lets the next program see the packet, then the host. `TC_ACT_OK` would silence other programs.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`.
const DROP: i32 = 2;

#[inline(always)]
pub(crate) fn run(ctx: &TcContext, hook: Hook) -> i32 {
    let mut frame = Frame::new(ctx.as_ptr().cast());
    if matches!(hook, Hook::UplinkOut | Hook::BridgeIn) && frame.is_done() {
        if hook == Hook::BridgeIn {
            // The host's own rules shall not see it.
            frame.set_done(false);
        }
        return leave(&frame, hook, Reason::Done);
    }
    if frame.is_ipv6() {
        maps::go_on(ctx, hook, Part::Known);
        return leave(&frame, hook, Reason::NotIp);
    }
    translate::<Address>(ctx, frame, hook, Part::Whole)
}

/// Puts back what the daemon has held.
#[inline(always)]
pub(crate) fn resume(ctx: &TcContext) -> i32 {
    Frame::new(ctx.as_ptr().cast()).resume()
}

/// A part of the same for what the first program has found to be IPv6.
#[inline(always)]
pub(crate) fn run_ipv6(ctx: &TcContext, hook: Hook, part: Part) -> i32 {
    translate::<Address6>(ctx, Frame::new(ctx.as_ptr().cast()), hook, part)
}

#[inline(always)]
fn translate<A: Tables>(ctx: &TcContext, mut frame: Frame, hook: Hook, part: Part) -> i32 {
    let length = datagram_length(&frame);
    let kernel = Kernel::<_, A>::new(frame.context());
    let result = nat::process_part(&mut frame, &kernel, hook, part);
    // What was held is as any other from here on.
    let is_over = !matches!(result, Ok(Step::Next(_)));
    if is_over && matches!(hook, Hook::UplinkIn | Hook::PortIn) && frame.is_done() {
        frame.set_done(false);
    }
    match result {
        Ok(Step::Done(carried)) => {
            maps::count(hook, carried.reason, length);
            match carried.verdict {
                Verdict::Peer(out) => frame.redirect_peer(out),
                Verdict::Neigh(out) => frame.redirect_neigh(out),
                Verdict::Stack => NEXT,
            }
        }
        Ok(Step::Next(part)) => {
            maps::go_on(ctx, hook, part);
            leave(&frame, hook, Reason::NotIp)
        }
        Err(reason) => {
            // The bridge's hook, which comes next, would find the same out again.
            if hook == Hook::PortIn && reason == Reason::ToHost {
                frame.set_done(true);
            }
            let verdict = leave(&frame, hook, reason);
            if events::is_watched() {
                events::tell_packet::<Tc>(frame.context().raw(), hook as u8, reason as u8, frame.length());
            }
            // Only what would open a flow is told; the other parts have not the stack for it.
            let may_tell = matches!(part, Part::Whole | Part::Open);
            if may_tell && reason.is_told() && nat::tell(&mut frame, &kernel, hook).is_ok() {
                maps::count(hook, Reason::Prohibited, datagram_length(&frame));
                return frame.turn_back(frame.context().arrival());
            }
            verdict
        }
    }
}

#[inline(always)]
fn leave(frame: &Frame, hook: Hook, reason: Reason) -> i32 {
    maps::count(hook, reason, datagram_length(frame));
    match reason.class() {
        Class::Dropped => DROP,
        // The daemon has a copy.
        Class::Carried if reason == Reason::FragmentHeld => DROP,
        Class::Passed | Class::Carried => NEXT,
    }
}

/// Length at layer 3, in bytes.
#[inline(always)]
fn datagram_length(frame: &Frame) -> u32 {
    const ETHERNET: u32 = 14;
    frame.length().saturating_sub(ETHERNET)
}
