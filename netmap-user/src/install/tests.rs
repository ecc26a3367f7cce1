//! Settings there and back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

const TYPICAL: &str = r#"{
    "log-driver": "json-file",
    "log-opts": { "max-size": "10m",
                  "max-file": "3" },
    "iptables": true,
    "insecure-registries": [ ]
}
"#;

struct Host {
    folder: tempfile::TempDir,
    places: Places,
}

impl Host {
    fn with(text: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy = folder.path().join("netmap-docker-proxy");
        fs::write(&proxy, "").unwrap();
        fs::set_permissions(&proxy, fs::Permissions::from_mode(0o755)).unwrap();
        let daemon_json = folder.path().join("docker/daemon.json");
        if let Some(text) = text {
            fs::create_dir(folder.path().join("docker")).unwrap();
            fs::write(&daemon_json, text).unwrap();
        }
        let places = Places {
            daemon_json,
            proxy,
            systemd: Some(folder.path().join("system")),
        };
        Self { folder, places }
    }

    fn install(&self) -> Plan {
        let plan = install(&self.places).unwrap();
        plan.carry_out().unwrap();
        plan
    }

    fn remove(&self) -> Plan {
        let plan = remove(&self.places).unwrap();
        plan.carry_out().unwrap();
        plan
    }

    fn text(&self) -> Option<String> {
        read(&self.places.daemon_json).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.folder.path().join("docker"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

#[test]
fn other_keys_keep_their_order_and_their_text() {
    let host = Host::with(Some(TYPICAL));
    host.install();
    let proxy = host.places.proxy.display();
    let expected = format!(
        r#"{{
    "log-driver": "json-file",
    "log-opts": {{ "max-size": "10m",
                  "max-file": "3" }},
    "iptables": false,
    "insecure-registries": [ ],
    "ip6tables": false,
    "userland-proxy": true,
    "userland-proxy-path": "{proxy}"
}}
"#
    );
    assert_eq!(host.text().unwrap(), expected);
    let drop_in = fs::read_to_string(host.folder.path().join("system/docker.service.d/netmap.conf"));
    assert!(drop_in.unwrap().contains("\nAfter=netmap.service\n"));
}

#[test]
fn remove_brings_back_every_byte() {
    for text in [
        TYPICAL,
        "{}",
        "{\"icc\":true}",
        "\n",
        "{\"userland-proxy-path\": \"/usr/bin/other\"}\n\n",
    ] {
        let host = Host::with(Some(text));
        host.install();
        host.remove();
        assert_eq!(host.text().unwrap(), text);
        assert_eq!(host.files(), std::slice::from_ref(&host.places.daemon_json));
        let folder = host.places.systemd.as_ref().unwrap();
        assert!(!unit::before_docker(folder).exists());
        assert!(!unit::follows_docker(folder).exists());
    }
}

#[test]
fn where_there_was_no_file_there_is_none_again() {
    let host = Host::with(None);
    host.install();
    assert!(host.text().unwrap().starts_with("{\n  \"iptables\": false,\n"));
    host.remove();
    assert_eq!(host.files(), [] as [PathBuf; 0]);
}

#[test]
fn the_second_time_changes_nothing() {
    let host = Host::with(Some(TYPICAL));
    host.install();
    let once = host.text();
    assert_eq!(host.install().changes, []);
    assert_eq!(host.text(), once);
    host.remove();
    assert_eq!(host.remove().changes, []);
    assert_eq!(host.text().unwrap(), TYPICAL);
}

#[test]
fn what_somebody_changed_since_stays() {
    let host = Host::with(Some(TYPICAL));
    host.install();
    let edited = host.text().unwrap().replace("json-file", "journald");
    fs::write(&host.places.daemon_json, edited).unwrap();
    host.remove();
    assert_eq!(host.text().unwrap(), TYPICAL.replace("json-file", "journald"));
}

#[test]
fn netmap_follows_the_socket_that_docker_has_by_the_group_that_may_read_it() {
    let host = Host::with(Some(
        r#"{"group": "daemon", "hosts": ["tcp://127.0.0.1:1", "unix:///run/other.sock"]}"#,
    ));
    assert_eq!(host.install().remarks, [] as [String; 0]);
    let path = unit::follows_docker(host.places.systemd.as_ref().unwrap());
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\nEnvironment=NETMAP_DOCKER=/run/other.sock\n"),
        "{text}"
    );
    assert!(text.ends_with("\nSupplementaryGroups=daemon\n"), "{text}");
    host.remove();
    assert!(!path.exists());
}

