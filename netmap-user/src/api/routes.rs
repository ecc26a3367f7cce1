//! What each path of the API does.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

use super::{
    events::{self, WatchRequest},
    flows::CloseRequest,
    server::{Command, MAX_BODY},
    types::{PublishRequest, Refusal, UnpublishRequest},
};
use crate::spec;

/// The daemon's loop, and how long a body may take to arrive.
#[derive(Clone)]
struct Daemon {
    commands: mpsc::Sender<Command>,
    patience: Duration,
}

/// The whole API, and `more` beside it.
pub(crate) fn router(commands: mpsc::Sender<Command>, patience: Duration, more: Router) -> Router {
    Router::new()
        .route("/v1/publish", post(publish))
        .route("/v1/unpublish", post(unpublish))
        .route("/v1/status", get(status))
        .route("/v1/names", get(names))
        .route("/v1/config", get(config))
        .route("/v1/reload", post(reload))
        .route("/v1/uses", get(uses))
        .route("/v1/flows/close", post(close_flows))
        .route("/v1/watch", post(watch))
        .with_state(Daemon { commands, patience })
        .merge(more)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
}

/// What a client finds who has no business here.
pub(crate) fn refusing() -> Router {
    Router::new().fallback(no_business)
}

async fn no_business() -> Refused {
    Refused::new(
        StatusCode::FORBIDDEN,
        "this is for root, netmap's own user and the group of its socket",
    )
}

async fn publish(State(daemon): State<Daemon>, body: Body) -> Result<Response, Refused> {
    let request: PublishRequest = daemon.read(body).await?;
    daemon
        .ask(|answer| Command::Publish(request, answer))
        .await?
        .into_answer()
}

async fn unpublish(State(daemon): State<Daemon>, body: Body) -> Result<Response, Refused> {
    let request: UnpublishRequest = daemon.read(body).await?;
    daemon
        .ask(|answer| Command::Unpublish(request, answer))
        .await?
        .into_answer()
}

async fn status(State(daemon): State<Daemon>) -> Result<Response, Refused> {
    let status = daemon.ask(Command::Status).await?;
    Ok(Json(status).into_response())
}

async fn names(State(daemon): State<Daemon>) -> Result<Response, Refused> {
    let names = daemon.ask(Command::Names).await?;
    Ok(Json(names).into_response())
}

async fn config(State(daemon): State<Daemon>) -> Result<Response, Refused> {
    let config = daemon.ask(Command::Config).await?;
    Ok(Json(config).into_response())
}

async fn reload(State(daemon): State<Daemon>) -> Result<Response, Refused> {
    daemon.ask(Command::Reload).await?.into_answer()
}

async fn uses(State(daemon): State<Daemon>) -> Result<Response, Refused> {
    let uses = daemon.ask(Command::Uses).await?;
    Ok(Json(uses).into_response())
}

async fn close_flows(State(daemon): State<Daemon>, body: Body) -> Result<Response, Refused> {
    let request: CloseRequest = daemon.read(body).await?;
    daemon
        .ask(|answer| Command::CloseFlows(request, answer))
        .await?
        .into_answer()
}

/// The lines of the events as they happen; the client ends it.
async fn watch(State(daemon): State<Daemon>, body: Body) -> Result<Response, Refused> {
    let request: WatchRequest = daemon.read(body).await?;
    let lines = daemon
        .ask(|answer| Command::Watch(request, answer))
        .await?
        .map_err(|refusal| Refused {
            status: StatusCode::CONFLICT,
            refusal,
        })?;
    let lines = stream::unfold(lines, async |mut lines| {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(line), lines))
    });
    let content_type = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((content_type, Body::from_stream(lines)).into_response())
}

async fn not_found() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path of netmap's API",
    )
}

async fn wrong_method() -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path of netmap's API takes another method",
    )
}

/// What a body may hold.
pub(crate) trait Request: DeserializeOwned {
    /// What the types do not say: one sentence about what is wrong.
    fn check(&self) -> Result<(), String>;
}

impl Request for PublishRequest {
    fn check(&self) -> Result<(), String> {
        self.bindings
            .iter()
            .try_for_each(|binding| spec::check(binding).map_err(|error| format!("{binding}: {error}")))
    }
}

impl Request for UnpublishRequest {
    fn check(&self) -> Result<(), String> {
        self.published
            .iter()
            .try_for_each(|named| spec::check_host_ports(named).map_err(|error| format!("{named}: {error}")))
    }
}

impl Request for WatchRequest {
    fn check(&self) -> Result<(), String> {
        let mut reasons = self.reasons.iter();
        let unknown = reasons.find(|name| !events::reason(name).is_some_and(events::is_told));
        unknown.map_or(Ok(()), |name| {
            Err(format!(
                "{name:?} is no reason that netmap drops or leaves packets for"
            ))
        })
    }
}

impl Request for CloseRequest {
    fn check(&self) -> Result<(), String> {
        if self.filter.is_everything() && !self.all {
            return Err("nothing says which flows are to be closed, and not that all are".to_owned());
        }
        self.filter.check()
    }
}

/// Reads a body; one sentence about what is wrong with it.
pub(crate) fn parse<T: Request>(body: &[u8]) -> Result<T, String> {
    let request: T = serde_json::from_slice(body).map_err(|error| {
        let why = in_one_line(&error.to_string());
        format!("the request is malformed: {why}")
    })?;
    request.check().map(|()| request)
}

/// The text with its control characters spelt out: it quotes what a client sent.
fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

impl Daemon {
    /// The request in a body that arrives in time and is not too long.
    async fn read<T: Request>(&self, body: Body) -> Result<T, Refused> {
        let body = Limited::new(body, MAX_BODY).collect();
        let Ok(body) = time::timeout(self.patience, body).await else {
            return Err(Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request's body did not arrive in time",
            ));
        };
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let text = format!("the request's body is longer than {MAX_BODY} bytes");
                return Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text);
            }
            Refused::malformed(format!("the request's body cannot be read: {error}"))
        })?;
        parse(&body.to_bytes()).map_err(Refused::malformed)
    }

    /// The answer of the daemon's loop.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
        let stopping = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "netmap is stopping");
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(command(answer))
            .await
            .map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }
}

/// An answer that says no.
struct Refused {
    status: StatusCode,
    refusal: Refusal,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            status,
            refusal: Refusal { error },
        }
    }

    fn malformed(error: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}

/// The daemon's word as an answer.
trait IntoAnswer {
    fn into_answer(self) -> Result<Response, Refused>;
}

impl<T: Serialize> IntoAnswer for Result<T, Refusal> {
    fn into_answer(self) -> Result<Response, Refused> {
        match self {
            Ok(answer) => Ok(Json(answer).into_response()),
            Err(refusal) => Err(Refused {
                status: StatusCode::CONFLICT,
                refusal,
            }),
        }
    }
}
