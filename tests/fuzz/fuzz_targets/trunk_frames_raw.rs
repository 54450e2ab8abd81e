#![no_main]
#![allow(missing_docs, reason = "`countersign_fuzz::trunk::frames` says what it does")]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::trunk::frames(bytes));
