use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use countersign_verifier::{MAX_DOCUMENT_BYTES, PcrIndex, PcrSet, Refusal, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, Type},
    },
};

use super::{Moment, Pcrs, PcrsIn};
use crate::{
    admin::{
        extract::{Incoming, SMALL},
        problem::ApiError,
    },
    store::UnixMs,
};

/// What to explain, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Explain {
    #[serde(default)]
    document: Option<DocumentBytes>,
    #[serde(default)]
    pcrs: Option<PcrsIn>,
}

/// What to explain: one thing.
#[derive(Debug)]
pub(in crate::admin) enum Explainable {
    Document(Vec<u8>),
    Pcrs(Box<PcrSet>),
}

impl Incoming for Explain {
    const MOST: usize = SMALL;
}

impl Explain {
    pub(in crate::admin) fn check(self) -> Result<Explainable, ApiError> {
        match (self.document, self.pcrs) {
            (Some(DocumentBytes(bytes)), None) => Ok(Explainable::Document(bytes)),
            (None, Some(PcrsIn(pcrs))) => Ok(Explainable::Pcrs(Box::new(pcrs))),
            (Some(_), Some(_)) => Err(ApiError::invalid("pcrs", "a document has its own: give one of both")),
            (None, None) => Err(ApiError::invalid("document", "missing; give a document or pcrs")),
        }
    }
}

/// What to explain: one of these.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "its schema alone is used, in the OpenAPI document")]
pub(in crate::admin) enum ExplainShape {
    Document(ExplainDocument),
    Pcrs(Box<ExplainPcrs>),
}

/// A document.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "its schema alone is used, in the OpenAPI document")]
pub(in crate::admin) struct ExplainDocument {
    document: DocumentBytes,
}

/// PCRs, as of an image that no enclave runs yet.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "its schema alone is used, in the OpenAPI document")]
pub(in crate::admin) struct ExplainPcrs {
    pcrs: PcrsIn,
}

/// An attestation document in base64 (RFC 4648 section 4), with padding or without.
#[derive(Debug)]
pub(in crate::admin) struct DocumentBytes(Vec<u8>);

impl<'de> Deserialize<'de> for DocumentBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        if text.len() > LONGEST {
            return Err(D::Error::custom(format_args!("a document has at most {MAX_DOCUMENT_BYTES} bytes")));
        }
        let bytes = BASE64.decode(text.as_bytes());
        bytes.map(Self).map_err(|error| D::Error::custom(format_args!("the document is no base64: {error}")))
    }
}

impl ToSchema for DocumentBytes {}

impl PartialSchema for DocumentBytes {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_encoding("base64")
            .description(Some("An attestation document in base64"))
            .pattern(Some("^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?$"))
            .max_length(Some(LONGEST))
            .into()
    }
}

/// What a document says, whether it holds, and what it would be admitted as.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Explained {
    /// SHA-256 of the document, as the audit has it; null when PCRs were given.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub(in crate::admin) evidence: Option<String>,
    /// What it says; null when it cannot be read, or PCRs were given.
    pub(in crate::admin) document: Option<DocumentView>,
    /// Null when PCRs were given: there is nothing to verify.
    pub(in crate::admin) verification: Option<Verification>,
    /// Measurements that it matches, of those the caller sees.
    pub(in crate::admin) matches: Vec<Match>,
    /// What comes closest when none matches.
    pub(in crate::admin) nearest: Option<Nearest>,
    /// The revoked measurement that its PCRs match: it denies, whatever else would allow.
    #[schema(example = json!(null))]
    pub(in crate::admin) revoked: Option<String>,
    /// Whether an enclave with these PCRs would be admitted now, as far as the caller can see.
    pub(in crate::admin) admitted: bool,
    /// One sentence for a person.
    #[schema(example = "matches payments/v1.4.2")]
    pub(in crate::admin) words: String,
}

/// What a document says.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct DocumentView {
    /// The EC2 instance and enclave.
    pub(in crate::admin) module_id: String,
    pub(in crate::admin) timestamp: Moment,
    pub(in crate::admin) pcrs: Pcrs,
    /// PCR0, 1 and 2 are zero: anyone on the host can read it.
    pub(in crate::admin) debug_mode: bool,
    /// Its certificates, from the root to the enclave's own. What cannot be read is left out.
    pub(in crate::admin) chain: Vec<CertificateView>,
}

/// A certificate, for people: whether it holds, `verification` says.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct CertificateView {
    /// Its common name.
    pub(in crate::admin) subject: String,
    pub(in crate::admin) not_before: Moment,
    pub(in crate::admin) not_after: Moment,
}

/// Whether chain and signature hold, at the time the document was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub(in crate::admin) enum Verification {
    /// They hold. Nonce, key and binder are those of some connection; here they are not looked at.
    Holds {
        /// The root.
        root: String,
        /// Nothing that rests on the document lives longer.
        not_after: Moment,
    },
    /// They do not, or there is no document.
    Refused {
        /// What was being done: `syntax`, `chain`, `signature` …
        stage: String,
        /// `docs/refusals.md` has them all.
        code: String,
        /// Expected and actual, in words.
        detail: String,
    },
}

impl From<Refusal> for Verification {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            stage: refusal.stage().to_string(),
            code: refusal.code().to_owned(),
            detail: refusal.to_string(),
        }
    }
}

/// A measurement that the document matches.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Match {
    pub(in crate::admin) workload: String,
    pub(in crate::admin) measurement: String,
}

/// The measurement that comes closest.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Nearest {
    pub(in crate::admin) workload: String,
    pub(in crate::admin) measurement: String,
    pub(in crate::admin) differences: Vec<Difference>,
}

/// A PCR that differs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Difference {
    #[schema(minimum = 0, maximum = 31)]
    pub(in crate::admin) pcr: u8,
    /// What it is, in words.
    #[schema(example = "the application")]
    pub(in crate::admin) of: &'static str,
    #[schema(pattern = "^[0-9a-f]{96}$")]
    pub(in crate::admin) expected: String,
    /// Null when the document does not have it.
    #[schema(pattern = "^[0-9a-f]{96}$")]
    pub(in crate::admin) actual: Option<String>,
}

/// What a PCR measures (AWS, "Cryptographic attestation", the table of PCRs).
pub(in crate::admin) fn meaning(index: PcrIndex) -> &'static str {
    match index.get() {
        0 => "the enclave image",
        1 => "the kernel and boot ramdisk",
        2 => "the application",
        3 => "the IAM role of the parent instance",
        4 => "the id of the parent instance",
        8 => "the signing certificate of the image",
        16 => "what the enclave itself measured",
        _ => "defined by the enclave",
    }
}

/// A moment of the verifier's.
pub(in crate::admin) fn moment(at: UnixMillis) -> Moment {
    Moment(UnixMs(i64::try_from(at.as_millis()).unwrap_or(i64::MAX)))
}

/// [`MAX_DOCUMENT_BYTES`] in base64.
const LONGEST: usize = MAX_DOCUMENT_BYTES.div_ceil(3) * 4;

/// People paste from many tools: padding or not, and stray last bits are passed
/// over. Which bytes are meant is never in doubt.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
