//! What is asked: one packet, as its sender wrote it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use netmap_common::maps::Protocol;

/// The source port, or echo identifier, where none is given: one that a client's kernel might choose.
const USUAL_PORT: u16 = 40_000;

/// A packet to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its transport.
    pub protocol: Protocol,
    /// Who sends it; of an echo, the port is the identifier.
    pub from: SocketAddr,
    /// To whom; of an echo, the port is 0.
    pub to: SocketAddr,
    /// It is one in the middle of a connection (TCP without SYN, an echo reply), not the one that opens it.
    pub established: bool,
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Neither an address nor an address with a port.
    #[error("'{0}' is no address with a port, as in 192.0.2.7:40000 or [2001:db8::7]:40000")]
    End(String),
    /// The destination has no port.
    #[error("'{0}' lacks the port, as in 192.0.2.1:8080/tcp")]
    NoPort(String),
    /// No transport that netmap carries.
    #[error("'{0}' is no protocol: tcp, udp or icmp")]
    Protocol(String),
    /// One IPv4, one IPv6.
    #[error("{0} and {1} are of different families: no packet has both")]
    Families(IpAddr, IpAddr),
}

impl Question {
    /// The packet from `from`, as in `192.0.2.7:40000`, to `to`, as in `192.0.2.1:8080/tcp`. Without a protocol it is TCP;
    /// the source's port may be left out.
    ///
    /// # Errors
    ///
    /// See [`QuestionError`].
    pub fn parse(from: &str, to: &str) -> Result<Self, QuestionError> {
        let (to, protocol) = to.rsplit_once('/').unwrap_or((to, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "icmp" | "icmpv6" => Protocol::Icmp,
            _ => return Err(QuestionError::Protocol(protocol.to_owned())),
        };
        let (source, source_port) = end(from)?;
        let (target, target_port) = end(to)?;
        if source.is_ipv4() != target.is_ipv4() {
            return Err(QuestionError::Families(source, target));
        }
        let target_port = match (protocol, target_port) {
            (Protocol::Icmp, _) => 0,
            (_, Some(port)) if port != 0 => port,
            _ => return Err(QuestionError::NoPort(to.to_owned())),
        };
        Ok(Self {
            protocol,
            from: SocketAddr::new(source, source_port.unwrap_or(USUAL_PORT)),
            to: SocketAddr::new(target, target_port),
            established: false,
        })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => write!(f, "icmp echo {} -> {}", self.from.ip(), self.to.ip()),
            protocol => write!(f, "{} {} -> {}", protocol.name(), self.from, self.to),
        }
    }
}

fn end(text: &str) -> Result<(IpAddr, Option<u16>), QuestionError> {
    if let Ok(end) = text.parse::<SocketAddr>() {
        return Ok((end.ip(), Some(end.port())));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    match bare.parse() {
        Ok(address) => Ok((address, None)),
        Err(_) => Err(QuestionError::End(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_they_are_written_elsewhere() {
        let question = Question::parse("192.0.2.7:4711", "192.0.2.1:8080/udp").unwrap();
        assert_eq!(question.to_string(), "udp 192.0.2.7:4711 -> 192.0.2.1:8080");
        let question = Question::parse("[2001:db8::7]:1", "[2001:db8::1]:8080").unwrap();
        assert_eq!(question.to_string(), "tcp [2001:db8::7]:1 -> [2001:db8::1]:8080");
        let question = Question::parse("2001:db8::7", "[2001:db8::1]:8080/TCP").unwrap();
        assert_eq!(question.from.port(), USUAL_PORT);
        let echo = Question::parse("172.17.0.2", "192.0.2.9/icmp").unwrap();
        assert_eq!(echo.to_string(), "icmp echo 172.17.0.2 -> 192.0.2.9");
    }

    #[test]
    fn what_is_no_packet_is_refused_with_what_is_missing() {
        let refused = |from, to| Question::parse(from, to).unwrap_err().to_string();
        assert_eq!(
            refused("192.0.2.7", "192.0.2.1"),
            "'192.0.2.1' lacks the port, as in 192.0.2.1:8080/tcp"
        );
        assert_eq!(
            refused("192.0.2.7", "192.0.2.1:80/sctp"),
            "'sctp' is no protocol: tcp, udp or icmp"
        );
        assert!(refused("web", "192.0.2.1:80").starts_with("'web' is no address"));
        assert!(refused("192.0.2.7", "[2001:db8::1]:80").contains("different families"));
    }
}
