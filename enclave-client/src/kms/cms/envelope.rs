use super::{
    MAX_CHUNKS, MAX_ENVELOPE, ReadError,
    ber::{
        Elements, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, context, context_constructed,
    },
};

/// An envelope whose every byte has been read, and nothing of it decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    recipient: RecipientId<'a>,
    encrypted_key: &'a [u8],
    iv: [u8; BLOCK],
    content: Vec<u8>,
}

/// Whom the one recipient info names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientId<'a> {
    /// SHA-256 of the recipient's SubjectPublicKeyInfo, in AWS's envelopes.
    KeyIdentifier(&'a [u8; 32]),
    /// A certificate's issuer and serial number, which no key of ours has: LocalStack's habit. The key
    /// itself decides then.
    IssuerAndSerial,
}

impl<'a> Envelope<'a> {
    /// Reads one envelope and nothing after it.
    ///
    /// # Errors
    /// [`ReadError`], for the first thing that is wrong.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(ReadError::TooLarge { len: bytes.len() });
        }
        Elements::only(bytes, |all| {
            // ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT } (section 3)
            all.constructed(SEQUENCE, "ContentInfo", |info| {
                identifier(info, ENVELOPED_DATA, "the content type", "id-envelopedData")?;
                info.constructed(context_constructed(0), "content", |content| {
                    content.constructed(SEQUENCE, "EnvelopedData", enveloped_data)
                })
            })
        })
    }

    /// Whom it was made for.
    pub fn recipient(&self) -> RecipientId<'a> {
        self.recipient
    }

    /// The content key, encrypted.
    pub fn encrypted_key(&self) -> &'a [u8] {
        self.encrypted_key
    }

    /// The content, encrypted: a whole number of AES blocks, at least one.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn into_iv_and_content(self) -> ([u8; BLOCK], Vec<u8>) {
        (self.iv, self.content)
    }
}

/// `version, recipientInfos SET OF RecipientInfo, encryptedContentInfo` (section 6.1); the version is 2
/// when the recipient is named by a key identifier, else 0.
fn enveloped_data<'a>(data: &mut Elements<'a>) -> Result<Envelope<'a>, ReadError> {
    let version = data.primitive(INTEGER, "EnvelopedData.version")?;
    let (recipient, encrypted_key) = data.constructed(SET, "recipientInfos", |infos| {
        let one = infos.constructed(SEQUENCE, "KeyTransRecipientInfo", recipient_info)?;
        if infos.peek().is_some() { Err(ReadError::Recipients) } else { Ok(one) }
    })?;
    if version != version_for(recipient) {
        return Err(ReadError::Version { what: "EnvelopedData" });
    }
    let (iv, content) = data.constructed(SEQUENCE, "EncryptedContentInfo", content_info)?;
    Ok(Envelope { recipient, encrypted_key, iv, content })
}

/// `version, rid, keyEncryptionAlgorithm, encryptedKey` (section 6.2.1).
fn recipient_info<'a>(info: &mut Elements<'a>) -> Result<(RecipientId<'a>, &'a [u8]), ReadError> {
    let version = info.primitive(INTEGER, "KeyTransRecipientInfo.version")?;
    let recipient = if info.peek() == Some(SEQUENCE) {
        info.constructed(SEQUENCE, "issuerAndSerialNumber", issuer_and_serial)?
    } else {
        let what = "subjectKeyIdentifier";
        let identifier = info.primitive(context(0), what)?;
        RecipientId::KeyIdentifier(identifier.try_into().map_err(|_| ReadError::Length { what })?)
    };
    if version != version_for(recipient) {
        return Err(ReadError::Version { what: "KeyTransRecipientInfo" });
    }
    info.constructed(SEQUENCE, "keyEncryptionAlgorithm", oaep)?;
    Ok((recipient, info.primitive(OCTET_STRING, "encryptedKey")?))
}

