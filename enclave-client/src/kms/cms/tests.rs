//! Envelopes of real KMS, of the openssl command, and broken ones: each has one defect and its own error.

use std::{fs, path::PathBuf, sync::OnceLock};

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
};

use super::{Envelope, MAX_CHUNKS, MAX_ENVELOPE, OpenError, ReadError, RecipientId};
use crate::kms::recipient::RecipientKey;

#[test]
fn what_the_openssl_command_made_opens() {
    let key = RecipientKey::from_pem(&fixture("openssl_made.pem"));
    let long = fixture("bc.plain");
    let short = b"Hello, World".as_slice();
    for (name, plain) in [("bc.ber", &long[..]), ("out.ber", short), ("out3.der", short), ("prim.ber", short)]
    {
        let bytes = fixture(name);
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!(envelope.recipient(), RecipientId::KeyIdentifier(key.identifier()), "{name}");
        assert_eq!(*envelope.open(&key).unwrap(), plain, "{name}");
    }
}

#[test]
fn what_kms_made_opens_with_its_published_key() {
    for (name, plain) in [("enclaver", Some("Hello, World")), ("gocms", None), ("ethsigner", None)] {
        let (Some(bytes), Some(pem)) = (shared(&format!("{name}.ber")), shared(&format!("{name}.pem")))
        else {
            continue;
        };
        let opened = Envelope::read(&bytes).unwrap().open(&RecipientKey::from_pem(&pem)).unwrap();
        assert!(!opened.is_empty(), "{name}");
        if let Some(plain) = plain {
            assert_eq!(*opened, plain.as_bytes(), "{name}");
        }
    }
}

#[test]
fn what_kms_made_for_other_keys_is_read_and_not_opened() {
    for name in ["ned", "rc1", "rc2", "rc3", "rc4"] {
        let Some(bytes) = shared(&format!("{name}.ber")) else { continue };
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!(envelope.encrypted_key().len(), 256, "{name}");
        assert_eq!(envelope.open(key()).unwrap_err(), OpenError::OtherKey, "{name}");
    }
}

#[test]
fn every_shape_of_our_own_making_opens() {
    let shapes: [(&str, Change); 6] = [
        ("as KMS", |_| {}),
        ("one piece", |parts| parts.content_form = Form::Piece),
        ("definite lengths", |parts| parts.lengths = Lengths::Definite),
        ("no NULL parameters", |parts| parts.sha256 = seq(&[oid(SHA256)])),
        ("an empty label written out", |parts| {
            parts.label = element(0xa2, &seq(&[oid(P_SPECIFIED), element(4, b"")]));
        }),
        ("LocalStack's recipient", |parts| {
            let name = element(0x31, &seq(&[oid(b"\x55\x04\x03"), element(0x13, b"recipient")]));
            parts.recipient = seq(&[seq(&[name]), element(2, &[1, 2, 3])]);
            (parts.version, parts.recipient_version) = (vec![0], vec![0]);
        }),
    ];
    for (shape, change) in shapes {
        let mut parts = Parts::sealed(SECRET);
        change(&mut parts);
        let bytes = parts.build();
        assert_eq!(*Envelope::read(&bytes).expect(shape).open(key()).expect(shape), SECRET, "{shape}");
    }
}

