//! The command line, as the engine writes it and as Go's package `flag` reads it: `-x v`, `-x=v`, `--x v` and `--x=v`
//! are the same, the last of several counts, and a switch takes its value by `=` alone.

use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use netmap_docker_proxy::frame::{Port, Transport};

/// What the engine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// A port carried.
    Carry(Carry),
    /// The version told.
    Version,
    /// The flags told.
    Help,
}

/// A port to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carry {
    pub(crate) port: Port,
    /// File descriptor 4 is a socket that the engine has bound to it.
    pub(crate) has_socket: bool,
    /// Where netmap listens, if not where the environment or nobody says.
    pub(crate) socket: Option<PathBuf>,
    /// Whether another program carries the port when no netmap is there, as in `NETMAP_FALLBACK`.
    pub(crate) fallback: Option<OsString>,
    /// The arguments for that program: all but the two above.
    pub(crate) engine: Vec<OsString>,
}

/// What is known, and what Go's flag package would say of it.
pub(crate) const USAGE: &str = "\
Usage of netmap-docker-proxy:
  -proto string             tcp or udp (default tcp)
  -host-ip string           address of this host
  -host-port int            port of this host
  -container-ip string      address of the container
  -container-port int       port of the container
  -use-listen-fd            file descriptor 4 is a socket that is bound to the host's port
  -v, -version              print the version
  -socket path              where netmap listens (default $NETMAP_SHIM_SOCKET, or /run/netmap/docker-proxy.sock)
  -fallback[=path]          run the engine's own docker-proxy when netmap is not there (default $NETMAP_FALLBACK)
";

/// Reads the arguments behind the program's own name.
///
/// # Errors
///
/// What is wrong with them, in the words of Go's package where it has some.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, String> {
    let mut given = Given::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = text(&argument)?;
        let Some(flag) = text.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
            break;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.is_empty() {
            break;
        }
        if flag.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {text}"));
        }
        let (name, mut value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let is_own = matches!(name, "socket" | "fallback");
        if !is_own {
            given.engine.push(argument.clone());
        }
        if !is_switch(name)? && value.is_none() {
            let next = arguments
                .next()
                .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
            value = Some(self::text(&next)?.to_owned());
            if !is_own {
                given.engine.push(next);
            }
        }
        if let Some(task) = given.set(name, value)? {
            return Ok(task);
        }
    }
    given.carry().map(Task::Carry)
}

#[derive(Default)]
struct Given {
    proto: Option<String>,
    host_ip: Option<String>,
    host_port: Option<String>,
    container_ip: Option<String>,
    container_port: Option<String>,
    has_socket: bool,
    socket: Option<PathBuf>,
    fallback: Option<OsString>,
    engine: Vec<OsString>,
}

impl Given {
    /// Takes a flag in, or says that it asks for something else than a port.
    fn set(&mut self, name: &str, value: Option<String>) -> Result<Option<Task>, String> {
        match name {
            "proto" => self.proto = value,
            "host-ip" => self.host_ip = value,
            "host-port" => self.host_port = value,
            "container-ip" => self.container_ip = value,
            "container-port" => self.container_port = value,
            "use-listen-fd" => self.has_socket = is_on(name, value.as_deref())?,
            "socket" => self.socket = value.map(PathBuf::from),
            "fallback" => self.fallback = Some(value.unwrap_or_else(|| "1".to_owned()).into()),
            "v" | "version" if is_on(name, value.as_deref())? => return Ok(Some(Task::Version)),
            "h" | "help" => return Ok(Some(Task::Help)),
            _ => {}
        }
        Ok(None)
    }

