//! Policies of every shape, each judged to the finding.

use countersign_verifier::{PcrIndex, PcrSet};
use serde_json::{Value, json};

use super::*;

/// 1.0 and 2.0 admit; 0.9 was revoked, 0.8 expired, 3.0 waits; `reports` is another workload; `pinned` names the role too.
fn world() -> Vec<Known> {
    let known =
        |name: &str, byte: &str, standing| Known { name: name.to_owned(), pcrs: pcrs(byte, &[]), standing };
    vec![
        known("payments/1.0", "a1", Standing::Active),
        known("payments/2.0", "a2", Standing::Active),
        known("payments/0.9", "b1", Standing::Revoked),
        known("payments/0.8", "b2", Standing::Expired),
        known("payments/3.0", "b3", Standing::Pending),
        known("reports/1.0", "c1", Standing::OfOtherWorkload),
    ]
}

/// 1.0 alone, with PCR3 pinned.
fn pinned() -> Vec<Known> {
    let pcrs = pcrs("a1", &[(3, "d3")]);
    vec![Known { name: "payments/1.0".to_owned(), pcrs, standing: Standing::Active }]
}

fn pcrs(byte: &str, more: &[(u64, &str)]) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    let all = [(0, byte), (1, "e1"), (2, "e2")];
    for (index, byte) in all.iter().chain(more) {
        set.insert(PcrIndex::new(*index).unwrap(), byte.repeat(48).parse().unwrap()).unwrap();
    }
    set
}

fn hex(byte: &str) -> String {
    byte.repeat(48)
}

/// What is found in these statements: `statement code`, or `code measurement` for what is missing.
fn found(known: &[Known], statements: Value) -> Vec<String> {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let findings = drift(&KeyPolicy::read(policy.as_bytes()).unwrap(), known);
    let said = |finding: &Finding| match (&finding.statement, &finding.fault) {
        (Some(statement), fault) => format!("{statement} {}", fault.code()),
        (None, Fault::Missing { measurement, .. }) => format!("missing {measurement}"),
        other => panic!("{other:?}"),
    };
    findings.iter().map(said).collect()
}

/// An honest statement: both measurements, by a named role, changed by `change`.
fn honest(change: impl FnOnce(&mut Value)) -> Value {
    let mut statement = json!({
        "Sid": "S",
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::111122223333:role/payments" },
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": "*",
        "Condition": { "StringEqualsIgnoreCase": { IMAGE: [hex("a1"), hex("a2")] } },
    });
    change(&mut statement);
    statement
}

fn with(condition: Value) -> Value {
    honest(|statement| statement["Condition"] = condition)
}

const IMAGE: &str = "kms:RecipientAttestation:ImageSha384";
const PCR0: &str = "kms:RecipientAttestation:PCR0";
const PCR3: &str = "kms:RecipientAttestation:PCR3";

#[test]
fn what_is_printed_has_no_drift() {
    for known in [world(), pinned()] {
        let active: Vec<Known> =
            known.iter().filter(|known| known.standing == Standing::Active).cloned().collect();
        let printed = statements(&["arn:aws:iam::111122223333:role/payments".to_owned()], &active);
        let policy = KeyPolicy::read(printed.to_string().as_bytes()).unwrap();
        assert_eq!(drift(&policy, &known), []);
    }
}

#[test]
fn a_statement_is_printed_for_each_measurement_with_all_its_pcrs() {
    let role = "arn:aws:iam::111122223333:role/payments";
    let printed = statements(&[role.to_owned()], &pinned());
    assert_eq!(
        printed,
        json!({ "Version": "2012-10-17", "Statement": [{
            "Sid": "CountersignPayments10",
            "Effect": "Allow",
            "Principal": { "AWS": role },
            "Action": ["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair"],
            "Resource": "*",
            "Condition": { "StringEqualsIgnoreCase": {
                "kms:RecipientAttestation:ImageSha384": hex("a1"),
                "kms:RecipientAttestation:PCR1": hex("e1"),
                "kms:RecipientAttestation:PCR2": hex("e2"),
                "kms:RecipientAttestation:PCR3": hex("d3"),
            } },
        }] })
    );
    let mut twice = pinned();
    twice.extend(pinned());
    twice[1].name = "payments/1-0".to_owned();
    let both = ["arn:a".to_owned(), "arn:b".to_owned()];
    let printed = statements(&both, &twice);
    assert_eq!(printed["Statement"][1]["Sid"], "CountersignPayments10N2", "each Sid once");
    assert_eq!(printed["Statement"][0]["Principal"]["AWS"], json!(both));
}

