//! The socket hooks. Only files of this folder touch their contexts.

mod answer;
mod call;
mod connect;
mod family;
mod hold;
mod steer;

pub(crate) use answer::{getpeername4, getpeername6, recvmsg4, recvmsg6};
pub(crate) use connect::{connect4, connect6, sendmsg4, sendmsg6};
pub(crate) use hold::{hold4, hold6};
pub(crate) use steer::steer;

/// The system call goes on.
const ALLOW: i32 = 1;
