#![no_main]
#![allow(missing_docs, reason = "`countersign_fuzz::kms_envelope::structured` says what it does")]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::kms_envelope::structured(bytes));
