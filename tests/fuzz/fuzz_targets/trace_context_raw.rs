#![no_main]
#![allow(missing_docs, reason = "`countersign_fuzz::trace_context::raw` says what it does")]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::trace_context::raw(bytes));
