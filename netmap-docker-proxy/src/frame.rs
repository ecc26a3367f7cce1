//! The two frames: what a proxy asks, [`SIZE`] bytes, and what it hears, a byte and a sentence.
//!
//! A connection lasts as long as its proxy: the daemon takes its end for the proxy's. The socket that a proxy has
//! inherited goes with the frame (`SCM_RIGHTS`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of a [`Request`].
pub const SIZE: usize = 48;
/// The most bytes of an [`Answer`].
pub const MOST: usize = 1024;

const MAGIC: [u8; 4] = *b"nmdp";
const VERSION: u8 = 1;
const HAS_SOCKET: u8 = 1;

/// A transport that has ports to publish, by its protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl Transport {
    /// Its name, as in `-proto tcp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of this host that leads to one of a container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The transport.
    pub transport: Transport,
    /// The address of this host, which may be the wildcard of its family, and the port.
    pub host: SocketAddr,
    /// The container's.
    pub container: SocketAddr,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// Carry this port for as long as this connection lasts, and until somebody comes for it if it ends without a word.
    Publish = 1,
    /// Carry it no longer.
    Unpublish = 2,
}

/// What a proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub verb: Verb,
    /// Of which port.
    pub port: Port,
    /// Whether a socket comes with it that is bound to that port.
    pub has_socket: bool,
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Somebody else's bytes, or of another version of netmap.
    Unknown,
    /// No such verb, transport or port.
    Malformed,
}

impl FrameError {
    /// Why, as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "netmap-docker-proxy is not of the same version as the netmap that runs",
            Self::Malformed => "netmap-docker-proxy asked for something that is no port",
        }
    }
}

impl Request {
    /// The request as bytes: all numbers in network byte order, IPv4 addresses as mapped ones.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let fields = MAGIC.into_iter().chain([
            VERSION,
            self.verb as u8,
            self.port.transport as u8,
            if self.has_socket { HAS_SOCKET } else { 0 },
        ]);
        let places = [self.port.host, self.port.container].map(place);
        for (byte, value) in bytes.iter_mut().zip(fields.chain(places.into_iter().flatten())) {
            *byte = value;
        }
        bytes
    }

    /// The request that these bytes are.
    ///
    /// # Errors
    ///
    /// They are none.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<Self, FrameError> {
        let (head, rest) = bytes.split_at(8);
        let [magic @ .., version, verb, transport, flags] = head else {
            return Err(FrameError::Unknown);
        };
        if *magic != MAGIC || *version != VERSION {
            return Err(FrameError::Unknown);
        }
        let verb = match verb {
            1 => Verb::Publish,
            2 => Verb::Unpublish,
            _ => return Err(FrameError::Malformed),
        };
        let transport = match transport {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            _ => return Err(FrameError::Malformed),
        };
        let (host, rest) = rest.split_at(PLACE);
        let (container, _) = rest.split_at(PLACE);
        let (Some(host), Some(container)) = (read_place(host), read_place(container)) else {
            return Err(FrameError::Malformed);
        };
        Ok(Self {
            verb,
            port: Port {
                transport,
                host,
                container,
            },
            has_socket: flags & HAS_SOCKET != 0,
        })
    }
}

/// Bytes of an address and a port.
const PLACE: usize = 18;

fn place(place: SocketAddr) -> [u8; PLACE] {
    let address = match place.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut bytes = [0; PLACE];
    let octets = address.octets().into_iter().chain(place.port().to_be_bytes());
    for (byte, value) in bytes.iter_mut().zip(octets) {
        *byte = value;
    }
    bytes
}

/// `None` for port 0.
fn read_place(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(*port.first_chunk()?);
    let address = Ipv6Addr::from(*address).to_canonical();
    (port != 0).then(|| SocketAddr::new(address, port))
}

/// What a proxy hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'text> {
    /// It is done.
    Done,
    /// It is not, and this says why.
    Refused(&'text str),
}

