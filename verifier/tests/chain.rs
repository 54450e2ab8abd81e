//! One defect in a chain at a time, against ours and against rustls-webpki, which verifies paths for the web.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod forge;

use common::{check, cold, rows, shared_documents, synthetic, verdict};
use countersign_verifier::{TrustAnchor, UnixMillis, UnverifiedDocument};
use forge::{Change, Claims, Holder, NOW, Pki, document, unchanged};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Whether webpki finds a path from the root to the document's certificate.
fn webpki_accepts(document: &UnverifiedDocument<'_>, root: &[u8], at: UnixMillis) -> bool {
    let root = CertificateDer::from(root);
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let intermediates: Vec<_> = document.cabundle().iter().map(|&der| CertificateDer::from(der)).collect();
    let leaf = CertificateDer::from(document.certificate());
    let Ok(leaf) = EndEntityCert::try_from(&leaf) else { return false };
    leaf.verify_for_usage(
        &[webpki::aws_lc_rs::ECDSA_P384_SHA384],
        &anchors,
        &intermediates,
        UnixTime::since_unix_epoch(Duration::from_millis(at.as_millis())),
        KeyUsage::client_auth(),
        None,
        None,
    )
    .is_ok()
}

/// What webpki says of a defect that we refuse.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Webpki {
    /// It has the rule too.
    Refuses,
    /// It has no such rule, or finds another path.
    Accepts,
}
use Webpki::{Accepts, Refuses};

/// Our verdict of a forged chain, and webpki's.
fn both(pki: &Pki, leaf: &Holder, bundle: &[&[u8]]) -> (String, Webpki) {
    let bytes = document(&Claims::default(), leaf, bundle);
    let parsed = UnverifiedDocument::parse(&bytes).unwrap();
    let theirs = if webpki_accepts(&parsed, &pki.issuers[0].der, NOW) { Accepts } else { Refuses };
    (verdict(&check(&cold(pki.anchor()), &bytes, NOW)), theirs)
}