#[test]
fn each_defect_has_its_error() {
    let cases: [(Change, ReadError); 30] = [
        (|p| p.after = vec![0], ReadError::Trailing { what: "the envelope" }),
        (|p| p.data_type = DATA.into(), wrong_id("the content type", "id-envelopedData")),
        (|p| p.version = vec![0], ReadError::Version { what: "EnvelopedData" }),
        (|p| p.version = vec![0, 2], ReadError::Version { what: "EnvelopedData" }),
        (|p| p.recipient_version = vec![0], ReadError::Version { what: "KeyTransRecipientInfo" }),
        (|p| p.originator = element(0xa0, &[]), tag("recipientInfos", 0x31, 0xa0)),
        (|p| p.recipients = 0, ReadError::Truncated { what: "KeyTransRecipientInfo" }),
        (|p| p.recipients = 2, ReadError::Recipients),
        (|p| p.recipient = element(0x80, &[7; 31]), ReadError::Length { what: "subjectKeyIdentifier" }),
        (|p| p.recipient = element(0x80, &[7; 20]), ReadError::Length { what: "subjectKeyIdentifier" }),
        (|p| p.recipient = element(0xa0, &[]), tag("subjectKeyIdentifier", 0x80, 0xa0)),
        (|p| p.key_algorithm = RSA_PKCS1.into(), wrong_id("keyEncryptionAlgorithm", "id-RSAES-OAEP")),
        (|p| p.hash = Vec::new(), ReadError::Sha1 { what: "hashAlgorithm" }),
        (|p| p.mask = Vec::new(), ReadError::Sha1 { what: "maskGenAlgorithm" }),
        (|p| p.hash = element(0xa0, &seq(&[oid(SHA1)])), wrong_id("hashAlgorithm", "id-sha256")),
        (
            |p| p.mask = element(0xa1, &seq(&[oid(MGF1), seq(&[oid(SHA1)])])),
            wrong_id("the hash of MGF1", "id-sha256"),
        ),
        (|p| p.mask = element(0xa1, &seq(&[oid(SHA1)])), wrong_id("maskGenAlgorithm", "id-mgf1")),
        (
            |p| p.label = element(0xa2, &seq(&[oid(P_SPECIFIED), element(4, b"label")])),
            ReadError::Length { what: "pSourceAlgorithm" },
        ),
        (|p| p.sha256 = seq(&[oid(SHA256), element(5, &[0])]), ReadError::Length { what: "hashAlgorithm" }),
        (|p| p.inner_type = ENVELOPED_DATA.into(), wrong_id("the inner content type", "id-data")),
        (|p| p.cipher = AES_128_CBC.into(), wrong_id("contentEncryptionAlgorithm", "aes256-CBC")),
        (|p| p.iv.truncate(15), ReadError::Length { what: "the IV" }),
        (|p| p.content.clear(), ReadError::Content { len: 0 }),
        (|p| p.content.truncate(17), ReadError::Content { len: 17 }),
        (|p| p.content_form = Form::ChunkOfChunks, tag("a chunk of the content", 0x04, 0x24)),
        (|p| p.content_form = Form::Chunks(1), ReadError::Chunks),
        (|p| p.attributes = element(0xa1, &[]), ReadError::Trailing { what: "EnvelopedData" }),
        (|p| p.content = vec![0; MAX_ENVELOPE + 16], ReadError::TooLarge { len: 66_042 }),
        (
            |p| p.content_form = Form::Raw(vec![0x80, 0x80, 0, 0]),
            ReadError::Length { what: "encryptedContent" },
        ),
        (
            |p| p.content_form = Form::Raw(vec![0x80, 0x85, 0, 0, 0, 0, 1, 0]),
            ReadError::Length { what: "encryptedContent" },
        ),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        let mut parts = Parts::sealed(&[7; 100]);
        change(&mut parts);
        let error = Envelope::read(&parts.build()).expect_err(&format!("case {index}: {expected}"));
        match (&expected, &error) {
            (ReadError::TooLarge { .. }, ReadError::TooLarge { .. }) => {}
            _ => assert_eq!(error, expected, "case {index}"),
        }
    }
}

#[test]
fn no_part_of_an_envelope_is_an_envelope() {
    for lengths in [Lengths::Indefinite, Lengths::Definite] {
        let bytes = Parts { lengths, ..Parts::sealed(SECRET) }.build();
        for end in 0..bytes.len() {
            let error = Envelope::read(&bytes[..end]).unwrap_err();
            assert!(matches!(error, ReadError::Truncated { .. }), "{end}: {error:?}");
        }
    }
}

#[test]
fn a_refusal_before_decryption_is_precise() {
    let parts = Parts::sealed(SECRET);
    let mut other = Parts::sealed(SECRET);
    other.recipient = element(0x80, &[0; 32]);
    assert_eq!(open(&other), Err(OpenError::OtherKey));
    let mut short = parts.clone();
    short.encrypted_key.pop();
    assert_eq!(open(&short), Err(OpenError::KeyLength { expected: 256, actual: 255 }));
}

/// The attacker who learns which step of a decryption failed can ask about any ciphertext (Manger 2001 for
/// OAEP, Vaudenay 2002 for the padding): here all failures look alike.
#[test]
fn every_failure_to_decrypt_is_the_same_one() {
    let failures: [(&str, Change); 5] = [
        ("OAEP", |parts| parts.encrypted_key[100] ^= 1),
        ("not below the modulus", |parts| parts.encrypted_key = vec![0xff; 256]),
        ("a content key of 16 bytes", |parts| parts.encrypted_key = wrap(&[9; 16])),
        ("padding", |parts| *parts.content.last_mut().unwrap() ^= 1),
        ("another content key", |parts| parts.encrypted_key = wrap(&[9; 32])),
    ];
    for (name, break_it) in failures {
        let mut parts = Parts::sealed(SECRET);
        break_it(&mut parts);
        assert_eq!(open(&parts), Err(OpenError::Failed), "{name}");
    }
    assert_eq!(OpenError::Failed.to_string(), "the envelope does not decrypt");
}

fn open(parts: &Parts) -> Result<Vec<u8>, OpenError> {
    let bytes = parts.build();
    Envelope::read(&bytes).unwrap().open(key()).map(|plain| plain.to_vec())
}

fn wrong_id(what: &'static str, expected: &'static str) -> ReadError {
    ReadError::Identifier { what, expected }
}

fn tag(what: &'static str, expected: u8, actual: u8) -> ReadError {
    ReadError::Tag { what, expected, actual }
}

type Change = fn(&mut Parts);