impl<'text> Answer<'text> {
    /// Writes the answer; how many bytes of `bytes` it takes. A sentence that is too long is cut.
    pub fn encode(self, bytes: &mut [u8; MOST]) -> usize {
        let (kind, text) = match self {
            Self::Done => (0, ""),
            Self::Refused(text) => (1, text),
        };
        let mut length = text.len().min(MOST - 3);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let [high, low] = u16::try_from(length).unwrap_or_default().to_be_bytes();
        let text = text.bytes().take(length);
        for (byte, value) in bytes.iter_mut().zip([kind, high, low].into_iter().chain(text)) {
            *byte = value;
        }
        3 + length
    }

    /// The first answer in what has arrived so far, and its length; `None` until all of it is there.
    pub fn decode(bytes: &'text [u8]) -> Option<(Self, usize)> {
        let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let text = rest.get(..length)?;
        let answer = match kind {
            0 => Self::Done,
            _ => Self::Refused(std::str::from_utf8(text).unwrap_or("netmap refused")),
        };
        Some((answer, 3 + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str, container: &str) -> Request {
        Request {
            verb: Verb::Publish,
            port: Port {
                transport: Transport::Udp,
                host: host.parse().unwrap(),
                container: container.parse().unwrap(),
            },
            has_socket: true,
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for (host, container) in [
            ("0.0.0.0:8080", "172.17.0.2:80"),
            ("[::]:8080", "172.17.0.2:80"),
            ("[2001:db8::1]:53", "[fd00::2]:5353"),
        ] {
            let request = request(host, container);
            assert_eq!(Request::decode(&request.encode()), Ok(request));
            let other = Request {
                verb: Verb::Unpublish,
                has_socket: false,
                ..request
            };
            assert_eq!(Request::decode(&other.encode()), Ok(other));
        }
    }

    #[test]
    fn the_bytes_of_a_request_are_these() {
        let bytes = request("192.0.2.1:8080", "[fd00::2]:80").encode();
        let mut expected = [0; SIZE];
        expected[..8].copy_from_slice(b"nmdp\x01\x01\x11\x01");
        expected[18..26].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1, 0x1f, 0x90]);
        expected[26..28].copy_from_slice(&[0xfd, 0]);
        expected[41..44].copy_from_slice(&[2, 0, 80]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        let good = request("0.0.0.0:8080", "172.17.0.2:80").encode();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Request::decode(&bytes)
        };
        assert_eq!(Request::decode(&[0; SIZE]), Err(FrameError::Unknown));
        assert_eq!(with(0, b'N'), Err(FrameError::Unknown));
        assert_eq!(with(4, 2), Err(FrameError::Unknown));
        assert_eq!(with(5, 3), Err(FrameError::Malformed));
        // SCTP.
        assert_eq!(with(6, 132), Err(FrameError::Malformed));
        let mut portless = good;
        portless[24..26].fill(0);
        assert_eq!(Request::decode(&portless), Err(FrameError::Malformed));
    }

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there() {
        let mut bytes = [0; MOST];
        let length = Answer::Refused("no, thank you").encode(&mut bytes);
        for part in 0..length {
            assert_eq!(Answer::decode(&bytes[..part]), None);
        }
        let (answer, taken) = Answer::decode(&bytes).unwrap();
        assert_eq!((answer, taken), (Answer::Refused("no, thank you"), length));
        let length = Answer::Done.encode(&mut bytes);
        assert_eq!(Answer::decode(&bytes[..length]), Some((Answer::Done, 3)));
    }

    #[test]
    fn a_sentence_that_is_too_long_is_cut_between_letters() {
        let mut bytes = [0; MOST];
        let length = Answer::Refused(&"ä".repeat(1_000)).encode(&mut bytes);
        let Some((Answer::Refused(text), taken)) = Answer::decode(&bytes[..length]) else {
            panic!("no refusal");
        };
        assert_eq!((text.chars().count(), taken), (510, length));
    }
}
