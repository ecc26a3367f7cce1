//! Who crowds the daemon's socket keeps nobody from it for long, and no packet from its way.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddrV4,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netmap_tests::{
    Netmap, Scene, command, tcp,
    topology::{C1, HOST, REMOTE},
    wait_within,
};
use socket2::{Domain, SockAddr, Socket, Type};

const PUBLISHED: SocketAddrV4 = SocketAddrV4::new(HOST, 8_080);
/// What a command may take while the daemon has a crowd before it.
const PATIENCE: Duration = Duration::from_secs(30);

fn open_files(netmap: &Netmap) -> Result<usize> {
    let pid = netmap.pid().context("it does not run")?;
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// All that the crowd has taken is given back.
fn ensure_left_alone(netmap: &Netmap, files: usize) -> Result<()> {
    wait_within(PATIENCE, "the daemon has let go of them", || {
        Ok((open_files(netmap)? <= files).then_some(()))
    })
}

#[test]
fn garbage_is_refused_and_forgotten() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.netmap.ports()?;
    let files = open_files(&scene.netmap)?;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect()
    };
    for round in 0..300 {
        let mut stream = UnixStream::connect(scene.netmap.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bytes = match round % 4 {
            0 => Vec::new(),
            1 => b"POST /v1/publish HTTP/1.1\r\nHost: n\r\nContent-Length: 4096\r\n\r\n".to_vec(),
            2 => b"GET /v1/status HTTP/1.1\r\nX: ".to_vec(),
            _ => b"POST /v1/unpublish HTTP/1.1\r\nHost: n\r\nContent-Length: 99999999999999\r\n\r\n".to_vec(),
        };
        bytes.extend(noise(if round == 0 { 4 << 20 } else { 4_096 }));
        // It may be gone before it has heard all of this.
        let _unheard = stream.write_all(&bytes);
        if round % 2 == 0 {
            // No longer than it takes to be refused.
            let mut answer = Vec::new();
            let _gone = stream.take(1 << 16).read_to_end(&mut answer);
        }
        if round % 50 == 0 {
            tcp::request(&scene.lab.remote, PUBLISHED, "meanwhile")?;
        }
    }
    scene.netmap.done(&["status"])?;
    ensure!(scene.netmap.ports()? == before, "garbage has published something");
    ensure_left_alone(&scene.netmap, files)
}

/// A connection that waits for its turn; the kernel's queue may be full for now.
fn connect(netmap: &Netmap) -> Result<Option<Socket>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(netmap.socket())?) {
        Ok(()) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn a_thousand_clients_that_say_nothing_keep_no_command_waiting_for_long() -> Result<()> {
    // The crowd's own ends.
    command::line(&format!("prlimit --pid {} --nofile=4096", std::process::id()))?;
    let scene = Scene::new()?;
    let files = open_files(&scene.netmap)?;
    let mut connection = tcp::Client::connect(&scene.lab.remote, PUBLISHED)?;
    let crowd = thread::scope(|scope| -> Result<usize> {
        let crowd = scope.spawn(|| -> Result<usize> {
            let mut crowd = Vec::new();
            // As fast as the daemon takes them.
            wait_within(2 * PATIENCE, "a thousand have connected", || {
                while let Some(mut client) = connect(&scene.netmap)? {
                    if crowd.len() % 2 == 0 {
                        // The beginning of a request, and never more.
                        let _sent = client.write(b"POST /v1/publish HTTP/1.1\r\nHost: n\r\n");
                    }
                    crowd.push(client);
                }
                Ok((crowd.len() >= 1_000).then_some(()))
            })?;
            Ok(crowd.len())
        });
        wait_within(PATIENCE, "the daemon has a crowd before it", || {
            Ok((open_files(&scene.netmap)? > files + 30).then_some(()))
        })?;
        // Commands and packets have their turn meanwhile.
        for number in 0..5 {
            scene.netmap.publish(&format!("{}:80/tcp", 9_000 + number), C1)?;
            let at = SocketAddrV4::new(HOST, 9_000 + number);
            let answer = tcp::request(&scene.lab.remote, at, "published meanwhile")?;
            ensure!(answer.client.ip() == REMOTE, "{answer:?}");
            connection.ask("meanwhile")?;
        }
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))?
    })?;
    ensure!(crowd >= 1_000);
    scene.netmap.unpublish("9000/tcp")?;
    // A published port has a file of each family of its own.
    ensure_left_alone(&scene.netmap, files + 10)?;
    connection.finish()
}
