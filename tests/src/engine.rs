//! A container engine that is none: answers of Docker's API by script, over a unix socket.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Shutdown},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// How the engine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Sane,
    /// With something that is no JSON.
    Babbling,
    /// With JSON that makes no sense.
    Lying,
    /// With half an answer.
    HangingUp,
}

/// An engine of networks and containers, as they were put into it.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    world: Arc<Mutex<World>>,
    is_up: bool,
}

#[derive(Debug, Default)]
struct World {
    mood: Mood,
    networks: BTreeMap<String, Value>,
    containers: BTreeMap<String, Value>,
    asked: Vec<String>,
    /// Who hears of events, by number.
    streams: BTreeMap<usize, UnixStream>,
    numbers: usize,
    is_over: bool,
}

impl Engine {
    /// An engine at `socket` that does not run yet.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            world: Arc::default(),
            is_up: false,
        }
    }

    /// Has it listen.
    pub fn start(&mut self) -> Result<()> {
        let listener = UnixListener::bind(&self.socket)
            .with_context(|| format!("cannot listen at {}", self.socket.display()))?;
        self.world().is_over = false;
        self.is_up = true;
        let world = Arc::clone(&self.world);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if lock(&world).is_over {
                    return;
                }
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    // Who hangs up wants no answer.
                    let _served = serve(stream, &world);
                });
            }
        });
        Ok(())
    }

    /// Ends it, as `kill -9` would.
    pub fn stop(&mut self) {
        if !std::mem::take(&mut self.is_up) {
            return;
        }
        let mut world = self.world();
        world.is_over = true;
        for stream in std::mem::take(&mut world.streams).values() {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        drop(world);
        // Wakes the listener up.
        let _woken = UnixStream::connect(&self.socket);
        let _removed = fs::remove_file(&self.socket);
    }

    /// Hangs up on whoever hears of events.
    pub fn cut(&self) {
        for stream in std::mem::take(&mut self.world().streams).values() {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many hear of events.
    pub fn listeners(&self) -> usize {
        self.world().streams.len()
    }

    /// How it answers from now on.
    pub fn be(&self, mood: Mood) {
        self.world().mood = mood;
    }

    /// The paths that were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.world().asked.clone()
    }

    /// Adds a network on the host's interface `bridge`, without a word.
    pub fn put_network(&self, name: &str, bridge: &str, options: &[(&str, &str)], internal: bool) {
        let mut all = json!({ "com.docker.network.bridge.name": bridge });
        for (option, value) in options {
            all[format!("com.docker.network.{option}")] = json!(value);
        }
        let network = json!({
            "Name": name, "Id": id(name), "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "Internal": internal,
            "IPAM": { "Driver": "default", "Options": null, "Config": [] }, "Options": all, "Labels": null,
        });
        self.world().networks.insert(id(name), network);
    }

    /// The same, and tells of it.
    pub fn add_network(&self, name: &str, bridge: &str) {
        self.put_network(name, bridge, &[], false);
        self.tell(&json!({ "Type": "network", "Action": "create", "Actor": { "ID": id(name) } }));
    }

    /// Removes a network, and tells of it.
    pub fn remove_network(&self, name: &str) {
        self.world().networks.remove(&id(name));
        self.tell(&json!({ "Type": "network", "Action": "destroy", "Actor": { "ID": id(name) } }));
    }

    /// Adds a container with one address, its ports as in `("80/tcp", "0.0.0.0", "8080")`, without a word.
    pub fn put_container(&self, name: &str, network: &str, address: impl Into<IpAddr>, ports: &[Port<'_>]) {
        let mut published: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (port, host, host_port) in ports {
            let binding = json!({ "HostIp": host, "HostPort": host_port });
            published.entry(port).or_default().push(binding);
        }
        let address = address.into();
        let container = json!({
            "Id": id(name), "Name": format!("/{name}"), "HostConfig": { "NetworkMode": network },
            "NetworkSettings": { "Ports": published, "Networks": { network: {
                "NetworkID": id(network), "IPAddress": address, "Gateway": "172.30.0.1", "GlobalIPv6Address": "", "DNSNames": null,
            } } },
        });
        self.world().containers.insert(id(name), container);
    }

    /// The same, and tells of it as of one that starts.
    pub fn add_container(&self, name: &str, network: &str, address: impl Into<IpAddr>, ports: &[Port<'_>]) {
        self.put_container(name, network, address, ports);
        self.tell(&json!({ "Type": "network", "Action": "connect",
            "Actor": { "ID": id(network), "Attributes": { "container": id(name), "name": network, "type": "bridge" } } }));
        self.tell(
            &json!({ "status": "start", "id": id(name), "Type": "container", "Action": "start",
            "Actor": { "ID": id(name), "Attributes": { "name": name } } }),
        );
    }

    /// Removes a container, and tells of it.
    pub fn remove_container(&self, name: &str) {
        self.world().containers.remove(&id(name));
        self.tell(&json!({ "Type": "container", "Action": "die", "Actor": { "ID": id(name) } }));
    }

    /// Tells whoever listens.
    pub fn tell(&self, event: &Value) {
        let line = format!("{event}\n");
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        let streams = &mut self.world().streams;
        streams.retain(|_, stream| stream.write_all(chunk.as_bytes()).is_ok());
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

/// A container's port, the host's address and the host's port, as an engine tells them.
pub type Port<'text> = (&'text str, &'text str, &'text str);

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The identifier of what has this name.
fn id(name: &str) -> String {
    let digits = name
        .bytes()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    format!("{digits:0<64}")
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request.
fn serve(mut stream: UnixStream, shared: &Mutex<World>) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().context("nobody asks")??;
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut world = lock(shared);
    world.asked.push(path.clone());
    let path = path.split('?').next().unwrap_or_default();
    if path == "/_ping" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nOK")?;
        return Ok(());
    }
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    if path == "/events" {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        world.numbers += 1;
        let number = world.numbers;
        world.streams.insert(number, stream);
        drop(world);
        // Until the listener has gone.
        lines.for_each(drop);
        lock(shared).streams.remove(&number);
        return Ok(());
    }
    let answer = world.answer(path);
    let mood = world.mood;
    drop(world);
    match mood {
        Mood::Babbling => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\": \n")?,
        Mood::HangingUp => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")?,
        Mood::Sane | Mood::Lying => match answer {
            Some(answer) => send(&mut stream, &answer.to_string())?,
            None => stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 23\r\n\r\n{\"message\":\"not here\"}\n",
            )?,
        },
    }
    Ok(())
}

/// In chunks, as an engine sends what is long.
fn send(stream: &mut UnixStream, text: &str) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for chunk in text.as_bytes().chunks(97) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    Ok(())
}

impl World {
    fn answer(&self, path: &str) -> Option<Value> {
        if self.mood == Mood::Lying && path == "/networks" {
            let options = json!({ "com.docker.network.bridge.name": "../../etc" });
            return Some(json!([{ "Id": "x", "Name": "x", "Driver": "bridge", "Options": options }]));
        }
        match path {
            "/info" => Some(
                json!({ "SecurityOptions": ["name=seccomp"], "Swarm": { "LocalNodeState": "inactive" } }),
            ),
            "/networks" => Some(Value::Array(self.networks.values().cloned().collect())),
            "/containers/json" => {
                let listed = self
                    .containers
                    .keys()
                    .map(|id| json!({ "Id": id, "State": "running" }));
                Some(Value::Array(listed.collect()))
            }
            path => {
                let id = path.strip_prefix("/containers/")?.strip_suffix("/json")?;
                self.containers.get(id).cloned()
            }
        }
    }
}
