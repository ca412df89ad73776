#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caskade::fuzzing::hot(data));
