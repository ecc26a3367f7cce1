//! How long flows may idle (`netmap run --timeout`).

use netmap_common::{
    maps::Seconds,
    nat::{LifetimeClass, Lifetimes},
};

use super::OptionError;

/// The longest timeout, a year.
pub const MAX_TIMEOUT: u32 = 31_536_000;

/// How long flows of one kind may idle, as in `udp-answered=300`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(LifetimeClass, Seconds);

impl Timeout {
    /// A kind's name and seconds.
    ///
    /// # Errors
    ///
    /// There is no such kind, no such number, or it is less than RFCs allow.
    pub fn new(kind: &str, seconds: &str) -> Result<Self, OptionError> {
        let class = LifetimeClass::ALL.into_iter().find(|class| class.name() == kind);
        let class = class.ok_or_else(|| OptionError::UnknownTimeout(kind.to_owned()))?;
        let given = seconds.parse().ok().filter(|seconds| *seconds <= MAX_TIMEOUT);
        let given = given.ok_or_else(|| OptionError::BadTimeout(format!("{kind}={seconds}")))?;
        let (Seconds(least), why) = class.floor();
        if given < least {
            let name = class.name();
            return Err(OptionError::ShortTimeout {
                name,
                given,
                least,
                why,
            });
        }
        Ok(Self(class, Seconds(given)))
    }
}

impl std::str::FromStr for Timeout {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (kind, seconds) = text
            .split_once('=')
            .ok_or_else(|| OptionError::BadTimeout(text.to_owned()))?;
        Self::new(kind, seconds)
    }
}

/// The default lifetimes, and these in their place; the last of a kind counts.
pub fn lifetimes(timeouts: impl IntoIterator<Item = Timeout>) -> Lifetimes {
    let mut lifetimes = Lifetimes::default();
    for Timeout(class, seconds) in timeouts {
        lifetimes.set(class, seconds);
    }
    lifetimes
}

/// What is said of flows of one kind; the last word counts.
pub fn timeout_of(timeouts: &[Timeout], class: LifetimeClass) -> Option<Seconds> {
    let mut latest = timeouts.iter().rev();
    latest.find(|timeout| timeout.0 == class).map(|timeout| timeout.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_below_what_an_rfc_wants_is_refused_with_its_words() {
        let refused = |text: &str| text.parse::<Timeout>().unwrap_err().to_string();
        assert_eq!(
            refused("tcp-established=3600"),
            "tcp-established may not be 3600: at least 7440 seconds (RFC 5382, REQ-5: not less than 2 hours 4 minutes)"
        );
        assert!(refused("udp-answered=119").contains("RFC 4787, REQ-5"));
        assert!(refused("icmp-echo=59").contains("RFC 5508, REQ-2"));
        assert!(refused("udp=300").starts_with("\"udp\" is no kind of flow; use tcp-established, tcp-"));
        for text in [
            "udp-answered",
            "udp-answered=",
            "udp-answered=5m",
            "udp-answered=31536001",
        ] {
            assert!(refused(text).contains("is not a timeout"), "{text}");
        }
        let given = ["tcp-established=7440", "udp-answered=200", "udp-answered=120"];
        let given = lifetimes(given.map(|text| text.parse().unwrap()));
        assert_eq!(given.of_class(LifetimeClass::TcpEstablished), Seconds(7_440));
        assert_eq!(given.of_class(LifetimeClass::UdpAnswered), Seconds(120));
        assert_eq!(given.of_class(LifetimeClass::IcmpEcho), Seconds(60));
    }
}
