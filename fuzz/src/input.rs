//! What users write and the kernel tells, with any bytes: nothing of it may panic, and what is accepted at one door is accepted
//! at the others.
//!
//! The first byte of an input chooses the [`Door`]: a digit, from 0 on.

use std::{net::IpAddr, path::Path};

use netmap_user::{
    binding::{Binding, HostPorts},
    cli::args::Cli,
    config::Config,
    host::View,
    spec::{self, PublishSpec},
    testing,
};

/// Where bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `netmap publish SPEC --to C ..`: words between spaces.
    Publish,
    /// `netmap unpublish SPEC`.
    Unpublish,
    /// `netmap publish --file`.
    PublishList,
    /// `netmap unpublish --file`.
    UnpublishList,
    /// `POST /v1/publish`.
    PublishBody,
    /// `POST /v1/unpublish`.
    UnpublishBody,
    /// The configuration file of `netmap run`.
    Config,
    /// The whole command line: arguments between newlines.
    CommandLine,
    /// Datagrams of netlink: two bytes of length and a datagram, over and over.
    Netlink,
    /// Whatever a client sends to the API's socket.
    Api,
}

impl Door {
    /// Every door, by its number in an input.
    pub const ALL: [Self; 10] = [
        Self::Publish,
        Self::Unpublish,
        Self::PublishList,
        Self::UnpublishList,
        Self::PublishBody,
        Self::UnpublishBody,
        Self::Config,
        Self::CommandLine,
        Self::Netlink,
        Self::Api,
    ];
}

/// Brings an input to its door.
///
/// # Panics
///
/// Something did not hold that must.
pub fn run(input: &[u8]) {
    let Some((&number, bytes)) = input.split_first() else {
        return;
    };
    let number = usize::from(number.wrapping_sub(b'0'));
    let Some(door) = Door::ALL.get(number % Door::ALL.len()) else {
        return;
    };
    let text = || String::from_utf8_lossy(bytes);
    match door {
        Door::Publish => publish(&text()),
        Door::Unpublish => {
            if let Ok(named) = text().parse::<HostPorts>() {
                accepted_everywhere(&[], &[named]);
            }
        }
        Door::PublishList => {
            let bindings = testing::publish_list(&text()).unwrap_or_default();
            accepted_everywhere(&bindings, &[]);
        }
        Door::UnpublishList => {
            let named = testing::unpublish_list(&text()).unwrap_or_default();
            accepted_everywhere(&[], &named);
        }
        Door::PublishBody => match testing::publish_body(bytes) {
            Ok(request) => accepted_everywhere(&request.bindings, &[]),
            Err(why) => one_sentence(&why),
        },
        Door::UnpublishBody => match testing::unpublish_body(bytes) {
            Ok(request) => accepted_everywhere(&[], &request.published),
            Err(why) => one_sentence(&why),
        },
        Door::Config => match Config::parse(Path::new("netmap.toml"), &text()) {
            Ok(config) => drop(config),
            Err(error) => one_sentence(&error.to_string()),
        },
        Door::CommandLine => command_line(&text()),
        Door::Netlink => netlink(bytes),
        Door::Api => api(bytes),
    }
}

fn publish(text: &str) {
    let mut words = text.split(' ');
    let Some(Ok(spec)) = words.next().map(str::parse::<PublishSpec>) else {
        return;
    };
    let (mut targets, mut allow) = (Vec::new(), Vec::new());
    for word in words {
        if let Ok(target) = spec::parse_target(word) {
            targets.push(target);
        } else if let Ok(source) = spec::parse_source(word) {
            allow.push(source);
        }
    }
    if let Ok(bindings) = spec.bind(&targets, &allow) {
        assert!(
            !targets.is_empty() || bindings.is_empty(),
            "published to nowhere: {text}"
        );
        accepted_everywhere(&bindings, &[]);
    }
}

/// What one door let in, the API takes as well, and reads it as what it is.
fn accepted_everywhere(bindings: &[Binding], published: &[HostPorts]) {
    let body = serde_json::json!({ "bindings": bindings }).to_string();
    let request = testing::publish_body(body.as_bytes());
    let read = request.map(|request| request.bindings);
    assert_eq!(read.as_deref(), Ok(bindings), "{body}");
    let body = serde_json::json!({ "published": published }).to_string();
    let request = testing::unpublish_body(body.as_bytes());
    let read = request.map(|request| request.published);
    assert_eq!(read.as_deref(), Ok(published), "{body}");
}

fn one_sentence(why: &str) {
    assert!(!why.is_empty() && !why.contains('\n'), "no sentence: {why:?}");
}

fn command_line(text: &str) {
    use clap::Parser as _;
    let arguments = std::iter::once("netmap").chain(text.split('\n'));
    // clap says a lot about what is wrong; that it says it is enough here.
    let _parsed = Cli::try_parse_from(arguments);
}

/// Every answer is one of HTTP, and a refusal is a sentence.
fn api(bytes: &[u8]) {
    let said = testing::converse(bytes);
    let Ok(said) = said else { return };
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1."),
        "no answer of HTTP: {:?}",
        String::from_utf8_lossy(&said)
    );
    let said = String::from_utf8_lossy(&said);
    for (at, key) in said.match_indices("{\"error\":") {
        let rest = said.get(at + key.len()..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let why = values.next().and_then(Result::ok);
        assert!(why.is_some(), "a refusal without a reason: {said}");
        one_sentence(&why.unwrap_or_default());
    }
}

fn netlink(bytes: &[u8]) {
    let published = [[172, 17, 0, 2], [172, 17, 0, 3]].map(IpAddr::from);
    let mut listener = testing::Listener::new(published);
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(tail.len());
        let (datagram, tail) = tail.split_at(length);
        agrees(listener.hear(datagram), &published);
        rest = tail;
    }
}

/// What the maps would hold names nothing that is not there.
fn agrees(view: &View, published: &[IpAddr]) {
    let (v4, v6) = (&view.v4, &view.v6);
    let named = v4
        .interfaces
        .keys()
        .chain(v6.interfaces.keys())
        .chain(&view.redirects);
    for index in named {
        assert!(
            view.interfaces.contains_key(index),
            "{index:?} has no hook: {view:?}"
        );
    }
    let placed = v4.endpoints.keys().map(|address| IpAddr::from(*address));
    for address in placed.chain(v6.endpoints.keys().map(|address| IpAddr::from(*address))) {
        assert!(
            published.contains(&address),
            "{address} is not published: {view:?}"
        );
        assert!(
            !view.unresolved.contains(&address),
            "{address} has a place and has none: {view:?}"
        );
    }
}
