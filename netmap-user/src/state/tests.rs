use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::spec::PublishSpec;

fn binding(spec: &str, target: &str, allow: &[&str]) -> Binding {
    let spec: PublishSpec = spec.parse().unwrap();
    let allow: Vec<_> = allow.iter().map(|source| source.parse().unwrap()).collect();
    spec.bind(&[target.parse().unwrap()], &allow).unwrap().remove(0)
}

fn some() -> Vec<Binding> {
    vec![
        binding("0.0.0.0:8080:80/tcp", "172.30.1.2", &[]),
        binding("192.0.2.7:5000-5999:7000-7999/udp", "172.30.1.3", &["10.0.0.0/8"]),
        binding("[::]:443:8443/tcp", "fd00::2", &["::/128"]),
    ]
}

fn asides(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.display().to_string().contains(".bad-"))
        .collect()
}

#[test]
fn what_is_written_is_read_again_and_not_written_twice() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("lib/netmap");
    let mut state = State::new(folder.clone());
    assert_eq!(state.read().unwrap(), []);
    assert!(!state.write(&mut some().iter().take(0)).unwrap());
    assert!(state.write(&mut some().iter()).unwrap());
    assert!(!state.write(&mut some().iter()).unwrap());
    drop(state);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
    let mut state = State::new(folder.clone());
    assert_eq!(state.read().unwrap(), some());
    assert!(!state.write(&mut some().iter()).unwrap());
    assert!(state.write(&mut some().iter().take(1)).unwrap());
    assert_eq!(state.read().unwrap(), some().get(..1).unwrap());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing beside it");
    assert!(forget(&folder).unwrap());
    assert!(!forget(&folder).unwrap());
    assert!(!forget(&parent.path().join("nowhere")).unwrap());
}

#[test]
fn a_file_that_is_unusable_is_kept_aside_with_a_sentence() {
    let whole = String::from_utf8(document::compose(&mut some().iter())).unwrap();
    let reversed = whole.replace("[5000,5999]", "[5999,5000]");
    let unequal = whole.replace("[7000,7999]", "[7000,7001]");
    let unknown = whole.replace("\"allow\"", "\"deny\"");
    let deep = "[".repeat(100_000);
    let deep = deep.as_str();
    let cases = [
        ("", "is empty"),
        (&whole[..whole.len() / 2], "is not what netmap has written"),
        (
            "{\"version\":7,\"rules\":{}}",
            "is of version 7, and this netmap knows version 1",
        ),
        (
            "{\"published\":[]}",
            "is not what netmap has written (missing field `version`",
        ),
        (
            "{\"version\":1}",
            "is not what netmap has written (missing field `published`",
        ),
        ("\0\0\0\0", "is not what netmap has written"),
        (deep, "is not what netmap has written ("),
        (&reversed, "port range 5999-5000 is reversed"),
        (&unequal, "has a rule that makes no sense"),
        (&unknown, "unknown field `deny`"),
    ];
    for (text, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, text).unwrap();
        let mut state = State::new(folder.path().to_owned());
        let error = state.read().unwrap_err().to_string();
        let [aside] = &asides(folder.path())[..] else {
            panic!("{error}");
        };
        assert!(error.starts_with(&format!("{} ", file.display())), "{error}");
        assert!(error.contains(why), "{error}");
        assert!(
            error.ends_with(&format!("; it is kept as {}", aside.display())),
            "{error}"
        );
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
        assert!(!error.contains('\n'), "{error}");
        assert!(state.write(&mut some().iter()).unwrap());
        assert_eq!(state.read().unwrap(), some());
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}

#[test]
fn what_is_no_file_is_neither_followed_nor_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let other = folder.path().join("other");
    fs::write(&other, document::compose(&mut some().iter())).unwrap();
    let mut state = State::new(folder.path().to_owned());
    std::os::unix::fs::symlink(&other, &file).unwrap();
    assert!(
        state
            .read()
            .unwrap_err()
            .to_string()
            .contains("cannot be read: Too many")
    );
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert!(state.read().unwrap_err().to_string().contains(" is no file; "));
    fs::create_dir(&file).unwrap();
    assert!(state.read().unwrap_err().to_string().contains(" is no file; "));
    let huge = File::create(&file).unwrap();
    huge.set_len(LONGEST + 1).unwrap();
    let error = state.read().unwrap_err().to_string();
    assert!(
        error.contains("has 67108865 bytes, more than netmap writes"),
        "{error}"
    );
    assert!(other.exists());
    assert_eq!(asides(folder.path()).len(), 4, "none in another's place");
}

#[test]
fn two_daemons_do_not_write_to_one_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = State::new(folder.path().to_owned());
    let mut second = State::new(folder.path().to_owned());
    first.write(&mut some().iter()).unwrap();
    let sentence = format!(
        "another netmap runs with the state directory {}; give each its own with --state",
        folder.path().display()
    );
    assert_eq!(second.read().unwrap_err().to_string(), sentence);
    drop(first);
    assert_eq!(
        second.write(&mut std::iter::empty()).unwrap_err().to_string(),
        sentence
    );
    assert_eq!(State::new(folder.path().to_owned()).read().unwrap(), some());
}

#[test]
fn a_directory_that_comes_late_is_written_to_and_what_is_in_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, "in the way").unwrap();
    let mut state = State::new(path.clone());
    let said = state.read().unwrap_err().to_string();
    assert!(said.contains("state cannot be used: "), "{said}");
    assert!(matches!(
        state.write(&mut some().iter()),
        Err(StateError::Directory { .. })
    ));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join(FILE), "what nobody has read").unwrap();
    assert!(state.write(&mut some().iter()).unwrap());
    assert_eq!(asides(&path).len(), 1);
    assert_eq!(state.read().unwrap(), some());
}

proptest! {
    #[test]
    fn no_bytes_are_too_much_for_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400) {
        let _any = document::parse(&bytes);
        let mut whole = document::compose(&mut some().iter());
        let at = at % whole.len();
        whole[at] = bytes.first().copied().unwrap_or_default();
        // Whatever is taken can be published.
        for binding in document::parse(&whole).unwrap_or_default() {
            crate::spec::check(&binding).unwrap();
        }
    }
}
