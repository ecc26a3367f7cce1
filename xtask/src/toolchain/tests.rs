//! What is taken of what a machine may offer.

use super::*;

fn verbose(release: &str, llvm: &str) -> String {
    format!(
        "rustc {release} (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: {release}\nLLVM version: {llvm}\n/usr\n"
    )
}

fn rustc(origin: Origin, llvm: u32) -> Rustc {
    Rustc {
        origin,
        release: "1.97.0".into(),
        llvm,
    }
}

fn linker(path: &str, llvm: Option<u32>) -> Linker {
    Linker {
        path: path.into(),
        llvm,
    }
}

#[test]
fn a_nightly_with_source_is_usable_and_tells_its_llvm() {
    let found = usable(Origin::Nightly, &verbose("1.97.0-nightly", "22.1.4")).unwrap();
    assert_eq!(
        found,
        Rustc {
            origin: Origin::Nightly,
            release: "1.97.0-nightly".into(),
            llvm: 22
        }
    );
}

#[test]
fn a_toolchain_named_nightly_that_is_stable_is_not_taken() {
    assert_eq!(usable(Origin::Nightly, &verbose("1.97.0", "22.1.4")), None);
}

#[test]
fn core_must_be_there_and_of_the_compilers_release() {
    let sysroot = env::temp_dir().join(format!("netmap-sysroot-{}", std::process::id()));
    let source = sysroot.join("lib/rustlib/src/rust");
    assert!(!has_core(&sysroot, "1.96.0"));
    fs::create_dir_all(source.join("library/core/src")).unwrap();
    fs::write(source.join("library/core/src/lib.rs"), "").unwrap();
    assert!(has_core(&sysroot, "1.97.0-nightly"));
    fs::create_dir_all(source.join("src")).unwrap();
    fs::write(source.join("src/version"), "1.96.0\n").unwrap();
    assert!(has_core(&sysroot, "1.96.0"));
    assert!(!has_core(&sysroot, "1.95.0"));
    fs::remove_dir_all(&sysroot).unwrap();
}

#[test]
fn a_compiler_older_than_the_workspace_is_not_taken() {
    assert_eq!(usable(Origin::Debian, &verbose("1.63.0", "14.0.6")), None);
    assert_eq!(usable(Origin::Debian, &verbose("1.87.0", "20.1.1")), None);
}

#[test]
fn a_compiler_that_does_not_name_its_llvm_is_not_taken() {
    assert_eq!(usable(Origin::Debian, "release: 1.96.0\n"), None);
}

#[test]
fn nightly_comes_first_where_a_linker_fits() {
    let compilers = [rustc(Origin::Nightly, 22), rustc(Origin::Debian, 22)];
    let chosen = choose(&compilers, &[linker("/a", Some(22))]).unwrap();
    assert_eq!(
        (chosen.rustc.origin, chosen.linker.path),
        (Origin::Nightly, "/a".into())
    );
}

#[test]
fn debian_is_taken_where_the_linker_is_too_old_for_nightly() {
    let compilers = [rustc(Origin::Nightly, 23), rustc(Origin::Debian, 22)];
    assert_eq!(
        choose(&compilers, &[linker("/a", Some(22))])
            .unwrap()
            .rustc
            .origin,
        Origin::Debian
    );
}

#[test]
fn a_linker_that_is_too_old_is_passed_over_for_the_next() {
    let linkers = [linker("/old", Some(21)), linker("/static", None)];
    let chosen = choose(&[rustc(Origin::Debian, 22)], &linkers).unwrap();
    assert_eq!(chosen.linker, linkers[1]);
}

#[test]
fn what_is_missing_is_named_together_with_the_remedy() {
    let debian = [rustc(Origin::Debian, 22)];
    assert_eq!(choose(&[], &[linker("/a", Some(22))]), Err(Missing::Compiler));
    assert_eq!(choose(&debian, &[]), Err(Missing::Linker));
    assert_eq!(
        choose(&debian, &[linker("/a", Some(21))]),
        Err(Missing::LinkerOf(22))
    );
    for missing in [Missing::Compiler, Missing::Linker, Missing::LinkerOf(22)] {
        assert!(
            missing.to_string().ends_with(": run `cargo xtask setup`"),
            "{missing}"
        );
    }
}

#[test]
fn the_linkers_llvm_is_read_from_its_libraries() {
    let modern =
        "\tlinux-vdso.so.1 (0x7f)\n\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x7f)\n";
    assert_eq!(llvm_library(modern), Some(22));
    assert_eq!(
        llvm_library("\tlibLLVM-14.so.1 => /lib/libLLVM-14.so.1 (0x7f)\n"),
        Some(14)
    );
    assert_eq!(llvm_library("\tnot a dynamic executable\n"), None);
}