    fn carry(self) -> Result<Carry, String> {
        let transport = match self.proto.as_deref() {
            None | Some("tcp") => Transport::Tcp,
            Some("udp") => Transport::Udp,
            Some("sctp") => {
                return Err(
                    "netmap publishes tcp and udp ports, no sctp: take this port's /sctp away, or have the engine's \
                     own docker-proxy run"
                        .to_owned(),
                );
            }
            Some(other) => return Err(format!("unsupported protocol {other}")),
        };
        Ok(Carry {
            port: Port {
                transport,
                host: place("host", self.host_ip, self.host_port)?,
                container: place("container", self.container_ip, self.container_port)?,
            },
            has_socket: self.has_socket,
            socket: self.socket,
            fallback: self.fallback,
            engine: self.engine,
        })
    }
}

/// Whether a flag stands for itself; an error if there is none of this name.
fn is_switch(name: &str) -> Result<bool, String> {
    match name {
        "use-listen-fd" | "v" | "version" | "h" | "help" | "fallback" => Ok(true),
        "proto" | "host-ip" | "host-port" | "container-ip" | "container-port" | "socket" => Ok(false),
        _ => Err(format!("flag provided but not defined: -{name}")),
    }
}

/// As Go's `strconv.ParseBool`.
fn is_on(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!(
            "invalid boolean value {other:?} for -{name}: parse error"
        )),
    }
}

fn place(side: &str, ip: Option<String>, port: Option<String>) -> Result<SocketAddr, String> {
    let ip = ip.ok_or_else(|| format!("flag -{side}-ip is missing"))?;
    let address: IpAddr = ip
        .parse()
        .map_err(|_| format!("invalid value {ip:?} for flag -{side}-ip: not an IP address"))?;
    let port = port.ok_or_else(|| format!("flag -{side}-port is missing"))?;
    let number = number(&port).filter(|number| *number != 0);
    let number =
        number.ok_or_else(|| format!("invalid value {port:?} for flag -{side}-port: not a port number"))?;
    Ok(SocketAddr::new(address.to_canonical(), number))
}

/// As Go's `strconv.ParseInt` with base 0: decimal, or as the prefix says.
fn number(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u16::from_str_radix(digits, base).ok()
}