#[test]
fn honest_policies_of_every_shape_have_no_drift() {
    let equal = |operator: &str, key: &str| with(json!({ operator: { key: [hex("a1"), hex("a2")] } }));
    for statement in [
        honest(|_| ()),
        json!([honest(|_| ())]),
        equal("StringEquals", IMAGE),
        equal("StringLike", IMAGE),
        equal("ForAnyValue:StringEquals", IMAGE),
        equal("stringequalsignorecase", &IMAGE.to_uppercase()),
        equal("StringEqualsIgnoreCase", PCR0),
        with(json!({ "StringEqualsIgnoreCase": { IMAGE: [hex("A1"), hex("a2")] } })),
        // More conditions only narrow.
        with(json!({
            "StringEqualsIgnoreCase": { IMAGE: [hex("a1"), hex("a2")], PCR3: hex("d3") },
            "StringEquals": { "kms:ViaService": "x", "aws:PrincipalOrgID": "o" },
            "Bool": { "aws:SecureTransport": true },
        })),
        // A loose condition beside one that binds the image does no harm.
        with(json!({
            "StringEqualsIgnoreCase": { IMAGE: [hex("a1"), hex("a2")] },
            "StringLike": { PCR3: "*" },
        })),
        // What takes no attestation is not looked at, nor what denies.
        json!([
            honest(|_| ()),
            honest(|s| {
                s["Action"] = json!(["kms:Encrypt", "kms:DescribeKey", "kms:Put*", "kms:GenerateRandom"]);
                s["Condition"] = json!({});
            })
        ]),
        json!([
            honest(|_| ()),
            honest(|s| {
                s["Effect"] = json!("Deny");
                s["Condition"] = json!({ "Bool": { "aws:SecureTransport": "false" } });
            })
        ]),
    ] {
        assert_eq!(found(&world(), statement.clone()), [""; 0], "{statement:#}");
    }
}

#[test]
fn what_is_too_wide_is_named() {
    let missing = ["missing payments/1.0", "missing payments/2.0"];
    let cases: Vec<(Value, &[&str])> = vec![
        (honest(|s| drop(s.as_object_mut().unwrap().remove("Condition"))), &["S no-condition"]),
        (with(json!({})), &["S no-condition"]),
        (with(json!({ "StringEquals": { "kms:ViaService": "x" } })), &["S no-condition"]),
        (
            with(json!({ "StringEquals": { "kms:RecipientAttestation:PCR32": hex("a1") } })),
            &["S no-condition"],
        ),
        (with(json!({ "StringEqualsIgnoreCase": { PCR3: hex("d3") } })), &["S any-image"]),
        (with(json!({ "StringLike": { IMAGE: "*" } })), &["S loose-condition"]),
        (with(json!({ "StringLike": { IMAGE: [hex("a1"), "a1*"] } })), &["S loose-condition"]),
        (with(json!({ "StringLike": { IMAGE: "?".repeat(96) } })), &["S loose-condition"]),
        (with(json!({ "StringEqualsIfExists": { IMAGE: hex("a1") } })), &["S loose-condition"]),
        (with(json!({ "StringEqualsIgnoreCaseIfExists": { IMAGE: hex("a1") } })), &["S loose-condition"]),
        (with(json!({ "ForAllValues:StringEquals": { IMAGE: hex("a1") } })), &["S loose-condition"]),
        (with(json!({ "ForEachValue:StringEquals": { IMAGE: hex("a1") } })), &["S loose-condition"]),
        (with(json!({ "StringNotEquals": { IMAGE: hex("b1") } })), &["S loose-condition"]),
        (with(json!({ "StringNotLike": { IMAGE: "b1*" } })), &["S loose-condition"]),
        (with(json!({ "Null": { IMAGE: "false" } })), &["S loose-condition"]),
        (with(json!({ "BinaryEquals": { IMAGE: hex("a1") } })), &["S loose-condition"]),
        (with(json!({ "StringNewOperator": { IMAGE: hex("a1") } })), &["S loose-condition"]),
    ];
    for (statement, expected) in cases {
        let expected: Vec<&str> = expected.iter().chain(&missing).copied().collect();
        assert_eq!(found(&world(), statement.clone()), expected, "{statement:#}");
    }
}

