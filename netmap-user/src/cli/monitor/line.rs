//! An event in a line, for people.

use std::{
    env,
    fmt::{self, Display},
    io::{self, Write},
    net::IpAddr,
};

use crate::{
    api::{
        events::{self, Ends, Event, Happening, Packet, Rule},
        types::Attachment,
    },
    binding::Bracketed,
    cli::output,
};

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style(bool);

impl Style {
    /// Colours on a terminal, unless its user wants none (<https://no-color.org>).
    pub(super) fn new(is_terminal: bool) -> Self {
        let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(is_terminal && !is_unwanted && !is_dumb)
    }
}

/// SGR parameters of ECMA-48.
#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
    Grey = 90,
}

/// Prints one.
pub(super) fn write(out: &mut impl Write, event: &Event, style: Style) -> io::Result<()> {
    // Of 2026-11-23T18:31:02.123456Z, whoever watches knows the day.
    let time = event.time.get(11..23).unwrap_or(&event.time);
    let (colour, word) = title(&event.what);
    let text = Text(&event.what);
    if style.0 {
        let colour = colour as u8;
        writeln!(out, "\x1b[90m{time}\x1b[0m \x1b[{colour}m{word:<9}\x1b[0m {text}")
    } else {
        writeln!(out, "{time} {word:<9} {text}")
    }
}

const fn title(what: &Happening) -> (Colour, &'static str) {
    match what {
        Happening::Watching(_) => (Colour::Grey, "watching"),
        Happening::PacketDropped(_) => (Colour::Red, "dropped"),
        Happening::PacketPassed(_) => (Colour::Yellow, "passed"),
        Happening::FlowOpened(_) => (Colour::Green, "opened"),
        Happening::FlowClosed(_) => (Colour::Grey, "closed"),
        Happening::RulePublished(_) => (Colour::Cyan, "published"),
        Happening::RuleUnpublished(_) => (Colour::Cyan, "taken"),
        Happening::EndpointFound(_) => (Colour::Cyan, "found"),
        Happening::EndpointLost(_) => (Colour::Cyan, "lost"),
        Happening::Attached(_) => (Colour::Cyan, "attached"),
        Happening::Detached(_) => (Colour::Cyan, "detached"),
        Happening::Missed(_) => (Colour::Red, "missed"),
    }
}

/// The rest of the line.
struct Text<'event>(&'event Happening);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Happening::Watching(daemon) => write!(f, "netmap {}", daemon.version),
            Happening::PacketDropped(packet) | Happening::PacketPassed(packet) => write_packet(f, packet),
            Happening::FlowOpened(flow) => {
                write!(f, "{} {} ", flow.kind, flow.protocol)?;
                write_ends(f, &flow.original, &flow.translated)?;
                write!(f, " from {}", flow.interface)?;
                match &flow.out {
                    Some(out) => write!(f, " to {out}"),
                    None => write!(f, " by the host's stack"),
                }
            }
            Happening::FlowClosed(flow) => {
                write!(f, "{} {} ", flow.kind, flow.protocol)?;
                write_ends(f, &flow.original, &flow.translated)?;
                write!(
                    f,
                    " {} after {}, idle for {}, {}/{} packets, {}/{} bytes",
                    flow.state,
                    output::duration(flow.age_seconds.into()),
                    output::duration(flow.idle_seconds.into()),
                    flow.packets_original,
                    flow.packets_reply,
                    flow.bytes_original,
                    flow.bytes_reply
                )
            }
            Happening::RulePublished(rule) | Happening::RuleUnpublished(rule) => write_rule(f, rule),
            Happening::EndpointFound(endpoint) => {
                write!(f, "container {} ", endpoint.address)?;
                match &endpoint.interface {
                    Some(interface) => write!(f, "behind {interface} ({})", endpoint.way),
                    None => write!(f, "by the host's stack"),
                }
            }
            Happening::EndpointLost(endpoint) => {
                write!(f, "container {}: nobody knows where it is", endpoint.address)
            }
            Happening::Attached(attachment) | Happening::Detached(attachment) => {
                write_attachment(f, attachment)
            }
            Happening::Missed(missed) => write!(
                f,
                "{} events: more than could be told; filters help",
                missed.count
            ),
        }
    }
}

