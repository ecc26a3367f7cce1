//! libFuzzer over [`netmap_fuzz::process`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _steps = netmap_fuzz::process::run(input);
});
