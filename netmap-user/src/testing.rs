//! Doors for fuzzing: what reads foreign bytes, without the file or the socket that they come from.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, watch},
};

use crate::{
    api::{
        routes, server,
        types::{Done, PublishRequest, UnpublishRequest},
    },
    binding::{Binding, HostPorts},
    cli::batch,
};

pub use crate::host::testing::Listener;

/// All that the API's server says to a client that sends these bytes and no more. The daemon behind it publishes whatever it
/// is asked to, and is too busy to say how it is.
///
/// # Errors
///
/// There is no runtime to be had.
pub fn converse(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (commands, mut inbox) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(command) = inbox.recv().await {
                if let server::Command::Publish(_, answer) | server::Command::Unpublish(_, answer) = command {
                    drop(answer.send(Ok(Done::default())));
                }
            }
        });
        let (client, end) = tokio::io::duplex(bytes.len() + 1);
        let router = routes::router(commands, server::PATIENCE, axum::Router::new());
        let (_stop, stopped) = watch::channel(());
        let serving = server::serve_client(end, None, router, server::PATIENCE, stopped);
        let (mut answers, mut requests) = tokio::io::split(client);
        let mut said = Vec::new();
        let sent = async {
            // The server may have had enough of it.
            let _sent = requests.write_all(bytes).await;
            requests.shutdown().await
        };
        let (read, _closed, ()) = tokio::join!(answers.read_to_end(&mut said), sent, serving);
        read?;
        Ok(said)
    })
}

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
