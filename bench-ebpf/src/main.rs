//! What the benchmarks send and count packets with: entries only.
#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand contexts over by value"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a packet's fields are pieces of wider words, and helpers return 64-bit words that hold less"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a field is one thing: its address and the volatile access to it"
)]

mod frame;
mod pace;
mod replay;
mod sink;

use aya_ebpf::{
    Global,
    bindings::xdp_action,
    helpers::generated::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// The interface into whose peer the generator sends.
#[unsafe(no_mangle)]
static INTERFACE: Global<u32> = Global::new(0);

/// Runs on live frames of `BPF_PROG_TEST_RUN`: makes each the next packet, or drops it to keep the pace.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    if !pace::is_open() {
        return xdp_action::XDP_DROP;
    }
    if !frame::write_next(ctx.data(), ctx.data_end()) {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: takes numbers only.
    let verdict = unsafe { bpf_redirect(INTERFACE.load(), 0) };
    verdict as u32
}

/// TC ingress of the receiver: counts the generator's packets, and drops them.
#[classifier]
fn sink(ctx: TcContext) -> i32 {
    sink::take(&ctx)
}

/// Runs on the frame of `BPF_PROG_TEST_RUN`, which a repeated run would else find as the run before has left it: makes
/// it the next packet, then hands over to the program under test.
#[classifier]
fn replay(ctx: TcContext) -> i32 {
    replay::run(&ctx)
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
