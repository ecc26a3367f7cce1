use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};

use super::{
    client::{Client, ClientError},
    events::WatchRequest,
    flows::Closed,
    server::{BindError, Command, MAX_BODY, Server},
    types::{
        ConfigReport, DaemonStatus, Done, EngineNames, PublishRequest, Refusal, Reloaded, RuleUses,
        UnpublishRequest,
    },
};
use crate::binding::Binding;

/// A daemon that publishes whatever it is asked to, except port 1.
struct Fake {
    _folder: TempDir,
    socket: PathBuf,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Fake {
    fn start() -> Self {
        Self::start_with(Duration::from_secs(5))
    }

    fn start_with(patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/netmap.sock");
        let server = Server::bind(&socket).unwrap().with_patience(patience);
        let (stop, stopped) = oneshot::channel();
        let (commands, taken) = mpsc::channel(4);
        tokio::spawn(answer(taken));
        let server = tokio::spawn(server.serve(commands, async {
            stopped.await.unwrap();
        }));
        Self {
            _folder: folder,
            socket,
            stop,
            server,
        }
    }

    /// What the server answers to these bytes, until it closes.
    async fn raw(&self, request: impl Into<Vec<u8>>) -> String {
        let (socket, request) = (self.socket.clone(), request.into());
        spawn_blocking(move || raw(&socket, &request)).await.unwrap()
    }
}

fn raw(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may answer and close before it has read everything.
    let _sent = stream.write_all(request);
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn answer(mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Publish(request, answer) => {
                let refused = request
                    .bindings
                    .iter()
                    .find(|binding| binding.published.ports.contains(1));
                let result = match refused {
                    Some(binding) => Err(Refusal {
                        error: format!("{binding} overlaps"),
                    }),
                    None => Ok(Done {
                        warnings: vec!["published ".to_owned() + &request.bindings.len().to_string()],
                    }),
                };
                answer.send(result).unwrap();
            }
            Command::Unpublish(request, answer) => {
                let warnings = request.published.iter().map(ToString::to_string).collect();
                answer.send(Ok(Done { warnings })).unwrap();
            }
            Command::Status(answer) => answer.send(status()).unwrap(),
            Command::Config(answer) => answer.send(ConfigReport::default()).unwrap(),
            Command::Reload(answer) => answer.send(Ok(Reloaded::default())).unwrap(),
            Command::Names(answer) => answer.send(EngineNames::default()).unwrap(),
            Command::Uses(answer) => answer.send(RuleUses::default()).unwrap(),
            Command::CloseFlows(request, answer) => {
                let closed = request.filter.ports.len() as u64;
                answer.send(Ok(Closed { closed })).unwrap();
            }
            Command::Watch(request, answer) => {
                let (lines, receiver) = mpsc::channel(4);
                let line = serde_json::to_string(&request).unwrap() + "\n";
                let (first, second) = line.split_at(9);
                lines.send(first.to_owned().into()).await.unwrap();
                lines.send(second.to_owned().into()).await.unwrap();
                answer.send(Ok(receiver)).unwrap();
            }
        }
    }
}

fn status() -> DaemonStatus {
    DaemonStatus {
        version: "1.2.3".to_owned(),
        pid: 42,
        uptime_seconds: 7,
        xdp: Vec::new(),
        attachments: Vec::new(),
        lifetimes_percent: 100,
        missing_interfaces: vec!["br9".to_owned()],
        unresolved_containers: Vec::new(),
        engine: None,
        config_pending: None,
    }
}

fn binding(spec: &str) -> Binding {
    let spec: crate::spec::PublishSpec = spec.parse().unwrap();
    let target = "172.30.1.2".parse().unwrap();
    spec.bind(&[target], &[]).unwrap().remove(0)
}

fn publish(spec: &str) -> PublishRequest {
    PublishRequest {
        bindings: vec![binding(spec)],
    }
}

