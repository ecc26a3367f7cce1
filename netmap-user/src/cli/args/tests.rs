use clap::{CommandFactory as _, error::ErrorKind};

use super::*;
use crate::install::{document::Document, unit};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_teaches_by_example() {
    for command in Cli::command().get_subcommands() {
        let examples = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let name = command.get_name();
        assert!(examples.contains(&format!("netmap {name}")), "{name}");
        assert!(command.get_long_about().is_some(), "{name}");
    }
}

#[test]
fn publish_reads_its_target_and_sources() {
    let cli = parse(
        "netmap publish 127.0.0.1:53:5353/udp --to 172.30.1.2 --allow 10.0.0.1/8,192.0.2.7 --allow 0.0.0.0/0",
    );
    let Command::Publish(args) = cli.unwrap().command else {
        panic!("another command");
    };
    let bindings = args.spec.unwrap().bind(&args.targets, &args.allow).unwrap();
    let [binding] = &bindings[..] else {
        panic!("{bindings:?}");
    };
    assert_eq!(binding.to_string(), "127.0.0.1:53->172.30.1.2:5353/udp");
    let allow: Vec<_> = binding.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0"]);
}

#[test]
fn publish_takes_an_address_of_each_family() {
    for line in [
        "netmap publish 80:80 --to 172.30.1.2 --to fd00::2",
        "netmap publish --to fd00::2,172.30.1.2 80:80",
    ] {
        let Command::Publish(args) = parse(line).unwrap().command else {
            panic!("another command");
        };
        let bindings = args.spec.unwrap().bind(&args.targets, &args.allow).unwrap();
        let printed: Vec<_> = bindings.iter().map(ToString::to_string).collect();
        assert_eq!(
            printed,
            ["0.0.0.0:80->172.30.1.2:80/tcp", "[::]:80->[fd00::2]:80/tcp"]
        );
    }
}

#[test]
fn the_instance_is_named_before_or_behind_the_command() {
    for line in [
        "netmap --socket /a --pin-dir /b ports",
        "netmap ports --pin-dir /b --socket /a",
    ] {
        let instance = parse(line).unwrap().instance;
        assert_eq!(instance.socket(), Path::new("/a"));
        assert_eq!(instance.pin_dir(), Path::new("/b"));
    }
}

#[test]
fn refusals_of_values_keep_their_sentence() {
    for (line, sentence) in [
        (
            "netmap publish 80:80/sctp --to 172.30.1.2",
            "\"sctp\" is not a protocol that netmap publishes; use tcp or udp",
        ),
        (
            "netmap publish 80:80 --to 127.0.0.1",
            "127.0.0.1 is a loopback address, which cannot be reached inside a container; give the address of its interface",
        ),
        (
            "netmap run --xdp generic",
            "\"generic\" is not an XDP mode; use auto, native or off",
        ),
        (
            "netmap run --mark-bit 32",
            "\"32\" is not a bit of the packet mark; give 0 to 31",
        ),
        (
            "netmap flows --address web",
            "\"web\" is not a network; write ADDRESS/LENGTH, as in 10.0.0.0/8 or fd00::/8",
        ),
        (
            "netmap publish 80:80 --to fe80::2%br0",
            "fe80::2%br0 is a link-local address, which means another machine on every link; give one that is unique",
        ),
        (
            "netmap unpublish 70000",
            "port 70000 is out of range; ports are 1 to 65535",
        ),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        assert_eq!(error.exit_code(), 2);
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), sentence);
    }
}

#[test]
fn what_is_missing_or_unknown_is_wrong_usage() {
    for line in [
        "netmap",
        "netmap publish 80:80",
        "netmap publish --to 172.30.1.2",
        "netmap ports --yaml",
        "netmap flows --limit many",
        "netmap flows --kind nat",
        "netmap explode",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(parse("netmap help publish").unwrap_err().exit_code(), 0);
    assert_eq!(parse("netmap --version").unwrap_err().exit_code(), 0);
}

#[test]
fn the_drop_in_says_what_run_hears() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let docker = run
        .get_arguments()
        .find(|argument| argument.get_id() == "docker")
        .unwrap();
    let name = docker.get_env().unwrap().to_str().unwrap();
    let [_, follows] = unit::drop_ins(Path::new("/"), &Document::default());
    assert!(
        follows.text.contains(&format!("\nEnvironment={name}=/")),
        "{}",
        follows.text
    );
}
