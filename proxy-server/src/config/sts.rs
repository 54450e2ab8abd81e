use std::path::Path;
#[cfg(feature = "aws")]
use std::{collections::HashMap, ops::Range};

use toml::Spanned;

use super::{mistake::Collector, raw::RawSts};
use crate::{
    credentials::{RoleArn, Roles},
    policy::WorkloadName,
};

/// Which workloads are given AWS credentials, and where they come from.
#[derive(Clone, Debug)]
pub struct StsConfig {
    /// Where STS is asked.
    #[cfg(feature = "aws")]
    pub place: crate::credentials::StsPlace,
    /// At least one.
    pub roles: Roles,
}

/// The role that a configuration gives a workload, whatever else is wrong with the file; for commands that only
/// print it.
pub(crate) fn role_of(path: &Path, workload: &WorkloadName) -> Option<RoleArn> {
    let text = std::fs::read_to_string(path).ok()?;
    let roles = super::raw::read(&text, &Collector::default()).sts?.roles;
    let of_workload = |name: &Option<Spanned<String>>| {
        name.as_ref().is_some_and(|name| name.get_ref().as_str() == workload.as_str())
    };
    roles.into_iter().find(|role| of_workload(&role.workload))?.arn?.get_ref().parse().ok()
}

/// `None` where the file has no such table, or it is wrong.
#[cfg(not(feature = "aws"))]
pub(super) fn sts(raw: Option<RawSts>, _directory: &Path, found: &Collector) -> Option<StsConfig> {
    let RawSts { span, .. } = raw?;
    let message = "this build does not know AWS STS; one with the cargo feature \"aws\" does";
    found.note(span, "sts", message);
    None
}

#[cfg(feature = "aws")]
pub(super) fn sts(raw: Option<RawSts>, directory: &Path, found: &Collector) -> Option<StsConfig> {
    use super::check::parse;
    use crate::credentials::StsPlace;

    let RawSts { span, region, endpoint, roles: written } = raw?;
    if region.is_none() {
        found.note(span.clone(), "sts.region", "missing; the region whose STS is asked, as \"eu-central-1\"");
    }
    let region = region.and_then(|region| parse(&region, "sts.region", found));
    let endpoint = endpoint.map(|endpoint| parse(&endpoint, "sts.endpoint", found));
    let roles = roles(written, &span, directory, found);
    let endpoint = match endpoint {
        None => None,
        Some(endpoint) => Some(endpoint?),
    };
    Some(StsConfig { place: StsPlace { region: region?, endpoint }, roles })
}

#[cfg(feature = "aws")]
fn roles(
    written: Vec<super::raw::RawRole>,
    span: &Range<usize>,
    directory: &Path,
    found: &Collector,
) -> Roles {
    use std::{sync::Arc, time::Duration};

    use super::{check::parse, limits, raw::RawRole};
    use crate::credentials::Role;

    if written.is_empty() {
        found.note(
            span.clone(),
            "sts.role",
            "missing; [[sts.role]] with a workload and its role, once or more",
        );
    }
    let mut roles = HashMap::with_capacity(written.len());
    for raw in written {
        let RawRole { path, span, workload, arn, duration_seconds, session_policy, session_policy_file } =
            raw;
        let field = |key: &str| format!("{path}.{key}");
        let missing =
            |key: &str, what: &str| found.note(span.clone(), field(key), format!("missing; {what}"));
        if workload.is_none() {
            missing("workload", "the workload's name, as \"payments\"");
        }
        if arn.is_none() {
            missing("arn", "the role's ARN, as \"arn:aws:iam::111122223333:role/payments\"");
        }
        let place = workload.as_ref().map(Spanned::span).unwrap_or_default();
        let workload = workload.and_then(|name| parse::<WorkloadName>(&name, &field("workload"), found));
        let arn = arn.and_then(|arn| parse(&arn, &field("arn"), found));
        let seconds = limits::number(
            duration_seconds,
            &field("duration_seconds"),
            Role::SECONDS,
            *Role::SECONDS.start(),
            found,
        );
        let policy = policy(session_policy, session_policy_file, &path, &span, directory, found);
        let (Some(workload), Some(arn), Some(policy)) = (workload, arn, policy) else { continue };
        let role = Role { arn, duration: Duration::from_secs(seconds), policy };
        if roles.insert(workload.clone(), Arc::new(role)).is_some() {
            let message =
                format!("expected one role for each workload; found another one for \"{workload}\"");
            found.note(place, field("workload"), message);
        }
    }
    roles
}

/// A role without a session policy would give all it has: whoever wants that writes it down.
#[cfg(feature = "aws")]
fn policy(
    text: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
    path: &str,
    span: &Range<usize>,
    directory: &Path,
    found: &Collector,
) -> Option<crate::credentials::SessionPolicy> {
    let (text_field, file_field) = (format!("{path}.session_policy"), format!("{path}.session_policy_file"));
    let (text, field) = match (text, file) {
        (Some(text), None) => (text, text_field),
        (None, Some(file)) => {
            let bytes = super::files::read(&file, &file_field, directory, found)?;
            match String::from_utf8(bytes) {
                Ok(text) => (Spanned::new(file.span(), text), file_field),
                Err(_) => {
                    found.note(file.span(), file_field, "expected a file with JSON; found no text");
                    return None;
                }
            }
        }
        (Some(_), Some(file)) => {
            found.note(
                file.span(),
                file_field,
                "expected either session_policy or session_policy_file; found both",
            );
            return None;
        }
        (None, None) => {
            found.note(span.clone(), text_field, NO_POLICY);
            return None;
        }
    };
    // The policy itself may be a page: what is wrong names its place, and not all of it.
    text.get_ref()
        .parse()
        .map_err(|error: crate::credentials::BadSessionPolicy| {
            found.note(text.span(), field, error.to_string());
        })
        .ok()
}

#[cfg(feature = "aws")]
const NO_POLICY: &str = "missing; an IAM policy that says what of the role's rights the enclaves have, or \
                         session_policy_file with a file that holds it";