#[tokio::test]
async fn events_are_whole_lines_however_they_arrive() {
    let fake = Fake::start();
    let client = Client::new(&fake.socket);
    let request = WatchRequest {
        reasons: vec!["not-allowed".to_owned()],
        ports: vec![8_080],
        ..WatchRequest::default()
    };
    let mut watching = client.watch(&request).await.unwrap();
    let line = watching.lines().await.unwrap().unwrap();
    assert!(line.ends_with('\n'), "{line}");
    assert_eq!(serde_json::from_str::<WatchRequest>(&line).unwrap(), request);
    assert_eq!(watching.lines().await.unwrap(), None);
    for never in ["published-in", "bad-luck"] {
        let request = WatchRequest {
            reasons: vec![never.to_owned()],
            ..WatchRequest::default()
        };
        let error = client.watch(&request).await.unwrap_err().to_string();
        let expected = format!("{never:?} is no reason that netmap drops or leaves packets for");
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn requests_reach_the_daemon_and_answers_the_client() {
    let fake = Fake::start();
    let client = Client::new(&fake.socket);
    assert_eq!(
        client.publish(&publish("8080:80")).await.unwrap().warnings,
        ["published 1"]
    );
    let request = UnpublishRequest {
        published: vec!["127.0.0.1:53/udp".parse().unwrap()],
    };
    assert_eq!(
        client.unpublish(&request).await.unwrap().warnings,
        ["127.0.0.1:53/udp"]
    );
    let status = client.status().await.unwrap();
    assert_eq!(
        (status.pid, status.missing_interfaces),
        (42, vec!["br9".to_owned()])
    );
}

#[tokio::test]
async fn ports_without_a_host_address_are_those_of_both_families() {
    let fake = Fake::start();
    let ports = |host| format!("{{{host}\"ports\":[8,9],\"transport\":\"udp\"}}");
    let body = format!(
        "{{\"published\":[{},{},{}]}}",
        ports(""),
        ports("\"host\":\"0.0.0.0\","),
        ports("\"host\":\"::\",")
    );
    let answer = fake.raw(post("/v1/unpublish", &body)).await;
    assert!(
        answer.ends_with("{\"warnings\":[\"8-9/udp\",\"0.0.0.0:8-9/udp\",\"[::]:8-9/udp\"]}"),
        "{answer}"
    );
    let body = format!("{{\"published\":[{}]}}", ports("\"host\":\"fe80::1\","));
    let answer = fake.raw(post("/v1/unpublish", &body)).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("[fe80::1]:8-9/udp: fe80::1 is a link-local"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_daemons_refusal_arrives_word_by_word() {
    let fake = Fake::start();
    let error = Client::new(&fake.socket)
        .publish(&publish("1:80"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Refused(_)));
    assert_eq!(error.to_string(), "0.0.0.0:1->172.30.1.2:80/tcp overlaps");
}

#[tokio::test]
async fn a_refusal_is_a_conflict() {
    let fake = Fake::start();
    let body = serde_json::to_string(&publish("1:80")).unwrap();
    let answer = fake.raw(post("/v1/publish", &body)).await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(
        answer.ends_with("{\"error\":\"0.0.0.0:1->172.30.1.2:80/tcp overlaps\"}"),
        "{answer}"
    );
}

#[tokio::test]
async fn malformed_requests_are_told_why() {
    let fake = Fake::start();
    for (body, why) in [
        ("{", "EOF while parsing"),
        ("{\"bindings\":[],\"more\":1}", "unknown field `more`"),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"0.0.0.0\",\"ports\":[9,8],\"transport\":\"tcp\"},\"target\":\"172.30.1.2\",\"target_ports\":[8,9]}]}",
            "port range 9-8 is reversed",
        ),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"0.0.0.0\",\"ports\":[8,9],\"transport\":\"tcp\"},\"target\":\"127.0.0.1\",\"target_ports\":[8,9]}]}",
            "127.0.0.1 is a loopback address",
        ),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"0.0.0.0\",\"ports\":[8,9],\"transport\":\"tcp\"},\"target\":\"172.30.1.2\",\"target_ports\":[8,8]}]}",
            "8-9 is 2 ports but 8 is 1 port",
        ),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"192.0.2.1\",\"ports\":[8,8],\"transport\":\"tcp\"},\"target\":\"fd00::2\",\"target_ports\":[8,8]}]}",
            "192.0.2.1 is an IPv4 address, from which no connection leads to fd00::2",
        ),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"fe80::1\",\"ports\":[8,8],\"transport\":\"tcp\"},\"target\":\"fd00::2\",\"target_ports\":[8,8]}]}",
            "fe80::1 is a link-local address",
        ),
        (
            "{\"bindings\":[{\"published\":{\"host\":\"::\",\"ports\":[8,8],\"transport\":\"tcp\"},\"target\":\"fd00::2\",\"target_ports\":[8,8],\"allow\":[\"10.0.0.0/8\"]}]}",
            "10.0.0.0/8 is of another family than what is published, [::]:8/tcp",
        ),
    ] {
        let answer = fake.raw(post("/v1/publish", body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("{\"error\":\"") && answer.contains(why),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn wrong_paths_and_methods_are_answered_in_json() {
    let fake = Fake::start();
    let answer = fake.raw("GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 404 ") && answer.contains("{\"error\":"),
        "{answer}"
    );
    let answer = fake.raw("GET /v1/publish HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.contains("{\"error\":"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let fake = Fake::start();
    let answer = fake.raw(post("/v1/publish", &" ".repeat(MAX_BODY + 1))).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("{\"error\":"),
        "{answer}"
    );
}

#[tokio::test]
async fn clients_that_stall_are_let_go_and_hold_nobody_up() {
    let fake = Fake::start_with(Duration::from_millis(200));
    let body = fake.raw("POST /v1/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    let headers = fake.raw("POST /v1/publish HTTP/1.1\r\nHost:");
    let client = Client::new(&fake.socket);
    let (body, headers, status) = tokio::join!(body, headers, client.status());
    assert!(
        body.starts_with("HTTP/1.1 408 ") && body.contains("did not arrive in time"),
        "{body}"
    );
    assert!(
        headers.is_empty() || headers.starts_with("HTTP/1.1 408 "),
        "{headers}"
    );
    assert_eq!(status.unwrap().pid, 42);
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_alone() {
    let fake = Fake::start();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert!(fs::metadata(&fake.socket).unwrap().file_type().is_socket());
    assert_eq!(mode(&fake.socket), 0o660);
    assert_eq!(mode(fake.socket.parent().unwrap()), 0o755);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_stays() {
    let fake = Fake::start();
    let error = Server::bind(&fake.socket).unwrap_err();
    assert!(matches!(error, BindError::Running(_)));
    assert!(
        error
            .to_string()
            .starts_with("another netmap is already running: it answers at ")
    );
    assert_eq!(Client::new(&fake.socket).status().await.unwrap().pid, 42);
}

#[tokio::test]
async fn the_file_of_a_dead_daemon_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("netmap.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    Server::bind(&socket).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netmap.sock");
    fs::write(&path, "mine").unwrap();
    assert!(matches!(Server::bind(&path), Err(BindError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let long = folder.path().join("x".repeat(108));
    assert!(matches!(Server::bind(&long), Err(BindError::TooLong(_))));
}

#[tokio::test]
async fn a_stopped_server_leaves_no_file_and_finishes_what_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("netmap.sock");
    let server = Server::bind(&socket).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (commands, mut taken) = mpsc::channel(1);
    let server = tokio::spawn(server.serve(commands, async {
        stopped.await.unwrap();
    }));
    let client = Client::new(&socket);
    let asked = tokio::spawn(async move { client.status().await });
    let Some(Command::Status(answer)) = taken.recv().await else {
        panic!("another command");
    };
    stop.send(()).unwrap();
    while socket.exists() {
        tokio::task::yield_now().await;
    }
    answer.send(status()).unwrap();
    assert_eq!(asked.await.unwrap().unwrap().version, "1.2.3");
    server.await.unwrap();
    let error = Client::new(&socket).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)));
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_clients_longer_than_its_patience() {
    let fake = Fake::start_with(Duration::from_millis(200));
    let _idle = UnixStream::connect(&fake.socket).unwrap();
    Client::new(&fake.socket).status().await.unwrap();
    fake.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), fake.server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("netmap.sock");
    let expected = format!(
        "netmap is not running (nothing answers at {}); start it with `netmap run`",
        socket.display()
    );
    let client = Client::new(&socket);
    assert_eq!(client.status().await.unwrap_err().to_string(), expected);
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(client.status().await.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_not_waited_for_forever() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("netmap.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    let client = Client::new(&socket).with_patience(Duration::from_millis(50));
    assert!(matches!(client.status().await, Err(ClientError::Timeout(..))));
}

#[tokio::test]
async fn somebody_else_behind_the_socket_is_no_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("netmap.sock");
    let other = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let served = spawn_blocking(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"220 smtp.example.org\r\n").unwrap();
    });
    assert!(matches!(
        Client::new(&socket).status().await,
        Err(ClientError::Protocol(..))
    ));
    served.await.unwrap();
}

#[test]
fn what_is_quoted_of_a_request_stays_on_its_line() {
    let refused = super::routes::parse::<PublishRequest>(br#"{"a\nb": 1}"#);
    let why = refused.unwrap_err();
    assert!(why.contains(r"a\nb") && !why.contains('\n'), "{why}");
}
