//! A program under test, over and over on a fresh packet.

use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, btf_maps::ProgramArray, macros::btf_map, programs::TcContext,
};

use crate::frame;

/// What is returned when there is no program to hand over to.
const NOBODY: i32 = 77;

/// The program under test, at 0.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> i32 {
    let skb = ctx.as_ptr().cast::<__sk_buff>();
    // SAFETY: the context is the program's own, and the mark may be written.
    unsafe { addr_of_mut!((*skb).mark).write_volatile(0) };
    if !frame::write_next(ctx.data(), ctx.data_end()) {
        return NOBODY - 1;
    }
    // SAFETY: no value here has a destructor to miss.
    unsafe { TARGET.tail_call(ctx, 0) };
    NOBODY
}
