use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AdditionalProperties, ObjectBuilder, Type},
    },
};

use super::{Moment, OriginWord, Pcrs, PcrsIn};
use crate::{
    admin::{
        extract::{Incoming, SMALL},
        problem::ApiError,
    },
    config::MeasurementState,
    policy::check_name,
    store::{MeasurementEdit, MeasurementRow, NewMeasurement, PendingValidity, UnixMs},
};

/// A measurement to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct AddMeasurement {
    /// Unique in its workload.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "v1.4.2")]
    name: String,
    pcrs: PcrsIn,
    /// For people: a release, a commit.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "1.4.2"
    )]
    version: Option<String>,
    /// For people and programs.
    #[serde(default)]
    #[schema(required = false)]
    labels: Labels,
    /// Admits from then on.
    #[serde(default)]
    #[schema(example = "2030-01-01T00:00:00Z")]
    not_before: Option<Moment>,
    /// Admits before then; its sessions end then.
    #[serde(default)]
    #[schema(example = "2031-01-01T00:00:00Z")]
    expires: Option<Moment>,
}

/// What to change in a measurement: what is absent stays, what is null goes (RFC 7396). Its PCRs never change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct MeasurementPatch {
    /// For people: a release, a commit.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", example = "1.4.2")]
    version: Option<Option<String>>,
    /// All of them: labels that are not here go.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Labels>)]
    labels: Option<Option<Labels>>,
    /// Admits from then on.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Moment>, example = "2030-01-01T00:00:00Z")]
    not_before: Option<Option<Moment>>,
    /// Admits before then; its sessions end then.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Moment>, example = "2031-01-01T00:00:00Z")]
    expires: Option<Option<Moment>>,
}

/// Tells `null` from nothing.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Incoming for AddMeasurement {
    const MOST: usize = SMALL;
}

impl Incoming for MeasurementPatch {
    const MOST: usize = SMALL;
}

impl AddMeasurement {
    pub(in crate::admin) fn check(self) -> Result<NewMeasurement, ApiError> {
        let Self { name, pcrs: PcrsIn(pcrs), version, labels: Labels(labels), not_before, expires } = self;
        check_name(&name).map_err(|error| ApiError::invalid("name", error))?;
        let edit = MeasurementEdit { version, labels, not_before: at(not_before), expires: at(expires) };
        Ok(NewMeasurement { name, pcrs, edit: check(edit)? })
    }
}

impl MeasurementPatch {
    /// What the row says after the patch.
    pub(in crate::admin) fn apply(self, row: MeasurementRow) -> Result<MeasurementEdit, ApiError> {
        let Self { version, labels, not_before, expires } = self;
        check(MeasurementEdit {
            version: version.unwrap_or(row.version),
            labels: labels
                .map_or(row.labels, |labels| labels.map(|Labels(labels)| labels).unwrap_or_default()),
            not_before: not_before.map_or(row.not_before, at),
            expires: expires.map_or(row.expires, at),
        })
    }
}

fn at(moment: Option<Moment>) -> Option<UnixMs> {
    moment.map(|Moment(at)| at)
}

fn check(edit: MeasurementEdit) -> Result<MeasurementEdit, ApiError> {
    let readable = |text: &str| {
        let length = text.chars().take(MOST_VERSION + 1).count();
        (1..=MOST_VERSION).contains(&length) && !text.chars().any(char::is_control)
    };
    if edit.version.as_deref().is_some_and(|version| !readable(version)) {
        let reason = format!("expected 1 to {MOST_VERSION} characters without control characters");
        return Err(ApiError::invalid("version", reason));
    }
    match (edit.not_before, edit.expires) {
        (Some(from), Some(until)) if until <= from => {
            Err(ApiError::invalid("expires", "expected a time after not_before"))
        }
        _ => Ok(edit),
    }
}

