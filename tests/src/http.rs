//! HTTP/1.1, as much of it as `curl` and a browser need.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result, ensure};

use crate::{Answer, DEADLINE, Namespace, tcp};

/// A page as a client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status, 200 when all is well.
    pub status: u16,
    /// The client's address as the server saw it.
    pub client: IpAddr,
    /// The whole text.
    pub body: String,
}

/// Gets `path` from `to`, as a client in `namespace`.
pub fn get(namespace: &Namespace, to: impl Into<SocketAddr>, path: &str) -> Result<Page> {
    let to = to.into();
    let mut stream = tcp::connect(namespace, None, to, DEADLINE)?
        .with_context(|| format!("cannot connect from {} to {to}", namespace.name()))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .with_context(|| format!("{to} did not answer"))?;
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer came")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no HTTP status came")?;
    ensure!(body.contains(path), "asked for {path}, got {body:?}");
    let client = body
        .lines()
        .find_map(|line| line.strip_prefix("client: "))
        .and_then(|word| word.parse().ok())
        .context("the page does not say who the client is")?;
    Ok(Page {
        status,
        client,
        body: body.to_owned(),
    })
}

/// Answers the request whose first line was `GET` + `target`, and ends the connection. The page says what `answer` says.
pub(crate) fn serve(mut stream: BufReader<TcpStream>, target: &str, answer: &Answer) -> Result<()> {
    let mut header = String::new();
    while {
        header.clear();
        stream.read_line(&mut header)? > 2
    } {}
    let path = target.split(' ').next().unwrap_or("/");
    let (client, local) = (answer.client, answer.local);
    let body = format!(
        "This is the server at {local}.\nyou asked for: {path}\nclient: {}\nport: {}\n",
        client.ip(),
        client.port(),
    );
    write!(
        stream.get_mut(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )?;
    stream.get_ref().shutdown(Shutdown::Write)?;
    // The client's end, so that no data is left that would turn the close into a reset.
    stream.read_to_end(&mut Vec::new())?;
    stream.get_ref().shutdown(Shutdown::Both)?;
    Ok(())
}
