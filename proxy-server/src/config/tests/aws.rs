//! Where the session CA's root is, and what needs AWS's SDK.

use super::*;

#[test]
fn the_session_root_is_one() {
    let place = Place::new("config-session-ca");
    assert_eq!(place.parse(&place.good()).unwrap().session_root, SessionRoot::State);
    let with = |lines: &str| place.mistakes(&format!("{}[session_ca]\n{lines}\n", place.good()));
    assert_eq!(
        with("file = \"a\"\nkms_key = \"b\""),
        [
            "10:11: session_ca.kms_key: expected one root; found \"file\" beside it, and they exclude each other"
        ]
    );
    assert_eq!(
        with("endpoint = \"https://kms\""),
        ["9:12: session_ca.endpoint: expected kms_key beside it; found none"]
    );
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_kms_says_which_one_has_it() {
    let place = Place::new("config-no-kms");
    let text =
        format!("{}[session_ca]\nkms_key = \"arn:aws:kms:eu-west-1:111122223333:key/1\"\n", place.good());
    assert_eq!(
        place.mistakes(&text),
        [
            "9:11: session_ca.kms_key: this build does not know AWS KMS; one with the cargo feature \"aws\" does \
          (or name a file)"
        ]
    );
}

#[cfg(feature = "aws")]
#[test]
fn a_kms_key_is_an_arn_and_its_endpoint_is_safe() {
    let place = Place::new("config-kms");
    let with = |lines: &str| place.parse(&format!("{}[session_ca]\n{lines}\n", place.good()));
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1";
    let config = with(&format!("kms_key = \"{arn}\"\nendpoint = \"https://kms.internal\"")).unwrap();
    assert_eq!(config.session_root.to_string(), arn);
    let mistakes = with("kms_key = \"arn:aws:kms:eu-west-1:111122223333:alias/root\"").unwrap_err();
    assert_eq!(mistakes.list.len(), 1);
    assert!(mistakes.list[0].message.starts_with("expected the ARN of a key, not of an alias"), "{mistakes}");
    let mistakes = with(&format!("kms_key = \"{arn}\"\nendpoint = \"http://kms.internal\"")).unwrap_err();
    assert!(mistakes.to_string().contains("session_ca.endpoint: expected an https:// URL"), "{mistakes}");
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_sts_says_which_one_has_it() {
    let place = Place::new("config-no-sts");
    let text = format!("{}[sts]\nregion = \"eu-west-1\"\n", place.good());
    assert_eq!(
        place.mistakes(&text),
        ["8:1: sts: this build does not know AWS STS; one with the cargo feature \"aws\" does"]
    );
}

#[cfg(feature = "aws")]
#[test]
fn a_role_has_a_workload_an_arn_and_a_policy() {
    let place = Place::new("config-sts");
    fs::write(place.0.join("policy.json"), "{ \"Version\": \"2012-10-17\",\n \"Statement\": [{}] }").unwrap();
    fs::write(place.0.join("broken.json"), "{ \"Statement\":\n [ }").unwrap();
    let good = format!(
        "{}[sts]\nregion = \"eu-west-1\"\n[[sts.role]]\nworkload = \"payments\"\narn = \"{ROLE}\"\nsession_policy_file = \"policy.json\"\n\
         [[sts.role]]\nworkload = \"reports\"\narn = \"{ROLE}\"\nduration_seconds = 3600\nsession_policy = '{{\"Statement\":{{}}}}'\n",
        place.good()
    );
    let sts = place.parse(&good).unwrap().sts.unwrap();
    assert_eq!((sts.place.region.as_str(), sts.roles.len()), ("eu-west-1", 2));
    let payments = &sts.roles[&"payments".parse().unwrap()];
    assert_eq!((payments.arn.as_str(), payments.duration.as_secs()), (ROLE, 900));
    assert_eq!(payments.policy.as_str(), r#"{"Version":"2012-10-17","Statement":[{}]}"#);

    // Each mistake at its place, all of them at once.
    let wrong = format!(
        "{}[sts]\nendpoint = \"http://sts.internal\"\n[[sts.role]]\nworkload = \"a\"\narn = \"payments\"\nduration_seconds = 899\n\
         session_policy = \"{{}}\"\n[[sts.role]]\nworkload = \"a\"\narn = \"{ROLE}\"\nsession_policy_file = \"broken.json\"\n[[sts.role]]\narn = \"{ROLE}\"\n\
         session_policy = ''\nsession_policy_file = \"policy.json\"\nduration = 900\n",
        place.good()
    );
    let found = place.mistakes(&wrong);
    let expected = [
        "8:1: sts.region: missing; the region whose STS is asked",
        "9:12: sts.endpoint: expected an https:// URL, or http:// to a loopback address; found",
        "12:7: sts.role[0].arn: expected a role's ARN",
        "13:20: sts.role[0].duration_seconds: expected 900 to 3600; found 899",
        "14:18: sts.role[0].session_policy: expected an IAM policy with at least one Statement; found none",
        "18:23: sts.role[1].session_policy_file: expected an IAM policy as JSON; found at its line 2, column 4",
        "19:1: sts.role[2].workload: missing; the workload's name",
        "22:23: sts.role[2].session_policy_file: expected either session_policy or session_policy_file; found both",
        "23:1: sts.role[2].duration: unknown field; did you mean",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    let none = place.mistakes(&format!("{}[sts]\nregion = \"eu-west-1\"\n", place.good()));
    assert_eq!(none.len(), 1, "{none:?}");
    let twice = good.replace("\"reports\"", "\"payments\"");
    let twice = place.mistakes(&twice);
    assert!(
        twice[0].contains("expected one role for each workload; found another one for \"payments\""),
        "{twice:?}"
    );
}

#[cfg(feature = "aws")]
const ROLE: &str = "arn:aws:iam::111122223333:role/payments";