#[test]
fn principals_and_actions_that_name_everything_are_named() {
    for principal in [json!("*"), json!({ "AWS": "*" }), json!({ "AWS": ["arn:aws:iam::1:root", "*"] })] {
        let statement = honest(|s| s["Principal"] = principal);
        assert_eq!(found(&world(), statement), ["S any-principal"]);
    }
    let but = honest(|s| {
        s["NotPrincipal"] = s.as_object_mut().unwrap().remove("Principal").unwrap();
    });
    assert_eq!(found(&world(), but), ["S not-principal"]);
    let all_but = |actions: Value| {
        honest(|s| {
            s.as_object_mut().unwrap().remove("Action");
            s["NotAction"] = actions;
        })
    };
    assert_eq!(found(&world(), all_but(json!("kms:Encrypt"))), ["S not-action"]);
    // It leaves the attested operations out, so it gives none of them.
    let none = found(&world(), all_but(json!(["kms:Decrypt", "kms:Derive*", "KMS:GENERATEDATAKEY*"])));
    assert_eq!(none, ["missing payments/1.0", "missing payments/2.0"]);
    // The statement that AWS's console puts into every new key.
    let root = json!({
        "Sid": "Enable IAM User Permissions", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
    });
    assert_eq!(found(&world(), json!([root, honest(|_| ())])), ["Enable IAM User Permissions no-condition"]);
}

#[test]
fn whose_image_is_named_is_said() {
    for (byte, code) in [
        ("b1", "revoked-named"),
        ("b2", "expired-named"),
        ("b3", "pending-named"),
        ("c1", "other-workload-named"),
        ("ff", "unknown-named"),
    ] {
        let named = with(json!({ "StringEquals": { IMAGE: [hex("a1"), hex("a2"), hex(byte)] } }));
        assert_eq!(found(&world(), named), [format!("S {code}")]);
    }
    // Revoked and at the same time expired: the worse word.
    let mut both = world();
    let expired = Known { name: "payments/0.9b".into(), standing: Standing::Expired, ..both[2].clone() };
    both.push(expired);
    let named = with(json!({ "StringEquals": { IMAGE: [hex("a1"), hex("a2"), hex("b1")] } }));
    assert_eq!(found(&both, named), ["S revoked-named"]);
}

#[test]
fn what_is_missing_is_said() {
    let one = with(json!({ "StringEquals": { IMAGE: hex("a1") } }));
    assert_eq!(found(&world(), one.clone()), ["missing payments/2.0"]);
    assert_eq!(found(&world(), json!([])), ["missing payments/1.0", "missing payments/2.0"]);
    // Upper case never equals what KMS compares with.
    let upper = with(json!({ "StringEquals": { IMAGE: [hex("A1"), hex("a2")] } }));
    assert_eq!(found(&world(), upper), ["missing payments/1.0"]);
    // Another kernel than the measurement's: no enclave fulfils both.
    let never = with(json!({ "StringEquals": {
        IMAGE: [hex("a1"), hex("a2")], "kms:RecipientAttestation:PCR1": hex("00")
    } }));
    assert_eq!(found(&world(), never), ["missing payments/1.0", "missing payments/2.0"]);
    // ImageSha384 and PCR0 are one register: both must hold.
    let both =
        with(json!({ "StringEquals": { IMAGE: [hex("a1"), hex("b1")], PCR0: [hex("a1"), hex("a2")] } }));
    assert_eq!(found(&world(), both), ["missing payments/2.0"]);
    // Everybody is denied: nothing is too wide, and everything is missing.
    let denied = json!({ "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*" });
    let open = honest(|s| s["Condition"] = json!({}));
    assert_eq!(found(&world(), json!([open, denied])), ["missing payments/1.0", "missing payments/2.0"]);
}

