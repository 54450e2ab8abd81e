//! The tables `[[workload]]`.

use std::ops::Range;

use toml::Spanned;

use super::{Number, RawLease, Text, Texts, lease, table};
use crate::config::reader::Section;

#[derive(Debug, Default)]
pub(in crate::config) struct RawWorkload {
    pub(in crate::config) path: String,
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) name: Text,
    pub(in crate::config) destinations: Texts,
    pub(in crate::config) addresses: Texts,
    pub(in crate::config) lease: RawLease,
    pub(in crate::config) max_sessions: Number,
    pub(in crate::config) max_tunnels_per_session: Number,
    pub(in crate::config) max_bytes_per_second: Number,
    pub(in crate::config) measurements: Vec<RawMeasurement>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct RawMeasurement {
    pub(in crate::config) path: String,
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) name: Text,
    pub(in crate::config) version: Text,
    pub(in crate::config) state: Text,
    pub(in crate::config) file: Text,
    pub(in crate::config) pcrs: Option<RawPcrs>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct RawPcrs {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) entries: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

pub(super) fn workload(section: Section<'_>) -> RawWorkload {
    let (max_sessions, max_tunnels_per_session, max_bytes_per_second) = table(&section, "limits", |s| {
        (s.number("max_sessions"), s.number("max_tunnels_per_session"), s.number("max_bytes_per_second"))
    });
    let workload = RawWorkload {
        path: section.path().to_owned(),
        span: section.span(),
        name: section.text("name"),
        destinations: section.texts("destinations"),
        addresses: section.texts("addresses"),
        lease: table(&section, "lease", lease),
        max_sessions,
        max_tunnels_per_session,
        max_bytes_per_second,
        measurements: section.sections("measurement").into_iter().map(measurement).collect(),
    };
    section.finish();
    workload
}

fn measurement(section: Section<'_>) -> RawMeasurement {
    let measurement = RawMeasurement {
        path: section.path().to_owned(),
        span: section.span(),
        name: section.text("name"),
        version: section.text("version"),
        state: section.text("state"),
        file: section.text("file"),
        pcrs: section.section("pcrs").map(|s| RawPcrs { span: s.span(), entries: s.free_texts() }),
    };
    section.finish();
    measurement
}