fn version_for(recipient: RecipientId<'_>) -> &'static [u8] {
    match recipient {
        RecipientId::KeyIdentifier(_) => &[2],
        RecipientId::IssuerAndSerial => &[0],
    }
}

/// `issuer Name, serialNumber INTEGER` (section 10.2.4). Nobody here asks what they are.
fn issuer_and_serial<'a>(both: &mut Elements<'a>) -> Result<RecipientId<'a>, ReadError> {
    // Name ::= SEQUENCE OF SET OF SEQUENCE { type, value } (RFC 5280 section 4.1.2.4)
    both.constructed(SEQUENCE, "issuer", |names| {
        while names.peek().is_some() {
            names.constructed(SET, "issuer", |attributes| {
                while attributes.peek().is_some() {
                    attributes.constructed(SEQUENCE, "issuer", |attribute| {
                        attribute.primitive(OBJECT_IDENTIFIER, "issuer")?;
                        let string = attribute.peek().ok_or(ReadError::Missing { what: "issuer" })?;
                        attribute.primitive(string, "issuer")
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    both.primitive(INTEGER, "serialNumber")?;
    Ok(RecipientId::IssuerAndSerial)
}

/// `RSAES-OAEP-params ::= SEQUENCE { hashAlgorithm [0] DEFAULT sha1, maskGenAlgorithm [1] DEFAULT
/// mgf1SHA1, pSourceAlgorithm [2] DEFAULT pSpecifiedEmpty }` (RFC 8017 appendix A.2.1)
fn oaep(algorithm: &mut Elements<'_>) -> Result<(), ReadError> {
    identifier(algorithm, RSAES_OAEP, "keyEncryptionAlgorithm", "id-RSAES-OAEP")?;
    algorithm.constructed(SEQUENCE, "RSAES-OAEP-params", |parameters| {
        let (hash, mask) = ("hashAlgorithm", "maskGenAlgorithm");
        present(parameters, context_constructed(0), hash)?;
        parameters.constructed(context_constructed(0), hash, |tagged| sha256(tagged, hash))?;
        present(parameters, context_constructed(1), mask)?;
        parameters.constructed(context_constructed(1), mask, |tagged| {
            tagged.constructed(SEQUENCE, mask, |mgf| {
                identifier(mgf, MGF1, mask, "id-mgf1")?;
                sha256(mgf, "the hash of MGF1")
            })
        })?;
        if parameters.peek().is_some() {
            parameters.constructed(context_constructed(2), "pSourceAlgorithm", empty_label)?;
        }
        Ok(())
    })
}

fn present(parameters: &Elements<'_>, tag: u8, what: &'static str) -> Result<(), ReadError> {
    if parameters.peek() == Some(tag) { Ok(()) } else { Err(ReadError::Sha1 { what }) }
}

/// With NULL parameters, as KMS writes, or without, as OpenSSL does: RFC 4055 section 2.1 has both accepted.
fn sha256(parent: &mut Elements<'_>, what: &'static str) -> Result<(), ReadError> {
    parent.constructed(SEQUENCE, what, |algorithm| {
        identifier(algorithm, SHA256, what, "id-sha256")?;
        if algorithm.peek().is_some() {
            nothing(algorithm.primitive(NULL, what)?, what)?;
        }
        Ok(())
    })
}

fn empty_label(tagged: &mut Elements<'_>) -> Result<(), ReadError> {
    let what = "pSourceAlgorithm";
    tagged.constructed(SEQUENCE, what, |algorithm| {
        identifier(algorithm, P_SPECIFIED, what, "id-pSpecified")?;
        nothing(algorithm.primitive(OCTET_STRING, what)?, what)
    })
}

/// `contentType, contentEncryptionAlgorithm, encryptedContent [0] IMPLICIT OCTET STRING` (section 6.1)
fn content_info(info: &mut Elements<'_>) -> Result<([u8; BLOCK], Vec<u8>), ReadError> {
    identifier(info, DATA, "the inner content type", "id-data")?;
    let iv = info.constructed(SEQUENCE, "contentEncryptionAlgorithm", |algorithm| {
        identifier(algorithm, AES_256_CBC, "contentEncryptionAlgorithm", "aes256-CBC")?;
        let iv = algorithm.primitive(OCTET_STRING, "the IV")?;
        iv.try_into().map_err(|_| ReadError::Length { what: "the IV" })
    })?;
    let content = encrypted_content(info)?;
    if content.is_empty() || !content.len().is_multiple_of(BLOCK) {
        return Err(ReadError::Content { len: content.len() });
    }
    Ok((iv, content))
}

/// One piece, or the chunks of a constructed string (X.690 section 8.7).
fn encrypted_content(info: &mut Elements<'_>) -> Result<Vec<u8>, ReadError> {
    let what = "encryptedContent";
    if info.peek() != Some(context_constructed(0)) {
        return info.primitive(context(0), what).map(<[u8]>::to_vec);
    }
    info.constructed(context_constructed(0), what, |chunks| {
        let mut content = Vec::new();
        let mut count = 0;
        while chunks.peek().is_some() {
            count += 1;
            if count > MAX_CHUNKS {
                return Err(ReadError::Chunks);
            }
            content.extend_from_slice(chunks.primitive(OCTET_STRING, "a chunk of the content")?);
        }
        Ok(content)
    })
}

fn identifier(
    parent: &mut Elements<'_>,
    id: &[u8],
    what: &'static str,
    expected: &'static str,
) -> Result<(), ReadError> {
    if parent.primitive(OBJECT_IDENTIFIER, what)? == id {
        Ok(())
    } else {
        Err(ReadError::Identifier { what, expected })
    }
}

fn nothing(bytes: &[u8], what: &'static str) -> Result<(), ReadError> {
    if bytes.is_empty() { Ok(()) } else { Err(ReadError::Length { what }) }
}

/// Bytes of an AES block.
const BLOCK: usize = 16;

/// 1.2.840.113549.1.7.3 (RFC 5652 section 6.1)
const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
/// 1.2.840.113549.1.7.1 (RFC 5652 section 4)
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// 1.2.840.113549.1.1.7 (RFC 8017 appendix A.2.1)
const RSAES_OAEP: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07";
/// 1.2.840.113549.1.1.8 (RFC 8017 appendix B.2.1)
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
/// 1.2.840.113549.1.1.9 (RFC 8017 appendix A.2.1)
const P_SPECIFIED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x09";
/// 2.16.840.1.101.3.4.2.1 (RFC 8017 appendix B.1)
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
/// 2.16.840.1.101.3.4.1.42 (RFC 3565 section 4.1)
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