#[test]
fn a_measurement_that_pins_more_than_its_image_is_demanded_whole() {
    let image = json!({ IMAGE: hex("a1") });
    assert_eq!(found(&pinned(), with(json!({ "StringEquals": image }))), ["S pcrs-open"]);
    let whole = with(json!({ "StringEquals": { IMAGE: hex("a1"), PCR3: hex("d3") } }));
    assert_eq!(found(&pinned(), whole), [""; 0]);
    let wider = with(json!({ "StringEquals": { IMAGE: hex("a1"), PCR3: [hex("d3"), hex("d4")] } }));
    assert_eq!(found(&pinned(), wider), ["S pcrs-open"]);
    // The same image without PCR3 is active as well: the statement is as wide as that.
    let mut both = pinned();
    both.push(Known { name: "payments/any".into(), pcrs: pcrs("a1", &[]), standing: Standing::Active });
    assert_eq!(found(&both, with(json!({ "StringEquals": image }))), [""; 0]);
}

/// What everybody is denied without the right image, nobody is given by another statement.
#[test]
fn a_guard_bounds_every_statement() {
    let guard = |principal: Value, condition: Value| {
        json!({ "Sid": "G", "Effect": "Deny", "Principal": principal, "Action": ["kms:Decrypt", "kms:Gen*", "kms:Der*"],
                "Resource": "*", "Condition": condition })
    };
    let open = honest(|s| s["Condition"] = json!({}));
    let both = json!([hex("a1"), hex("a2")]);
    for operator in ["StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotEqualsIfExists"] {
        let guarded = guard(json!("*"), json!({ operator: { IMAGE: both } }));
        assert_eq!(found(&world(), json!([open, guarded])), [""; 0], "{operator}");
    }
    let revoked = guard(
        json!({ "AWS": "*" }),
        json!({ "StringNotEquals": { IMAGE: [hex("a1"), hex("a2"), hex("b1")] } }),
    );
    assert_eq!(found(&world(), json!([open, revoked])), ["S revoked-named"]);
    // No guard: it denies some principals only, under one more condition, or the wrong way round.
    let missing = ["S no-condition", "missing payments/1.0", "missing payments/2.0"];
    for (principal, condition) in [
        (
            json!({ "AWS": "arn:aws:iam::111122223333:role/other" }),
            json!({ "StringNotEquals": { IMAGE: both } }),
        ),
        (json!("*"), json!({ "StringNotEquals": { IMAGE: both, PCR3: hex("d3") } })),
        (
            json!("*"),
            json!({ "StringNotEquals": { IMAGE: both }, "Bool": { "aws:SecureTransport": "true" } }),
        ),
        (json!("*"), json!({ "StringEquals": { IMAGE: hex("b1") } })),
        (json!("*"), json!({ "StringNotLike": { IMAGE: "a*" } })),
        (json!("*"), json!({ "ForAnyValue:StringNotEquals": { IMAGE: both } })),
    ] {
        let statements = json!([open, guard(principal, condition)]);
        assert_eq!(found(&world(), statements.clone()), missing, "{statements:#}");
    }
    // It guards Decrypt alone; GenerateDataKey stays open.
    let half = json!({ "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
                       "Condition": { "StringNotEquals": { IMAGE: both } } });
    let policy = json!({ "Statement": [open, half] }).to_string();
    let findings = drift(&KeyPolicy::read(policy.as_bytes()).unwrap(), &world());
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (&findings[0].fault, &findings[0].operations[..]),
        (&Fault::NoCondition, &["kms:GenerateDataKey"][..])
    );
}