#[test]
fn a_group_that_is_not_there_keeps_no_unit_from_starting() {
    let host = Host::with(Some(r#"{"group": "netmap-test-nobody"}"#));
    let plan = host.install();
    let text = fs::read_to_string(unit::follows_docker(host.places.systemd.as_ref().unwrap())).unwrap();
    assert!(text.contains("NETMAP_DOCKER=/var/run/docker.sock"), "{text}");
    assert!(!text.contains("SupplementaryGroups"), "{text}");
    assert!(
        plan.remarks.iter().any(|remark| remark.contains("no group")),
        "{:?}",
        plan.remarks
    );
}

#[test]
fn a_drop_in_of_somebody_elses_stays_and_is_told_of() {
    let host = Host::with(Some(r#"{"group": "daemon"}"#));
    let path = unit::follows_docker(host.places.systemd.as_ref().unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "[Service]\nNice=1\n").unwrap();
    let plan = host.install();
    assert!(
        plan.remarks
            .iter()
            .any(|remark| remark.contains("NETMAP_DOCKER=")),
        "{:?}",
        plan.remarks
    );
    host.remove();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[Service]\nNice=1\n");
}

#[test]
fn mode_and_link_stay() {
    let host = Host::with(Some(TYPICAL));
    let real = host.folder.path().join("real.json");
    fs::rename(&host.places.daemon_json, &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&real, &host.places.daemon_json).unwrap();
    host.install();
    assert!(
        fs::symlink_metadata(&host.places.daemon_json)
            .unwrap()
            .is_symlink()
    );
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    host.remove();
    assert_eq!(host.text().unwrap(), TYPICAL);
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let host = Host::with(Some("{\n  \"debug\": true,\n}\n"));
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("daemon.json is no JSON object"), "{error}");
    assert!(error.contains("at line 3 column 1"), "{error}");
    assert_eq!(host.text().unwrap(), "{\n  \"debug\": true,\n}\n");
    let host = Host::with(Some("[1]"));
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("an object of settings"), "{error}");
}

#[test]
fn what_dockerd_refuses_is_refused_first() {
    let host = Host::with(Some("{\"icc\": false}"));
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("\"icc\": false"), "{error}");
    let mut host = Host::with(None);
    host.places.proxy = host.folder.path().join("elsewhere");
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("no program that can be run"), "{error}");
    host.places.proxy = PathBuf::from("relative");
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("no absolute path"), "{error}");
    host.places.daemon_json = PathBuf::from("/home/u/.config/docker/daemon.json");
    let error = install(&host.places).unwrap_err().to_string();
    assert!(error.contains("rootless"), "{error}");
    assert_eq!(host.files(), [] as [PathBuf; 0]);
}

#[test]
fn a_swarm_is_remarked_upon() {
    let host = Host::with(None);
    let root = host.folder.path().join("root");
    fs::create_dir_all(root.join("swarm")).unwrap();
    fs::write(root.join("swarm/docker-state.json"), "{}").unwrap();
    fs::create_dir(host.folder.path().join("docker")).unwrap();
    fs::write(
        &host.places.daemon_json,
        format!("{{\"data-root\": \"{}\"}}", root.display()),
    )
    .unwrap();
    let plan = install(&host.places).unwrap();
    assert!(
        plan.remarks.iter().any(|remark| remark.contains("swarm")),
        "{:?}",
        plan.remarks
    );
}

#[test]
fn a_key_that_is_there_twice_counts_by_its_last() {
    let mut document = Document::parse("{\"a\": 1, \"b\": 2, \"a\": 3}").unwrap();
    assert_eq!(document.get("a"), Some(3.into()));
    document.set(
        "a",
        serde_json::value::RawValue::from_string("4".to_owned()).unwrap(),
    );
    assert_eq!(document.text(), "{\n  \"a\": 4,\n  \"b\": 2\n}\n");
}

#[test]
fn a_daemons_settings_and_flags_are_read_off_its_command_line() {
    let daemon = |arguments: &[&str]| daemons::Daemon {
        pid: 1,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        since: None,
    };
    let plain = daemon(&["-H", "fd://"]);
    assert_eq!(plain.settings(), Path::new("/etc/docker/daemon.json"));
    assert_eq!(plain.conflict(), None);
    assert_eq!(daemon(&["--config-file", "/a"]).settings(), Path::new("/a"));
    assert_eq!(daemon(&["--config-file=/b"]).settings(), Path::new("/b"));
    assert_eq!(daemon(&["--iptables=false"]).conflict(), Some("--iptables=false"));
    assert_eq!(
        daemon(&["--userland-proxy-path=/x"]).conflict(),
        Some("--userland-proxy-path=/x")
    );
}
