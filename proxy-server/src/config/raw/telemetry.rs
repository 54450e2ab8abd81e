//! The table `[telemetry]`.

use std::ops::Range;

use toml::Spanned;

use super::{Number, Text};
use crate::config::reader::Section;

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "a build without OTLP refuses the whole table"))]
pub(in crate::config) struct RawTelemetry {
    #[cfg_attr(
        feature = "otlp",
        allow(dead_code, reason = "only who refuses the table says where it stands")
    )]
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) endpoint: Text,
    pub(in crate::config) headers_file: Text,
    pub(in crate::config) ca: Text,
    pub(in crate::config) interval_seconds: Number,
    pub(in crate::config) trace_ratio: Option<Spanned<f64>>,
    pub(in crate::config) service_name: Text,
    pub(in crate::config) attributes: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

pub(super) fn telemetry(section: Section<'_>) -> RawTelemetry {
    let telemetry = RawTelemetry {
        span: section.span(),
        endpoint: section.text("endpoint"),
        headers_file: section.text("headers_file"),
        ca: section.text("ca"),
        interval_seconds: section.number("interval_seconds"),
        trace_ratio: section.decimal("trace_ratio"),
        service_name: section.text("service_name"),
        attributes: section.section("attributes").map(|s| s.free_texts()).unwrap_or_default(),
    };
    section.finish();
    telemetry
}