fn write_packet(f: &mut fmt::Formatter<'_>, packet: &Packet) -> fmt::Result {
    write!(
        f,
        "{} {}",
        packet.reason,
        packet.protocol.as_deref().unwrap_or("?")
    )?;
    if let (Some(src), Some(dst)) = (packet.src, packet.dst) {
        f.write_str(" ")?;
        write_end(f, src, packet.sport)?;
        f.write_str("->")?;
        write_end(f, dst, packet.dport)?;
    }
    write!(
        f,
        " {} bytes at {} {}",
        packet.length, packet.interface, packet.hook
    )?;
    match events::reason(&packet.reason) {
        Some(reason) => write!(f, ": {}", reason.meaning()),
        None => Ok(()),
    }
}

/// Not every protocol has ports.
fn write_end(f: &mut fmt::Formatter<'_>, address: IpAddr, port: Option<u16>) -> fmt::Result {
    match port {
        Some(port) => write!(f, "{}:{port}", Bracketed(address)),
        None => write!(f, "{address}"),
    }
}

/// As it came and, if that is something else, as it went on.
fn write_ends(f: &mut fmt::Formatter<'_>, original: &Ends, translated: &Ends) -> fmt::Result {
    write!(f, "{original}")?;
    if original != translated {
        write!(f, " as {translated}")?;
    }
    Ok(())
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &Rule) -> fmt::Result {
    let (host, container) = (Bracketed(rule.host), Bracketed(rule.container));
    write!(f, "{host}:")?;
    write_span(f, rule.port, rule.end)?;
    write!(f, "->{container}:")?;
    write_span(f, rule.container_port, rule.container_end)?;
    write!(f, "/{}", rule.protocol)?;
    for (number, source) in rule.allow.iter().enumerate() {
        write!(f, "{}{source}", if number == 0 { " for " } else { ", " })?;
    }
    Ok(())
}

fn write_span(f: &mut fmt::Formatter<'_>, first: u16, last: u16) -> fmt::Result {
    if first == last {
        write!(f, "{first}")
    } else {
        write!(f, "{first}-{last}")
    }
}

fn write_attachment(f: &mut fmt::Formatter<'_>, attachment: &Attachment) -> fmt::Result {
    let Attachment {
        interface,
        role,
        hook,
        mode,
    } = attachment;
    write!(f, "{interface} ({role}) {hook} by {mode}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::events::samples;

    fn printed(style: Style) -> Vec<String> {
        let events = samples::all().into_iter();
        let lines = events.map(|event| {
            let mut out = Vec::new();
            write(&mut out, &event, style).unwrap();
            String::from_utf8(out).unwrap()
        });
        lines.collect()
    }

    #[test]
    fn every_event_is_one_line_that_says_all() {
        let expected = [
            "18:31:02.123 watching  netmap 1.2.3\n",
            "18:31:02.123 dropped   not-allowed tcp 10.0.0.9:4242->192.0.2.1:8080 74 bytes at up0 uplink-in: The source is not in \
             the rule's allow-list.\n",
            "18:31:02.123 passed    other-protocol 47 fd00::9->fd00::1 90 bytes at up0 uplink-in: Neither TCP, UDP nor ICMP.\n",
            "18:31:02.123 opened    published tcp 10.0.0.9:4242->192.0.2.1:8080 as 10.0.0.9:4242->172.30.1.2:80 from up0 to veth1\n",
            "18:31:02.123 closed    published tcp 10.0.0.9:4242->192.0.2.1:8080 as 10.0.0.9:4242->172.30.1.2:80 closed after 1m 5s, \
             idle for 2s, 6/5 packets, 482/607 bytes\n",
            "18:31:02.123 published 0.0.0.0:8080-8081->172.30.1.2:80-81/tcp for 10.0.0.0/8\n",
            "18:31:02.123 taken     0.0.0.0:8080-8081->172.30.1.2:80-81/tcp for 10.0.0.0/8\n",
            "18:31:02.123 found     container 172.30.1.2 behind veth1 (peer)\n",
            "18:31:02.123 lost      container 172.30.1.2: nobody knows where it is\n",
            "18:31:02.123 attached  veth1 (port) ingress by tcx\n",
            "18:31:02.123 detached  veth1 (port) ingress by tcx\n",
            "18:31:02.123 missed    7 events: more than could be told; filters help\n",
        ];
        assert_eq!(printed(Style(false)), expected);
    }

    #[test]
    fn colours_are_the_terminals_alone() {
        assert!(!Style::new(false).0);
        let plain = printed(Style(false));
        for (coloured, plain) in printed(Style(true)).iter().zip(plain) {
            assert!(coloured.contains("\x1b["));
            let mut bare = String::new();
            for (number, part) in coloured.split('\x1b').enumerate() {
                let text = if number == 0 {
                    part
                } else {
                    part.split_once('m').unwrap().1
                };
                bare.push_str(text);
            }
            assert_eq!(bare, plain);
        }
    }
}
