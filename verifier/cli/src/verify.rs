//! `verify`: whether a document holds, and why not.

use crate::Outcome;
use crate::args::{Bytes, Output, VerifyArguments};
use crate::input;
use crate::inspect::pcrs_json;
use crate::output::{Colour, moment, print, print_json, refusal_json, refusal_text, verdict, visible};
use countersign_verifier::{
    AppraisalRefusal, CacheCapacity, DebugMode, Evidence, Expectations, Expected, Freshness, Measurement,
    ReferenceValues, Refusal, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All that was settled before the document was read.
struct Task {
    at: UnixMillis,
    anchor: TrustAnchor,
    nonce: Option<Bytes>,
    public_key: Option<Bytes>,
    user_data: Option<Bytes>,
    /// `None`: PCRs are not compared.
    references: Option<ReferenceValues>,
    debug: DebugMode,
}

/// Verifies and prints one document.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<Outcome, String> {
    let task = Task::new(arguments)?;
    let input = input::read(&arguments.file)?;
    let parsed = match &input {
        Ok(input) => UnverifiedDocument::parse(&input.bytes),
        Err(refusal) => Err(refusal.clone()),
    };
    let made_at = parsed.as_ref().ok().map(UnverifiedDocument::timestamp);
    let verifier = Verifier::new(task.anchor.clone(), CacheCapacity::NONE);
    match parsed.and_then(|document| task.accept(&verifier, &document)) {
        Ok(accepted) => {
            match arguments.output {
                Output::Json => print_json(&accepted.json(&task))?,
                Output::Text => print(&accepted.text(&task))?,
            }
            Ok(Outcome::Accepted)
        }
        Err(refusal) => {
            let hint = hint(&refusal, arguments.at, made_at);
            match arguments.output {
                Output::Json => print_json(&with_details(&refusal, hint))?,
                Output::Text => {
                    let hint = hint.map(|hint| format!("  hint      {hint}\n")).unwrap_or_default();
                    print(&(refusal_text(&refusal) + &hint))?;
                }
            }
            Ok(Outcome::Refused)
        }
    }
}

impl Task {
    fn new(arguments: &VerifyArguments) -> Result<Self, String> {
        let references = match &*arguments.expect {
            [] => None,
            files => Some(files.iter().map(|path| measurement(path)).collect::<Result<_, _>>()?),
        };
        Ok(Self {
            at: arguments.at.map_or_else(now, Ok)?,
            anchor: anchor(arguments)?,
            nonce: arguments.nonce.clone(),
            public_key: arguments.public_key.clone(),
            user_data: arguments.user_data.clone(),
            references,
            debug: if arguments.allow_debug { DebugMode::DangerAllow } else { DebugMode::Refuse },
        })
    }

    fn accept<'a>(
        &self,
        verifier: &Verifier,
        document: &UnverifiedDocument<'a>,
    ) -> Result<Accepted<'a>, Refusal> {
        let expectations = Expectations {
            at: self.at,
            freshness: Freshness::Within { past: MAX_AGE, future: CLOCK_ALLOWANCE },
            nonce: expected(self.nonce.as_ref()),
            public_key: expected(self.public_key.as_ref()),
            user_data: expected(self.user_data.as_ref()),
        };
        let evidence = verifier.verify(document, &expectations)?;
        let measurement = match &self.references {
            Some(references) => {
                Some(evidence.appraise(references, self.debug)?.measurement().name().to_owned())
            }
            None if evidence.pcrs().is_debug() && self.debug == DebugMode::Refuse => {
                return Err(AppraisalRefusal::DebugMode.into());
            }
            None => None,
        };
        Ok(Accepted { evidence, measurement })
    }
}

fn expected(bytes: Option<&Bytes>) -> Expected<'_> {
    bytes.map_or(Expected::Unchecked, |Bytes(bytes)| Expected::Exactly(bytes))
}

/// The name of a measurement is its file's.
fn measurement(path: &Path) -> Result<Measurement, String> {
    let json = input::read_small(path)?;
    Measurement::from_json(path.display().to_string(), &json).map_err(|error| {
        format!("{}: {error}; give the output of nitro-cli build-enclave or describe-eif", path.display())
    })
}

#[cfg(feature = "simulator")]
fn anchor(arguments: &VerifyArguments) -> Result<TrustAnchor, String> {
    match &arguments.danger_root {
        Some(path) => danger_anchor(path),
        None => Ok(arguments.root.anchor()),
    }
}