/// An envelope in its parts, to be broken one at a time.
#[derive(Clone)]
struct Parts {
    data_type: Vec<u8>,
    version: Vec<u8>,
    originator: Vec<u8>,
    recipients: usize,
    recipient_version: Vec<u8>,
    recipient: Vec<u8>,
    key_algorithm: Vec<u8>,
    sha256: Vec<u8>,
    hash: Vec<u8>,
    mask: Vec<u8>,
    label: Vec<u8>,
    encrypted_key: Vec<u8>,
    inner_type: Vec<u8>,
    cipher: Vec<u8>,
    iv: Vec<u8>,
    content: Vec<u8>,
    content_form: Form,
    attributes: Vec<u8>,
    after: Vec<u8>,
    lengths: Lengths,
}

#[derive(Clone)]
enum Form {
    Chunks(usize),
    ChunkOfChunks,
    Piece,
    Raw(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Lengths {
    Definite,
    Indefinite,
}

impl Parts {
    /// In order, for [`key`].
    fn sealed(plain: &[u8]) -> Self {
        let content_key = [5; 32];
        let sealing = UnboundCipherKey::new(&AES_256, &content_key).unwrap();
        let mut content = plain.to_vec();
        let context = PaddedBlockEncryptingKey::cbc_pkcs7(sealing).unwrap().encrypt(&mut content).unwrap();
        let DecryptionContext::Iv128(iv) = context else { panic!("CBC has an IV of 16 bytes") };
        Self {
            data_type: ENVELOPED_DATA.into(),
            version: vec![2],
            originator: Vec::new(),
            recipients: 1,
            recipient_version: vec![2],
            recipient: element(0x80, key().identifier()),
            key_algorithm: RSAES_OAEP.into(),
            sha256: seq(&[oid(SHA256), element(5, &[])]),
            hash: vec![0],
            mask: vec![0],
            label: Vec::new(),
            encrypted_key: wrap(&content_key),
            inner_type: DATA.into(),
            cipher: AES_256_CBC.into(),
            iv: iv.as_ref().to_vec(),
            content,
            content_form: Form::Chunks(1000),
            attributes: Vec::new(),
            after: Vec::new(),
            lengths: Lengths::Indefinite,
        }
    }

    fn build(&self) -> Vec<u8> {
        let or = |given: &Vec<u8>, usual: Vec<u8>| if *given == [0] { usual } else { given.clone() };
        let hash = or(&self.hash, element(0xa0, &self.sha256));
        let mask = or(&self.mask, element(0xa1, &seq(&[oid(MGF1), self.sha256.clone()])));
        let parameters = seq(&[hash, mask, self.label.clone()]);
        let recipient = seq(&[
            element(2, &self.recipient_version),
            self.recipient.clone(),
            seq(&[oid(&self.key_algorithm), parameters]),
            element(4, &self.encrypted_key),
        ]);
        let content = match &self.content_form {
            Form::Piece => element(0x80, &self.content),
            Form::Chunks(size) => {
                let chunks: Vec<_> = self.content.chunks(*size).map(|chunk| element(4, chunk)).collect();
                self.outer(0xa0, &chunks.concat())
            }
            Form::ChunkOfChunks => self.outer(0xa0, &element(0x24, &element(4, &self.content))),
            Form::Raw(bytes) => bytes.clone(),
        };
        let algorithm = seq(&[oid(&self.cipher), element(4, &self.iv)]);
        let info = self.outer(0x30, &[oid(&self.inner_type), algorithm, content].concat());
        let data = [
            element(2, &self.version),
            self.originator.clone(),
            element(0x31, &recipient.repeat(self.recipients)),
            info,
            self.attributes.clone(),
        ];
        let data = self.outer(0xa0, &self.outer(0x30, &data.concat()));
        let mut all = self.outer(0x30, &[oid(&self.data_type), data].concat());
        all.extend_from_slice(&self.after);
        all
    }

    fn outer(&self, tag: u8, content: &[u8]) -> Vec<u8> {
        match self.lengths {
            Lengths::Definite => element(tag, content),
            Lengths::Indefinite => [&[tag, 0x80], content, &[0, 0]].concat(),
        }
    }
}

fn wrap(content_key: &[u8]) -> Vec<u8> {
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(key().spki()).unwrap()).unwrap();
    let mut room = vec![0; public.ciphertext_size()];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, content_key, &mut room, None).unwrap().to_vec()
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let head = match content.len() {
        0..=0x7f => vec![tag, length[3]],
        _ => [&[tag, 0x84], &length[..]].concat(),
    };
    [head, content.to_vec()].concat()
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

fn oid(id: &[u8]) -> Vec<u8> {
    element(6, id)
}

fn key() -> &'static RecipientKey {
    static KEY: OnceLock<RecipientKey> = OnceLock::new();
    KEY.get_or_init(|| RecipientKey::generate().unwrap())
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kms").join(name)).unwrap()
}

/// Real envelopes stay outside the project: without them the test says so.
fn shared(name: &str) -> Option<Vec<u8>> {
    let shared = std::env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = shared.join("kms-envelopes").join(name);
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        println!("SKIPPED: no {}", path.display());
    }
    bytes
}

const SECRET: &[u8] = b"a data key of thirty-two bytes..";
const _: () = assert!(MAX_CHUNKS < 112, "the test of too many chunks makes 112 of them");

const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const RSA_PKCS1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const RSAES_OAEP: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const P_SPECIFIED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x09";
const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
