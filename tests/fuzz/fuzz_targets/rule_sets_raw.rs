#![no_main]
#![allow(missing_docs, reason = "`countersign_fuzz::host::rule_sets` says what it does")]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::host::rule_sets(bytes));
