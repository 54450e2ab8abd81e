//! Fuzz targets for every parser of foreign bytes.
//!
//! A target is a plain function over bytes that panics when an invariant does not hold. libFuzzer calls it through
//! `fuzz_targets/`, `run.sh` runs them all, and `cargo test` runs every seed of `seeds/` through it.
//!
//! ```text
//!   raw         any bytes               does it panic? what it accepts, does another reader read likewise?
//!   structured  a recipe in the bytes   builds an input and knows whether it is in order: the parser must agree
//!   mutated     edits of a signed one   nothing is accepted that was not signed
//! ```
//!
//! Nothing here reads a clock or the network, so an input that fails once fails again. (`document::simulated` draws new
//! keys in each process: there the steps repeat, and not the bytes.)
#![forbid(unsafe_code)]

pub mod certificate;
pub mod destination;
pub mod document;
pub mod egress;
pub mod eif;
pub mod measurement;
pub mod message;
pub mod peer_message;
pub mod problem;
pub mod trace_context;

#[cfg(feature = "programs")]
pub mod audit_export;
#[cfg(feature = "programs")]
pub mod config;
#[cfg(feature = "programs")]
pub mod dial;
#[cfg(feature = "programs")]
pub mod dns;
#[cfg(feature = "programs")]
pub mod gateway_head;
#[cfg(feature = "programs")]
pub mod host;
#[cfg(feature = "programs")]
pub mod key_policy;
#[cfg(feature = "programs")]
pub mod kms_envelope;
#[cfg(feature = "programs")]
pub mod local_content;
#[cfg(feature = "programs")]
pub mod local_head;
#[cfg(feature = "programs")]
pub mod manifest;
#[cfg(feature = "programs")]
pub mod peer_config;
#[cfg(feature = "programs")]
pub mod proxy_header;
#[cfg(feature = "programs")]
pub mod records;
#[cfg(feature = "programs")]
pub mod trunk;

mod cbor;
mod der;
mod edit;
mod recipe;
#[cfg(test)]
mod seeds;

/// A fuzz target: any bytes, a panic for a finding.
pub type Target = fn(&[u8]);

/// Every target under the name of its binary and of its folder in `seeds/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("document_raw", document::raw),
    ("document_structured", document::structured),
    ("document_mutated", document::mutated),
    ("document_simulated", document::simulated),
    ("certificate_raw", certificate::raw),
    ("certificate_structured", certificate::structured),
    ("measurement_raw", measurement::raw),
    ("measurement_structured", measurement::structured),
    ("eif_raw", eif::raw),
    ("message_raw", message::raw),
    ("message_structured", message::structured),
    ("destination_raw", destination::raw),
    ("destination_structured", destination::structured),
    ("peer_message_raw", peer_message::raw),
    ("peer_message_structured", peer_message::structured),
    ("problem_raw", problem::raw),
    ("trace_context_raw", trace_context::raw),
    ("egress_entry_raw", egress::entry_raw),
    ("egress_policy_structured", egress::policy_structured),
    #[cfg(feature = "programs")]
    ("audit_export_raw", audit_export::raw),
    #[cfg(feature = "programs")]
    ("config_raw", config::raw),
    #[cfg(feature = "programs")]
    ("dial_raw", dial::raw),
    #[cfg(feature = "programs")]
    ("dns_raw", dns::raw),
    #[cfg(feature = "programs")]
    ("gateway_head_raw", gateway_head::raw),
    #[cfg(feature = "programs")]
    ("host_request_raw", host::request),
    #[cfg(feature = "programs")]
    ("host_answer_raw", host::answer),
    #[cfg(feature = "programs")]
    ("rule_sets_raw", host::rule_sets),
    #[cfg(feature = "programs")]
    ("local_content_raw", local_content::raw),
    #[cfg(feature = "programs")]
    ("kms_envelope_raw", kms_envelope::raw),
    #[cfg(feature = "programs")]
    ("kms_envelope_structured", kms_envelope::structured),
    #[cfg(feature = "programs")]
    ("key_policy_raw", key_policy::raw),
    #[cfg(feature = "programs")]
    ("local_head_raw", local_head::raw),
    #[cfg(feature = "programs")]
    ("manifest_raw", manifest::raw),
    #[cfg(feature = "programs")]
    ("peer_config_raw", peer_config::raw),
    #[cfg(feature = "programs")]
    ("proxy_header_raw", proxy_header::raw),
    #[cfg(feature = "programs")]
    ("records_raw", records::raw),
    #[cfg(feature = "programs")]
    ("records_structured", records::structured),
    #[cfg(feature = "programs")]
    ("trunk_frames_raw", trunk::frames),
];
