//! netmap's programs: entries only. What they do stands in `netmap_common::nat`.
#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand contexts over by value"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "helpers take and return 64-bit words that hold less"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a context's field is one thing: its address and the volatile read of it"
)]

mod events;
mod forward;
mod maps;
mod packet;
mod sockets;
mod wire;
mod world;
mod xdp;

use aya_ebpf::{
    macros::{cgroup_sock_addr, classifier, sk_lookup, xdp},
    programs::{SkLookupContext, SockAddrContext, TcContext, XdpContext},
};
use netmap_common::{maps::Hook, nat::Part};

/// TC ingress of an uplink: to published ports, and answers to containers.
#[classifier]
fn uplink_in(ctx: TcContext) -> i32 {
    forward::run(&ctx, Hook::UplinkIn)
}

/// Native XDP of an uplink: the same for what a port takes without the kernel making a packet of it.
#[xdp(frags)]
fn uplink_xdp(ctx: XdpContext) -> u32 {
    xdp::run(&ctx)
}

/// TC egress of an uplink: what the host's stack forwards by itself.
#[classifier]
fn uplink_out(ctx: TcContext) -> i32 {
    forward::run(&ctx, Hook::UplinkOut)
}

/// TC ingress of a container's port: its answers, its way out, and its way to published ports.
#[classifier]
fn port_in(ctx: TcContext) -> i32 {
    forward::run(&ctx, Hook::PortIn)
}

/// TC ingress of a bridge: what came from a port before that had its hook.
#[classifier]
fn bridge_in(ctx: TcContext) -> i32 {
    forward::run(&ctx, Hook::BridgeIn)
}

/// Not attached: the daemon runs it with a fragment that it has held, to put it back where it came from.
#[classifier]
fn resume(ctx: TcContext) -> i32 {
    forward::resume(&ctx)
}

/// A program for one part of the data path at one hook, for IPv6.
macro_rules! ipv6 {
    ($($hook:ident { $known:ident, $open:ident, $other:ident })+) => {$(
        ipv6!($hook, $known, Known);
        ipv6!($hook, $open, Open);
        ipv6!($hook, $other, Other);
    )+};
    ($hook:ident, $name:ident, $part:ident) => {
        #[classifier]
        fn $name(ctx: TcContext) -> i32 {
            forward::run_ipv6(&ctx, Hook::$hook, Part::$part)
        }
    };
}

ipv6! {
    UplinkIn { uplink_in6, uplink_in6_open, uplink_in6_other }
    UplinkOut { uplink_out6, uplink_out6_open, uplink_out6_other }
    PortIn { port_in6, port_in6_open, port_in6_other }
    BridgeIn { bridge_in6, bridge_in6_open, bridge_in6_other }
}

/// What [`uplink_xdp`] finds to be IPv6.
#[xdp(frags)]
fn uplink_xdp6(ctx: XdpContext) -> u32 {
    xdp::run_ipv6(&ctx, Part::Known)
}

/// What of it may open a flow.
#[xdp(frags)]
fn uplink_xdp6_open(ctx: XdpContext) -> u32 {
    xdp::run_ipv6(&ctx, Part::Open)
}

/// Published ports to the proxy's sockets, for packets that reach the host itself.
#[sk_lookup]
fn steer(ctx: SkLookupContext) -> u32 {
    sockets::steer(&ctx)
}

/// Keeps other programs of the host from binding published ports.
#[cgroup_sock_addr(bind4)]
fn hold(ctx: SockAddrContext) -> i32 {
    sockets::hold4(&ctx)
}

/// The same for IPv6 sockets.
#[cgroup_sock_addr(bind6)]
fn hold6(ctx: SockAddrContext) -> i32 {
    sockets::hold6(&ctx)
}

/// The host's own connections to its published ports, straight to the container.
#[cgroup_sock_addr(connect4)]
fn connect4(ctx: SockAddrContext) -> i32 {
    sockets::connect4(&ctx)
}

/// The same for IPv6 sockets, to either family.
#[cgroup_sock_addr(connect6)]
fn connect6(ctx: SockAddrContext) -> i32 {
    sockets::connect6(&ctx)
}

/// The same for datagrams of unconnected sockets.
#[cgroup_sock_addr(sendmsg4)]
fn sendmsg4(ctx: SockAddrContext) -> i32 {
    sockets::sendmsg4(&ctx)
}

/// The same for IPv6 datagrams.
#[cgroup_sock_addr(sendmsg6)]
fn sendmsg6(ctx: SockAddrContext) -> i32 {
    sockets::sendmsg6(&ctx)
}

/// Their answers, from the address that was asked.
#[cgroup_sock_addr(recvmsg4)]
fn recvmsg4(ctx: SockAddrContext) -> i32 {
    sockets::recvmsg4(&ctx)
}

/// The same for IPv6 sockets, from either family.
#[cgroup_sock_addr(recvmsg6)]
fn recvmsg6(ctx: SockAddrContext) -> i32 {
    sockets::recvmsg6(&ctx)
}

/// The peer that was asked for, not the container.
#[cgroup_sock_addr(getpeername4)]
fn getpeername4(ctx: SockAddrContext) -> i32 {
    sockets::getpeername4(&ctx)
}

/// The same for IPv6 sockets.
#[cgroup_sock_addr(getpeername6)]
fn getpeername6(ctx: SockAddrContext) -> i32 {
    sockets::getpeername6(&ctx)
}

/// Accepted by the kernel for helpers that only GPL-compatible programs may call.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never runs: a program that could panic does not load.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