/// Labels: at most 32 of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::admin) struct Labels(pub(in crate::admin) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels, as {\"team\": \"payments\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            let first =
                key.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            let rest = key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(&byte));
            if !(first && rest && key.len() <= 64) {
                return Err(A::Error::custom(
                    "a label's key is 1 to 64 of a-z 0-9 . _ / -, a letter or digit first",
                ));
            }
            let printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if value.len() > 192 || !printable {
                return Err(A::Error::custom("a label's value is at most 192 printable ASCII characters"));
            }
            if labels.insert(key, value).is_some() {
                return Err(A::Error::custom("a label stands twice"));
            }
            if labels.len() > MOST_LABELS {
                return Err(A::Error::custom(format_args!("there are more than {MOST_LABELS} labels")));
            }
        }
        Ok(Labels(labels))
    }
}

impl ToSchema for Labels {}

impl PartialSchema for Labels {
    fn schema() -> RefOr<Schema> {
        let value = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[ -~]{0,192}$"));
        ObjectBuilder::new()
            .property_names(Some(
                ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9][a-z0-9._/-]{0,63}$")),
            ))
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(value.into()))))
            .max_properties(Some(MOST_LABELS))
            .examples([serde_json::json!({ "team": "payments" })])
            .into()
    }
}

/// A measurement.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct MeasurementView {
    #[schema(example = "payments")]
    workload: String,
    #[schema(example = "v1.4.2")]
    name: String,
    state: StateWord,
    pcrs: Pcrs,
    version: Option<String>,
    labels: BTreeMap<String, String>,
    not_before: Option<Moment>,
    expires: Option<Moment>,
    origin: OriginWord,
    /// Who added it, and so cannot approve it.
    author: Option<String>,
    /// A validity that allows more and waits for approvals.
    pending: Option<PendingValidityView>,
    /// Who approved this revision.
    approvers: Vec<String>,
    created: Moment,
    /// For If-Match.
    #[schema(minimum = 0)]
    revision: u64,
    /// The epoch that made it what it is.
    #[schema(minimum = 0)]
    epoch: u64,
    /// Why it was revoked.
    reason: Option<String>,
}

/// From when, and before when, it would admit.
#[derive(Debug, Serialize, ToSchema)]
struct PendingValidityView {
    not_before: Option<Moment>,
    expires: Option<Moment>,
    /// Who asks for it, and so cannot approve it.
    author: String,
}

/// What a measurement is worth.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum StateWord {
    /// Known, and admits nobody yet.
    Pending,
    /// Admits.
    Active,
    /// Refuses whatever matches it, for good.
    Revoked,
}

impl From<MeasurementState> for StateWord {
    fn from(state: MeasurementState) -> Self {
        match state {
            MeasurementState::Pending => Self::Pending,
            MeasurementState::Active => Self::Active,
            MeasurementState::Revoked => Self::Revoked,
        }
    }
}

impl From<StateWord> for MeasurementState {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::Pending => Self::Pending,
            StateWord::Active => Self::Active,
            StateWord::Revoked => Self::Revoked,
        }
    }
}

impl From<MeasurementRow> for MeasurementView {
    fn from(row: MeasurementRow) -> Self {
        let MeasurementRow {
            workload,
            name,
            origin,
            version,
            labels,
            pcrs,
            state,
            not_before,
            expires,
            author,
            pending,
            approvers,
            created,
            revision,
            epoch,
            reason,
        } = row;
        Self {
            workload,
            name,
            state: state.into(),
            pcrs: Pcrs(pcrs),
            version,
            labels,
            not_before: not_before.map(Moment),
            expires: expires.map(Moment),
            origin: origin.into(),
            author,
            pending: pending.map(|PendingValidity { not_before, expires, author }| PendingValidityView {
                not_before: not_before.map(Moment),
                expires: expires.map(Moment),
                author,
            }),
            approvers,
            created: Moment(created),
            revision,
            epoch: epoch.0,
            reason,
        }
    }
}

/// In UTF-8 at most what the store keeps.
const MOST_VERSION: usize = 64;
const MOST_LABELS: usize = 32;
