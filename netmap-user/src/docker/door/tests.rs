use std::{
    fs::File,
    io::{IoSlice, Read as _, Write as _},
    os::{fd::AsRawFd, unix::fs::PermissionsExt as _, unix::net::UnixStream as Proxy},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tempfile::TempDir;

use super::*;

struct Scene {
    requests: mpsc::Receiver<Request>,
    path: PathBuf,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-proxy.sock");
        let (sender, requests) = mpsc::channel(8);
        tokio::spawn(Door::bind(&path).unwrap().serve(sender));
        Self {
            requests,
            path,
            _folder: folder,
        }
    }

    fn proxy(&self) -> Proxy {
        let proxy = Proxy::connect(&self.path).unwrap();
        proxy.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        proxy
    }

    async fn next(&mut self) -> Request {
        let next = time::timeout(Duration::from_secs(5), self.requests.recv());
        next.await.unwrap().unwrap()
    }
}

fn request(verb: Verb, has_socket: bool) -> frame::Request {
    frame::Request {
        verb,
        port: Port {
            transport: frame::Transport::Tcp,
            host: "0.0.0.0:8080".parse().unwrap(),
            container: "172.17.0.2:80".parse().unwrap(),
        },
        has_socket,
    }
}

/// What a proxy hears, read beside the door's own thread.
async fn answer(mut proxy: Proxy) -> (Proxy, Result<(), String>) {
    let heard = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; frame::MOST];
        let length = proxy.read(&mut bytes).unwrap();
        let answer = match Answer::decode(&bytes[..length]) {
            Some((Answer::Done, _)) => Ok(()),
            Some((Answer::Refused(why), _)) => Err(why.to_owned()),
            None => Err("nothing".to_owned()),
        };
        (proxy, answer)
    });
    heard.await.unwrap()
}

#[tokio::test]
async fn a_port_comes_with_its_socket_and_the_end_of_the_proxy_is_told() {
    let mut scene = Scene::new();
    let proxy = scene.proxy();
    let descriptors = [File::open("/dev/null").unwrap()];
    let numbers = descriptors.each_ref().map(AsRawFd::as_raw_fd);
    let bytes = request(Verb::Publish, true).encode();
    sendmsg::<()>(
        proxy.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        &[ControlMessage::ScmRights(&numbers)],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    let Request::Publish {
        shim,
        binding,
        socket,
        answer: done,
    } = scene.next().await
    else {
        panic!("something else");
    };
    assert_eq!(binding.to_string(), "0.0.0.0:8080->172.17.0.2:80/tcp");
    assert!(socket.is_some());
    done.send(Err("no".to_owned())).unwrap();
    let (proxy, heard) = answer(proxy).await;
    assert_eq!(heard, Err("no".to_owned()));
    drop(proxy);
    let Request::Gone(gone) = scene.next().await else {
        panic!("something else");
    };
    assert_eq!(gone, shim);
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_another_may_follow() {
    let mut scene = Scene::new();
    let mut proxy = scene.proxy();
    for verb in [Verb::Publish, Verb::Unpublish] {
        let bytes = request(verb, false).encode();
        let (first, second) = bytes.split_at(20);
        proxy.write_all(first).unwrap();
        tokio::task::yield_now().await;
        proxy.write_all(second).unwrap();
        let (Request::Publish { answer: done, .. } | Request::Unpublish { answer: done, .. }) =
            scene.next().await
        else {
            panic!("the proxy is gone");
        };
        done.send(Ok(())).unwrap();
        let heard;
        (proxy, heard) = answer(proxy).await;
        assert_eq!(heard, Ok(()));
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let mut scene = Scene::new();
    let mut sctp = request(Verb::Publish, false).encode();
    sctp[6] = 132;
    for (bytes, said) in [
        ([0; frame::SIZE], "not of the same version"),
        (sctp, "no port"),
        (request(Verb::Publish, true).encode(), "has not arrived"),
    ] {
        let mut proxy = scene.proxy();
        proxy.write_all(&bytes).unwrap();
        let (_, heard) = answer(proxy).await;
        let why = heard.unwrap_err();
        assert!(why.contains(said), "{why}");
        assert!(matches!(scene.next().await, Request::Gone(_)));
    }
}

#[tokio::test]
async fn a_daemon_that_stops_hangs_up() {
    let mut scene = Scene::new();
    let mut proxy = scene.proxy();
    proxy.write_all(&request(Verb::Publish, false).encode()).unwrap();
    // The answer's sender is dropped.
    drop(scene.next().await);
    let (_, heard) = answer(proxy).await;
    assert_eq!(heard, Err("nothing".to_owned()));
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    let scene = Scene::new();
    let mode = std::fs::metadata(&scene.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
