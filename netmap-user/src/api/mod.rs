//! The daemon's API: HTTP and JSON over a unix socket.
//!
//! Root, the daemon's user and the group of the socket's file may publish ports. The file is 0660 (`chgrp` it to let another
//! group in), and the daemon asks the kernel who a client is besides.
//!
//! | request | body | answers |
//! |---|---|---|
//! | `POST /v1/publish` | [`types::PublishRequest`] | 200 [`types::Done`], 409 refused |
//! | `POST /v1/unpublish` | [`types::UnpublishRequest`] | 200 [`types::Done`], 409 refused |
//! | `GET /v1/status` | - | 200 [`types::DaemonStatus`] |
//! | `GET /v1/names` | - | 200 [`types::EngineNames`] |
//! | `GET /v1/uses` | - | 200 [`types::RuleUses`] |
//! | `POST /v1/flows/close` | [`flows::CloseRequest`] | 200 [`flows::Closed`], 409 refused |
//! | `POST /v1/watch` | [`events::WatchRequest`] | 200 [`events::Event`]s, a line each, without end; 409 refused |
//! | `GET /metrics` | - | 200 [`crate::metrics`] |
//!
//! Every answer but 200 is a [`types::Refusal`]: 400 for a body that is no such request, 403 for a client that is none of
//! those, 404 and 405 for a wrong
//! path or method, 408 for a body that does not arrive, 413 for one above [`server::MAX_BODY`], 503 while the
//! daemon stops. One request a connection.

pub mod client;
pub mod events;
pub mod flows;
mod peers;
pub(crate) mod routes;
pub mod server;
pub mod socket;
pub mod types;

#[cfg(test)]
mod tests;
