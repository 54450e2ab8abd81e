//! `CiphertextForRecipient`: CMS in BER, which the enclave reads from whoever answers as KMS.

use countersign_enclave::kms::cms::{Envelope, MAX_CHUNKS, MAX_ENVELOPE, ReadError, RecipientId};

use crate::recipe::Recipe;

/// Any bytes as an envelope.
pub fn raw(bytes: &[u8]) {
    check(bytes);
}

/// An envelope by a recipe, in any of BER's ways to write it: it is read when it is in order, and every part
/// comes out as it went in.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let parts = Parts::new(&mut recipe);
    let written = parts.write(&mut recipe);
    let read = check(&written);
    if recipe.is_in_order() && written.len() <= MAX_ENVELOPE {
        let envelope = read.expect("an envelope in order is read");
        assert_eq!(envelope.encrypted_key(), parts.encrypted_key);
        assert_eq!(envelope.content(), parts.content);
        let named = match parts.identifier {
            Some(identifier) => envelope.recipient() == RecipientId::KeyIdentifier(&identifier),
            None => envelope.recipient() == RecipientId::IssuerAndSerial,
        };
        assert!(named);
    } else {
        assert!(read.is_none(), "an envelope with a defect was read");
    }
}

/// What holds for any bytes.
fn check(bytes: &[u8]) -> Option<Envelope<'_>> {
    let envelope = Envelope::read(bytes).ok()?;
    let content = envelope.content().len();
    assert!(content > 0 && content % 16 == 0 && content < bytes.len());
    let longer = [bytes, &[0]].concat();
    let trailing = ReadError::Trailing { what: "the envelope" };
    let expected =
        if longer.len() > MAX_ENVELOPE { ReadError::TooLarge { len: longer.len() } } else { trailing };
    assert_eq!(Envelope::read(&longer), Err(expected));
    for end in [bytes.len() - 1, bytes.len() / 2] {
        let error = Envelope::read(&bytes[..end]).expect_err("a part of an envelope");
        assert!(matches!(error, ReadError::Truncated { .. }), "{error:?}");
    }
    Some(envelope)
}

struct Parts {
    /// By key identifier, or by issuer and serial number.
    identifier: Option<[u8; 32]>,
    encrypted_key: Vec<u8>,
    iv: [u8; 16],
    content: Vec<u8>,
}

impl Parts {
    fn new(recipe: &mut Recipe<'_>) -> Self {
        let identifier = if recipe.seldom() { None } else { Some(recipe.own()) };
        let blocks = if recipe.seldom() { recipe.size(1..=4200) } else { recipe.size(1..=20) };
        Self {
            identifier,
            encrypted_key: recipe.run(256..=512),
            iv: recipe.own(),
            content: vec![recipe.number(0..=255) as u8; blocks * 16],
        }
    }

    fn write(&self, recipe: &mut Recipe<'_>) -> Vec<u8> {
        let mut version: u8 = if self.identifier.is_some() { 2 } else { 0 };
        let recipient = self.recipient(recipe, version);
        let mut recipients = recipient.clone();
        if recipe.breaks() {
            recipients.extend_from_slice(&recipient);
        }
        if recipe.breaks() {
            version = 3;
        }
        let recipients = element(recipe, 0x31, &recipients);
        let info = self.info(recipe);
        let version = primitive(recipe, 0x02, &[version]);
        let mut data = [version, recipients, info].concat();
        if recipe.breaks() {
            data.extend_from_slice(&[0xa1, 0]);
        }
        let data = element(recipe, 0x30, &data);
        let data = element(recipe, 0xa0, &data);
        let kind = identifier(recipe, ENVELOPED_DATA);
        let mut all = element(recipe, 0x30, &[kind, data].concat());
        if recipe.breaks() {
            all.push(0);
        }
        all
    }

    fn recipient(&self, recipe: &mut Recipe<'_>, version: u8) -> Vec<u8> {
        let named = match self.identifier {
            Some(identifier) => {
                let length = if recipe.breaks() { 31 } else { 32 };
                primitive(recipe, 0x80, &identifier[..length])
            }
            None => {
                let issuer = element(recipe, 0x30, &[]);
                let serial = primitive(recipe, 0x02, &[1]);
                element(recipe, 0x30, &[issuer, serial].concat())
            }
        };
        let parts = [
            primitive(recipe, 0x02, &[version]),
            named,
            oaep(recipe),
            primitive(recipe, 0x04, &self.encrypted_key),
        ];
        element(recipe, 0x30, &parts.concat())
    }

    fn info(&self, recipe: &mut Recipe<'_>) -> Vec<u8> {
        let length = if recipe.breaks() { 15 } else { 16 };
        let cipher = [identifier(recipe, AES_256_CBC), primitive(recipe, 0x04, &self.iv[..length])];
        let content = if recipe.seldom() {
            primitive(recipe, 0x80, &self.content)
        } else {
            let size = recipe.size(1000..=2000).max(self.content.len().div_ceil(MAX_CHUNKS));
            let chunks: Vec<u8> =
                self.content.chunks(size).flat_map(|chunk| primitive(recipe, 0x04, chunk)).collect();
            element(recipe, 0xa0, &chunks)
        };
        let parts = [identifier(recipe, DATA), element(recipe, 0x30, &cipher.concat()), content];
        element(recipe, 0x30, &parts.concat())
    }
}

fn oaep(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let hash = sha256(recipe);
    let hash = element(recipe, 0xa0, &hash);
    let mask = [identifier(recipe, MGF1), sha256(recipe)].concat();
    let mask = element(recipe, 0x30, &mask);
    let mask = element(recipe, 0xa1, &mask);
    // Without either, the default is SHA-1.
    let mut parameters = if recipe.breaks() { Vec::new() } else { hash };
    if recipe.breaks() {
        return Vec::new();
    }
    parameters.extend_from_slice(&mask);
    let parts = [identifier(recipe, RSAES_OAEP), element(recipe, 0x30, &parameters)];
    element(recipe, 0x30, &parts.concat())
}

fn sha256(recipe: &mut Recipe<'_>) -> Vec<u8> {
    let mut parts = identifier(recipe, SHA256);
    if recipe.seldom() {
        parts.extend_from_slice(&[0x05, 0x00]);
    }
    element(recipe, 0x30, &parts)
}

/// An object identifier; a broken one differs in its last byte.
fn identifier(recipe: &mut Recipe<'_>, id: &[u8]) -> Vec<u8> {
    let mut id = id.to_vec();
    if recipe.breaks()
        && let Some(last) = id.last_mut()
    {
        *last ^= 0x40;
    }
    primitive(recipe, 0x06, &id)
}

/// With its length in any width that BER has for it, up to four bytes.
fn primitive(recipe: &mut Recipe<'_>, tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let least = match length {
        0..=0x7f => 0,
        0x80..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    };
    let width = recipe.size(least..=4);
    let mut out = vec![tag];
    if width == 0 {
        out.push(length as u8);
    } else {
        out.push(0x80 | width as u8);
        out.extend_from_slice(&(length as u32).to_be_bytes()[4 - width..]);
    }
    out.extend_from_slice(content);
    out
}

/// A constructed element, definite or not.
fn element(recipe: &mut Recipe<'_>, tag: u8, content: &[u8]) -> Vec<u8> {
    if recipe.pick(&[false, true]) {
        return [&[tag, 0x80], content, &[0, 0]].concat();
    }
    primitive(recipe, tag, content)
}

const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const RSAES_OAEP: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