/// KMS takes a statement without a Resource, and it has no effect. One that denies only counts where it certainly denies
/// everybody this key; one that allows counts as soon as it may.
#[test]
fn what_has_no_effect_denies_nobody_and_allows_nobody() {
    let other = "arn:aws:kms:eu-central-1:111122223333:key/other";
    let open = honest(|s| s["Condition"] = json!({}));
    let both = json!({ "StringNotEquals": { IMAGE: [hex("a1"), hex("a2")] } });
    let deny = |element: Option<(&str, Value)>, principal: Value, condition: Option<&Value>| {
        let mut deny = json!({ "Sid": "D", "Effect": "Deny", "Principal": principal, "Action": "kms:*" });
        deny.as_object_mut().unwrap().extend(element.map(|(name, value)| (name.to_owned(), value)));
        deny.as_object_mut().unwrap().extend(condition.map(|value| ("Condition".to_owned(), value.clone())));
        deny
    };
    let missing = ["S no-condition", "missing payments/1.0", "missing payments/2.0"];
    for condition in [None, Some(&both)] {
        for (element, principal) in [
            (None, json!("*")),
            (Some(("Resource", json!(other))), json!("*")),
            (Some(("Resource", json!([]))), json!("*")),
            (Some(("NotResource", json!("*"))), json!("*")),
            (Some(("NotResource", json!(other))), json!("*")),
            (Some(("Resource", json!("*"))), json!({ "Service": "*" })),
            (Some(("Resource", json!("*"))), json!({ "Federated": ["*"] })),
        ] {
            let statements = json!([open, deny(element, principal, condition)]);
            assert_eq!(found(&world(), statements.clone()), missing, "{statements:#}");
        }
        let all = if condition.is_none() { &missing[1..] } else { &[] };
        for principal in [json!("*"), json!({ "AWS": ["*"], "Service": "kms.amazonaws.com" })] {
            let named = Some(("Resource", json!([other, "*"])));
            let statements = json!([open, deny(named, principal, condition)]);
            assert_eq!(found(&world(), statements.clone()), all, "{statements:#}");
        }
    }
    let without = |condition: Value| {
        let mut statement = with(condition);
        statement.as_object_mut().unwrap().remove("Resource");
        statement
    };
    let image = json!({ "StringEquals": { IMAGE: [hex("a1"), hex("a2")] } });
    assert_eq!(found(&world(), without(image)), &missing[1..], "nobody is allowed by it");
    assert_eq!(found(&world(), without(json!({}))), &missing[1..]);
    let elsewhere = honest(|s| {
        s["Resource"] = json!(other);
        s["Condition"] = json!({});
    });
    assert_eq!(found(&world(), elsewhere), missing, "it may be this key");
    let service = honest(|s| s["Principal"] = json!({ "Service": "*" }));
    assert_eq!(found(&world(), service), ["S any-principal"]);
}

#[test]
fn findings_name_their_operations_and_statements_without_a_sid_their_number() {
    let unnamed = honest(|s| {
        s.as_object_mut().unwrap().remove("Sid");
        s["Action"] = json!("kms:*");
        s["Condition"] = json!({});
    });
    let policy = json!({ "Statement": [honest(|_| ()), unnamed] }).to_string();
    let findings = drift(&KeyPolicy::read(policy.as_bytes()).unwrap(), &world());
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].statement.as_deref(), Some("Statement[1]"));
    assert_eq!(findings[0].operations, OPERATIONS);
}

#[test]
fn what_cannot_be_judged_is_no_policy() {
    for (policy, why) in [
        ("", "EOF"),
        ("[]", "expected an object"),
        ("{}", "Statement: expected a statement"),
        (r#"{"Statement": 1}"#, "Statement: expected a statement"),
        (r#"{"Statement": [1]}"#, "Statement[0]: expected an object"),
        (r#"{"Statement": [], "Statements": []}"#, "unknown element Statements"),
        (
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Conditions": {}}}"#,
            "unknown element Conditions",
        ),
        (r#"{"Statement": {"Effect": "allow", "Principal": "*", "Action": "*"}}"#, "Effect"),
        (r#"{"Statement": {"Effect": "Allow", "Action": "*"}}"#, "either a Principal or a NotPrincipal"),
        (
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "NotPrincipal": "*", "Action": "*"}}"#,
            "either a Principal",
        ),
        (r#"{"Statement": {"Effect": "Allow", "Principal": "*"}}"#, "either an Action or a NotAction"),
        (
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": [{}]}}"#,
            "expected texts in Action",
        ),
        (
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Condition": []}}"#,
            "Condition of operators",
        ),
        (
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Condition": {"StringEquals": "a"}}}"#,
            "condition keys",
        ),
    ] {
        let error = KeyPolicy::read(policy.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("no key policy that can be judged: ") && error.contains(why),
            "{policy}: {error}"
        );
    }
}