#[cfg(not(feature = "simulator"))]
fn anchor(arguments: &VerifyArguments) -> Result<TrustAnchor, String> {
    Ok(arguments.root.anchor())
}

#[cfg(feature = "simulator")]
fn danger_anchor(path: &Path) -> Result<TrustAnchor, String> {
    let der = input::read_small(path)?;
    eprintln!("danger: verifying under {}, which is not AWS's root", path.display());
    TrustAnchor::danger_from_der(&der)
        .map_err(|fault| format!("{}: no root certificate in DER: {fault}", path.display()))
}

fn now() -> Result<UnixMillis, String> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .map(UnixMillis::from_millis)
        .ok_or_else(|| "this machine's clock is before 1970: set it, or give --at".to_owned())
}

/// What to do about a refusal, when there is something.
fn hint(refusal: &Refusal, at: Option<UnixMillis>, made_at: Option<UnixMillis>) -> Option<String> {
    match (refusal.code(), at, made_at) {
        ("document-too-old" | "certificate-expired", None, Some(made_at)) => Some(format!(
            "to verify a kept document at the time it was made, add --at {}",
            made_at.as_millis()
        )),
        ("document-too-old" | "document-from-the-future", Some(_), Some(made_at)) => {
            Some(format!("the document's own time is {}", made_at.as_millis()))
        }
        ("debug-mode", ..) => {
            Some("to accept an enclave whose host can read it, add --allow-debug".to_owned())
        }
        ("untrusted-root", ..) => Some("documents of GovCloud need --root aws-us-gov".to_owned()),
        _ => None,
    }
}

/// The refusal's row, with the closest measurement in parts and the hint.
fn with_details(refusal: &Refusal, hint: Option<String>) -> Value {
    let mut value = refusal_json(refusal);
    if let Refusal::Appraisal(AppraisalRefusal::Mismatch(mismatch)) = refusal {
        let differences: Vec<_> = mismatch
            .differences
            .iter()
            .map(|difference| {
                json!({
                    "pcr": difference.index.get(),
                    "expected": difference.expected.to_string(),
                    "actual": difference.actual.map(|pcr| pcr.to_string()),
                })
            })
            .collect();
        value["closest"] = json!({ "name": mismatch.closest, "differences": differences });
    }
    value["hint"] = hint.into();
    value
}

/// A document that holds.
struct Accepted<'a> {
    evidence: Evidence<'a>,
    /// The one that matched; `None` when none was asked for.
    measurement: Option<String>,
}

impl Accepted<'_> {
    fn text(&self, task: &Task) -> String {
        let evidence = &self.evidence;
        let mut text = format!(
            "{}\n  root      {}\n  at        {}\n  module    {}\n  made      {}\n  ends      {}\n",
            verdict("accepted", Colour::Green),
            task.anchor.name(),
            task.at,
            visible(evidence.module_id()),
            evidence.timestamp(),
            evidence.not_after(),
        );
        text += &match &self.measurement {
            Some(name) => format!("  PCRs      those of {}\n", visible(name)),
            None => "  PCRs      not compared: give --expect measurement.json\n".to_owned(),
        };
        text += match &task.nonce {
            Some(_) => "  nonce     as expected\n",
            None => "  nonce     not compared: without --nonce, this may be a replay\n",
        };
        for (given, line) in
            [(&task.public_key, "  key       as expected\n"), (&task.user_data, "  user data as expected\n")]
        {
            text += given.as_ref().map_or("", |_| line);
        }
        if evidence.pcrs().is_debug() {
            text += "  danger    debug mode: the host can read this enclave\n";
        }
        text
    }

    fn json(&self, task: &Task) -> Value {
        let evidence = &self.evidence;
        json!({
            "verdict": "accepted",
            "root": task.anchor.name(),
            "at": moment(task.at),
            "module_id": evidence.module_id(),
            "timestamp": moment(evidence.timestamp()),
            "not_after": moment(evidence.not_after()),
            "debug_mode": evidence.pcrs().is_debug(),
            "measurement": self.measurement,
            "nonce_compared": task.nonce.is_some(),
            "public_key_compared": task.public_key.is_some(),
            "user_data_compared": task.user_data.is_some(),
            "pcrs": pcrs_json(evidence.pcrs()),
        })
    }
}

/// As long as a leaf certificate lives. Whoever needs a fresher document gives a nonce.
const MAX_AGE: Duration = Duration::from_secs(3 * 3600);

/// How far this machine's clock may be behind the hypervisor's.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(300);
