//! libFuzzer over [`netmap_fuzz::input`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netmap_fuzz::input::run(input));
