//! Doors for fuzzing: what reads foreign bytes, without the file or the socket that they come from.

use crate::{
    api::{
        routes,
        types::{PublishRequest, UnpublishRequest},
    },
    binding::{Binding, HostPorts},
    cli::batch,
};

pub use crate::host::testing::Listener;

/// The body of `POST /v1/publish`; one sentence about what is wrong with it.
pub fn publish_body(body: &[u8]) -> Result<PublishRequest, String> {
    routes::parse(body)
}

/// The body of `POST /v1/unpublish`; one sentence about what is wrong with it.
pub fn unpublish_body(body: &[u8]) -> Result<UnpublishRequest, String> {
    routes::parse(body)
}

/// The text of a file for `netmap publish --file`; one sentence about what is wrong with it.
pub fn publish_list(text: &str) -> Result<Vec<Binding>, String> {
    batch::bindings_in("list".to_owned(), text).map_err(|error| error.to_string())
}

/// The text of a file for `netmap unpublish --file`; one sentence about what is wrong with it.
pub fn unpublish_list(text: &str) -> Result<Vec<HostPorts>, String> {
    batch::published_in("list".to_owned(), text).map_err(|error| error.to_string())
}
