//! The daemon's API by hand, for requests that the command line does not make.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{DEADLINE, Netmap};

/// Posts a JSON document; the answer with its head, whatever it is.
pub fn post(netmap: &Netmap, path: &str, body: &Value) -> Result<String> {
    let body = serde_json::to_vec(body)?;
    let mut stream = UnixStream::connect(netmap.socket()).context("netmap does not listen")?;
    stream.set_read_timeout(Some(3 * DEADLINE))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: netmap\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