fn text(argument: &OsStr) -> Result<&str, String> {
    argument
        .to_str()
        .ok_or_else(|| format!("an argument that is no text: {}", argument.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &[
        "-proto",
        "udp",
        "-host-ip",
        "0.0.0.0",
        "-host-port",
        "5353",
        "-container-ip",
        "172.17.0.2",
        "-container-port",
        "53",
    ];

    fn read(arguments: &[&str]) -> Result<Task, String> {
        parse(arguments.iter().map(OsString::from))
    }

    fn carried(arguments: &[&str]) -> Carry {
        match read(arguments) {
            Ok(Task::Carry(carry)) => carry,
            other => panic!("{arguments:?} is {other:?}"),
        }
    }

    #[test]
    fn every_way_that_go_writes_flags_is_understood() {
        let port = carried(WANTED).port;
        assert_eq!(port.transport, Transport::Udp);
        assert_eq!(port.host, "0.0.0.0:5353".parse().unwrap());
        assert_eq!(port.container, "172.17.0.2:53".parse().unwrap());
        let pairs = || WANTED.chunks(2).map(|pair| (pair[0], pair[1]));
        let spellings: [Vec<String>; 4] = [
            pairs()
                .flat_map(|(flag, value)| [format!("-{flag}"), value.to_owned()])
                .collect(),
            pairs().map(|(flag, value)| format!("{flag}={value}")).collect(),
            pairs().map(|(flag, value)| format!("-{flag}={value}")).collect(),
            // The last of several counts.
            ["-proto=tcp", "-host-port", "1"]
                .map(str::to_owned)
                .into_iter()
                .chain(WANTED.iter().map(|word| (*word).to_owned()))
                .collect(),
        ];
        for spelling in spellings {
            let words: Vec<&str> = spelling.iter().map(String::as_str).collect();
            assert_eq!(carried(&words).port, port, "{words:?}");
        }
    }

    #[test]
    fn a_switch_takes_its_value_by_an_equals_sign_alone() {
        for (switch, has_socket) in [
            ("-use-listen-fd", true),
            ("--use-listen-fd", true),
            ("-use-listen-fd=true", true),
            ("--use-listen-fd=1", true),
            ("-use-listen-fd=false", false),
            ("-use-listen-fd=F", false),
        ] {
            let words: Vec<&str> = [switch].into_iter().chain(WANTED.iter().copied()).collect();
            assert_eq!(carried(&words).has_socket, has_socket, "{switch}");
        }
        assert!(!carried(WANTED).has_socket);
        assert!(
            read(&["-use-listen-fd=maybe"])
                .unwrap_err()
                .contains("invalid boolean value")
        );
        // What is no flag ends them.
        assert!(
            read(&["-use-listen-fd", "true", "-proto", "tcp"])
                .unwrap_err()
                .contains("-host-ip is missing")
        );
    }

    #[test]
    fn both_families_and_six_to_four_are_understood() {
        for (host, container) in [
            ("::", "172.17.0.2"),
            ("2001:db8::1", "fd00::2"),
            ("::ffff:192.0.2.1", "172.17.0.2"),
        ] {
            let words = [
                "-host-ip",
                host,
                "-host-port",
                "80",
                "-container-ip",
                container,
                "-container-port=80",
            ];
            let host: IpAddr = host.parse().unwrap();
            assert_eq!(carried(&words).port.host.ip(), host.to_canonical());
        }
    }

    #[test]
    fn our_own_flags_are_not_for_the_engines_program() {
        let own = ["-socket", "/x.sock", "--fallback=/usr/bin/docker-proxy"];
        let words: Vec<&str> = own.into_iter().chain(WANTED.iter().copied()).collect();
        let carry = carried(&words);
        assert_eq!(carry.socket, Some("/x.sock".into()));
        assert_eq!(carry.fallback, Some("/usr/bin/docker-proxy".into()));
        assert_eq!(carry.engine, WANTED);
        let words: Vec<&str> = ["-fallback"].into_iter().chain(WANTED.iter().copied()).collect();
        assert_eq!(carried(&words).fallback, Some("1".into()));
    }

    #[test]
    fn the_version_is_asked_for_in_two_words() {
        for word in ["-v", "--v", "-version", "--version", "-version=true"] {
            assert_eq!(read(&[word]), Ok(Task::Version), "{word}");
        }
        assert_eq!(read(&["-h"]), Ok(Task::Help));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence() {
        let with = |more: &[&'static str]| -> Vec<&str> { WANTED.iter().chain(more).copied().collect() };
        for (words, said) in [
            (vec!["-what", "x"], "flag provided but not defined: -what"),
            (vec!["-proto"], "flag needs an argument: -proto"),
            (vec!["---proto=tcp"], "bad flag syntax: ---proto=tcp"),
            (vec!["-=tcp"], "bad flag syntax: -=tcp"),
            (vec![], "flag -host-ip is missing"),
            (with(&["-proto", "sctp"]), "no sctp"),
            (with(&["-proto", "dccp"]), "unsupported protocol dccp"),
            (
                with(&["-host-port", "70000"]),
                "invalid value \"70000\" for flag -host-port",
            ),
            (
                with(&["-container-port", "0"]),
                "invalid value \"0\" for flag -container-port",
            ),
            (
                with(&["-container-port", "-1"]),
                "invalid value \"-1\" for flag -container-port",
            ),
            (
                with(&["-host-ip", "localhost"]),
                "invalid value \"localhost\" for flag -host-ip",
            ),
        ] {
            let refused = read(&words).unwrap_err();
            assert!(refused.contains(said), "{words:?}: {refused}");
        }
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("80", Some(80)),
            ("0x50", Some(80)),
            ("0o120", Some(80)),
            ("0120", Some(80)),
            ("0b1010000", Some(80)),
            ("+80", Some(80)),
            ("65536", None),
            ("", None),
            ("0x", None),
            ("8a", None),
            ("++80", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