/// A chain with one certificate changed: the issuer at that depth, or the leaf at 4.
fn changed(depth: usize, change: Change<'_>) -> (String, Webpki) {
    let mut changes = [&unchanged as Change<'_>; 4];
    if depth < 4 {
        changes[depth] = change;
    }
    let pki = Pki::with(&changes);
    let leaf = pki.leaf(if depth == 4 { change } else { &unchanged });
    both(&pki, &leaf, &pki.bundle())
}

fn refused(code: &str, theirs: Webpki) -> (String, Webpki) {
    (format!("chain {code}"), theirs)
}

fn minutes(params: &mut CertificateParams, from: i64, to: i64) {
    let now = time::OffsetDateTime::from_unix_timestamp(NOW.as_millis() as i64 / 1000).unwrap();
    params.not_before = now + time::Duration::minutes(from);
    params.not_after = now + time::Duration::minutes(to);
}

fn extension(critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(critical);
    extension
}

#[test]
fn the_chain_as_aws_makes_it_is_accepted_by_both() {
    assert_eq!(changed(4, &unchanged), ("accept".to_owned(), Accepts));
    assert_eq!(changed(4, &|p| p.custom_extensions.push(extension(false))), ("accept".to_owned(), Accepts));
}

#[test]
fn every_certificate_is_valid_at_the_time() {
    for depth in 0..=4 {
        // webpki takes the anchor's key and name only, and never its validity.
        let theirs = if depth == 0 { Accepts } else { Refuses };
        let (over, early) = ("certificate-expired", "certificate-not-yet-valid");
        assert_eq!(changed(depth, &|p| minutes(p, -60, -1)), refused(over, theirs), "{depth}");
        assert_eq!(changed(depth, &|p| minutes(p, 1, 60)), refused(early, theirs), "{depth}");
        // Both ends are included.
        assert_eq!(changed(depth, &|p| minutes(p, 0, 0)), ("accept".to_owned(), Accepts), "{depth}");
    }
}

#[test]
fn an_issuer_is_a_ca_that_may_sign_certificates() {
    for depth in 0..4 {
        let theirs = if depth == 0 { Accepts } else { Refuses };
        let code = "issuer-not-a-ca";
        assert_eq!(changed(depth, &|p| p.is_ca = IsCa::ExplicitNoCa), refused(code, theirs), "{depth}");
        assert_eq!(changed(depth, &|p| p.is_ca = IsCa::NoCa), refused(code, theirs), "{depth}");
        let code = "issuer-key-usage";
        // webpki reads no keyUsage of issuers.
        assert_eq!(changed(depth, &|p| p.key_usages.clear()), refused(code, Accepts), "{depth}");
        let digital: Change<'_> = &|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        assert_eq!(changed(depth, digital), refused(code, Accepts), "{depth}");
    }
}

#[test]
fn a_path_length_is_kept_to() {
    for (depth, length) in [(1, 1), (2, 0)] {
        let change: Change<'_> = &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        assert_eq!(changed(depth, change), refused("path-length-exceeded", Refuses), "{depth}");
    }
    // webpki reads no pathLen of an anchor.
    let change: Change<'_> = &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
    assert_eq!(changed(0, change), refused("path-length-exceeded", Accepts));
    let change: Change<'_> = &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(3));
    assert_eq!(changed(0, change), ("accept".to_owned(), Accepts));
}

#[test]
fn a_leaf_is_no_ca_and_may_sign() {
    let ca: Change<'_> = &|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(changed(4, ca), refused("leaf-is-a-ca", Refuses));
    assert_eq!(changed(4, &|p| p.is_ca = IsCa::NoCa), refused("leaf-is-a-ca", Accepts));
    assert_eq!(changed(4, &|p| p.key_usages.clear()), refused("leaf-key-usage", Accepts));
    let agreement: Change<'_> = &|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    assert_eq!(changed(4, agreement), refused("leaf-key-usage", Accepts));
}

#[test]
fn an_unknown_critical_extension_is_refused_anywhere() {
    for depth in 1..=4 {
        let change: Change<'_> = &|p| p.custom_extensions.push(extension(true));
        assert_eq!(changed(depth, change), refused("certificate-critical-extension", Refuses), "{depth}");
    }
    let twice: Change<'_> = &|p| p.custom_extensions = vec![extension(false), extension(false)];
    // webpki passes over extensions that it does not know.
    assert_eq!(changed(4, twice), refused("certificate-extensions", Accepts));
}

#[test]
fn the_bundle_is_in_order_and_each_names_the_next() {
    let pki = Pki::new();
    let leaf = pki.leaf(&unchanged);
    let [root, regional, zonal, instance] = pki.bundle()[..] else { panic!("not four") };
    // webpki searches a path in any order and passes over what it does not need; the document gives one path, in order.
    for (bundle, code) in [
        (vec![root, zonal, regional, instance], "certificate-name-mismatch"),
        (vec![root, regional, regional, zonal, instance], "certificate-name-mismatch"),
        (vec![root, root, regional, zonal, instance], "self-issued-certificate"),
        (vec![root, regional, zonal, instance, root], "certificate-name-mismatch"),
        (vec![regional, zonal, instance], "untrusted-root"),
    ] {
        assert_eq!(both(&pki, &leaf, &bundle), refused(code, Accepts));
    }
    assert_eq!(both(&pki, &leaf, &[root, regional, instance]), refused("certificate-name-mismatch", Refuses));
    assert_eq!(both(&pki, &leaf, &[root]), refused("certificate-name-mismatch", Refuses));
}

#[test]
fn the_anchor_is_compared_byte_for_byte() {
    let (pki, twin) = (Pki::new(), Pki::new());
    let leaf = twin.leaf(&unchanged);
    assert_eq!(both(&pki, &leaf, &twin.bundle()), refused("untrusted-root", Refuses));
}

/// No certificate that webpki refuses passes here, and the other way round only for rules that webpki does not have.
#[test]
fn webpki_is_never_stricter_than_ours_on_the_synthetic_chains() {
    let root = synthetic("testroot.der");
    let anchor = TrustAnchor::danger_from_der(&root).unwrap();
    let mut only_ours = Vec::new();
    let mut compared = 0;
    for [file, millis, _, _] in rows::<4>(&String::from_utf8(synthetic("list.tsv")).unwrap()) {
        let (bytes, at) = (synthetic(&file), UnixMillis::from_millis(millis.parse().unwrap()));
        let Ok(document) = UnverifiedDocument::parse(&bytes) else { continue };
        let ours = verdict(&check(&cold(anchor.clone()), &bytes, at));
        let chain_holds = !ours.starts_with("chain");
        match (chain_holds, webpki_accepts(&document, &root, at)) {
            (true, false) => panic!("{file}: webpki refuses the chain"),
            (false, true) => only_ours.push(format!("{file} {ours}")),
            (true, true) | (false, false) => compared += 1,
        }
    }
    assert!(compared > 15, "{compared}");
    assert_eq!(
        only_ours,
        [
            "S01_cab_reversed.cbor chain untrusted-root",
            "S03_cab_no_root.cbor chain untrusted-root",
            "S05_cab_extra_unrelated.cbor chain certificate-name-mismatch",
            "S10_int_ku_no_certsign.cbor chain issuer-key-usage",
            "S12_leaf_ku_no_digsig.cbor chain leaf-key-usage",
            "S18_leaf_eku_client.cbor chain certificate-extended-key-usage",
            "P12_ts_future10y.cbor chain timestamp-outside-leaf",
            "P13b_ts_max.cbor chain timestamp-outside-leaf",
        ]
    );
}

#[test]
fn webpki_accepts_every_genuine_chain_and_so_do_we() {
    let Some(folder) = shared_documents() else { return };
    let files: Vec<_> =
        std::fs::read_dir(folder.join("real")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let document = UnverifiedDocument::parse(&bytes).unwrap();
        let at = document.timestamp();
        assert!(webpki_accepts(&document, TrustAnchor::aws().der(), at), "{}", file.display());
        assert_eq!(verdict(&check(&cold(TrustAnchor::aws()), &bytes, at)), "accept", "{}", file.display());
    }
}
