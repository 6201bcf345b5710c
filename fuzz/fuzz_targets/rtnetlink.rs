#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| springline::kernel::hostile::rtnetlink(bytes));
