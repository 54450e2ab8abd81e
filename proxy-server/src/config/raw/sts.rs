//! The table `[sts]`.

use std::ops::Range;

use super::{Number, Text};
use crate::config::reader::Section;

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "a build without STS refuses the whole table"))]
pub(in crate::config) struct RawSts {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) region: Text,
    pub(in crate::config) endpoint: Text,
    pub(in crate::config) roles: Vec<RawRole>,
}

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "a build without STS refuses the whole table"))]
pub(in crate::config) struct RawRole {
    pub(in crate::config) path: String,
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) workload: Text,
    pub(in crate::config) arn: Text,
    pub(in crate::config) duration_seconds: Number,
    pub(in crate::config) session_policy: Text,
    pub(in crate::config) session_policy_file: Text,
}

pub(super) fn sts(section: Section<'_>) -> RawSts {
    let sts = RawSts {
        span: section.span(),
        region: section.text("region"),
        endpoint: section.text("endpoint"),
        roles: section.sections("role").into_iter().map(role).collect(),
    };
    section.finish();
    sts
}

fn role(section: Section<'_>) -> RawRole {
    let role = RawRole {
        path: section.path().to_owned(),
        span: section.span(),
        workload: section.text("workload"),
        arn: section.text("arn"),
        duration_seconds: section.number("duration_seconds"),
        session_policy: section.text("session_policy"),
        session_policy_file: section.text("session_policy_file"),
    };
    section.finish();
    role
}
