//! The payload of a document: a map with the nine keys of an enclave's attestation.

use crate::cbor::Reader;
use crate::pcr::{Pcr, PcrIndex, PcrSet};
use crate::refusal::{Field, Item, SyntaxRefusal};
use crate::time::UnixMillis;

/// The nine fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    pub(super) module_id: &'a str,
    pub(super) timestamp: UnixMillis,
    pub(super) pcrs: PcrSet,
    pub(super) certificate: &'a [u8],
    pub(super) cabundle: CaBundle<'a>,
    pub(super) public_key: Option<&'a [u8]>,
    pub(super) user_data: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
}

/// The entries of `cabundle`, in storage of fixed size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaBundle<'a> {
    entries: [&'a [u8]; MAX_CABUNDLE],
    count: usize,
}

/// The map while it is being read: what was seen so far.
#[derive(Default)]
struct Fields<'a> {
    /// One bit for each field, so that null is seen as well.
    seen: u16,
    module_id: Option<&'a str>,
    timestamp: Option<UnixMillis>,
    pcrs: Option<PcrSet>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<CaBundle<'a>>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Payload<'a> {
    /// Reads the payload from exactly these bytes.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SyntaxRefusal> {
        let mut reader = Reader::new(bytes);
        let mut fields = Fields::default();
        // Definite until mid-2025, indefinite in every document of AWS since. A tenth entry can only be unknown or a
        // duplicate, and both have better words than a count.
        let mut remaining = reader.map(Item::Payload, 0..=MAX_PAYLOAD_ENTRIES)?;
        while reader.next_entry(Item::Payload, &mut remaining)? {
            let field = field_of(reader.text(Item::Key, 0..=MAX_KEY_BYTES)?)?;
            fields.read(field, &mut reader)?;
        }
        reader.finish(Item::Payload)?;
        fields.complete()
    }
}

impl<'a> CaBundle<'a> {
    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        self.entries.get(..self.count).unwrap_or_default()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, field: Field, reader: &mut Reader<'a>) -> Result<(), SyntaxRefusal> {
        let bit = 1 << field as u16;
        if self.seen & bit != 0 {
            return Err(SyntaxRefusal::DuplicateKey { field });
        }
        self.seen |= bit;
        let item = Item::Value(field);
        match field {
            Field::ModuleId => self.module_id = Some(module_id(reader.text(item, 1..=MAX_MODULE_ID_BYTES)?)?),
            Field::Digest => digest(reader.text(item, 0..=MAX_KEY_BYTES)?)?,
            Field::Timestamp => match reader.unsigned(item)? {
                0 => return Err(SyntaxRefusal::TimestampZero),
                millis => self.timestamp = Some(UnixMillis::from_millis(millis)),
            },
            Field::Pcrs => self.pcrs = Some(pcrs(reader)?),
            Field::Certificate => self.certificate = Some(reader.bytes(item, 1..=MAX_CERTIFICATE_BYTES)?),
            Field::CaBundle => self.cabundle = Some(cabundle(reader)?),
            Field::PublicKey => self.public_key = reader.bytes_or_null(item, 0..=MAX_OPTIONAL_BYTES)?,
            Field::UserData => self.user_data = reader.bytes_or_null(item, 0..=MAX_OPTIONAL_BYTES)?,
            Field::Nonce => self.nonce = reader.bytes_or_null(item, 0..=MAX_OPTIONAL_BYTES)?,
        }
        Ok(())
    }

    fn complete(self) -> Result<Payload<'a>, SyntaxRefusal> {
        let missing = |field| SyntaxRefusal::MissingKey { field };
        let Self { seen, module_id, timestamp, pcrs, certificate, cabundle, public_key, user_data, nonce } =
            self;
        // The digest has one possible value, so it is seen and not kept.
        if seen & (1 << Field::Digest as u16) == 0 {
            return Err(missing(Field::Digest));
        }
        Ok(Payload {
            module_id: module_id.ok_or(missing(Field::ModuleId))?,
            timestamp: timestamp.ok_or(missing(Field::Timestamp))?,
            pcrs: pcrs.ok_or(missing(Field::Pcrs))?,
            certificate: certificate.ok_or(missing(Field::Certificate))?,
            cabundle: cabundle.ok_or(missing(Field::CaBundle))?,
            public_key,
            user_data,
            nonce,
        })
    }
}

/// Which field a key names. Keys this verifier does not know are refused: what nobody judged is not admitted.
fn field_of(key: &str) -> Result<Field, SyntaxRefusal> {
    match Field::ALL.into_iter().find(|field| field.as_str() == key) {
        Some(field) => Ok(field),
        None if key == NITROTPM_PCRS => Err(SyntaxRefusal::NitroTpm { evidence: "its key nitrotpm_pcrs" }),
        None => Err(SyntaxRefusal::UnknownKey { key: key.to_owned() }),
    }
}

/// Any id that is not a NitroTPM's, which AWS writes as `i-…-tpm0000000000000000`.
fn module_id(text: &str) -> Result<&str, SyntaxRefusal> {
    if text.contains("-tpm") {
        return Err(SyntaxRefusal::NitroTpm { evidence: "a module_id with -tpm" });
    }
    Ok(text)
}

fn digest(text: &str) -> Result<(), SyntaxRefusal> {
    if text == "SHA384" { Ok(()) } else { Err(SyntaxRefusal::Digest { actual: text.to_owned() }) }
}

/// "pcrs: 1..32 entries, index 0..31", each 48 bytes, each index once, and 0, 1 and 2 present. A sparse map is legal.
fn pcrs(reader: &mut Reader<'_>) -> Result<PcrSet, SyntaxRefusal> {
    let item = Item::Value(Field::Pcrs);
    let mut set = PcrSet::EMPTY;
    let mut remaining = reader.map(item, 1..=PcrIndex::COUNT)?;
    while reader.next_entry(item, &mut remaining)? {
        let number = reader.unsigned(Item::PcrIndex)?;
        let index = PcrIndex::new(number).ok_or(SyntaxRefusal::PcrIndexRange { actual: number })?;
        let bytes = reader.bytes(Item::Pcr, Pcr::LEN..=Pcr::LEN)?;
        let value = bytes.try_into().map_err(|_| SyntaxRefusal::Truncated { item: Item::Pcr })?;
        set.insert(index, Pcr::new(value)).map_err(|_| SyntaxRefusal::DuplicatePcr { index })?;
    }
    match [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2].into_iter().find(|&index| set.get(index).is_none())
    {
        Some(index) => Err(SyntaxRefusal::MissingPcr { index }),
        None => Ok(set),
    }
}

fn cabundle<'a>(reader: &mut Reader<'a>) -> Result<CaBundle<'a>, SyntaxRefusal> {
    let item = Item::Value(Field::CaBundle);
    let mut bundle = CaBundle { entries: [&[]; MAX_CABUNDLE], count: 0 };
    let mut remaining = reader.array(item, 1..=MAX_CABUNDLE)?;
    while reader.next_entry(item, &mut remaining)? {
        let entry = reader.bytes(Item::CaBundleEntry, 1..=MAX_CERTIFICATE_BYTES)?;
        if let Some(slot) = bundle.entries.get_mut(bundle.count) {
            *slot = entry;
            bundle.count += 1;
        }
    }
    Ok(bundle)
}

/// The nine keys and room for an unknown or repeated one, which is then named.
const MAX_PAYLOAD_ENTRIES: usize = 32;

/// The longest known key has 11 bytes; an unknown one is repeated to the reader of the refusal, up to here.
const MAX_KEY_BYTES: usize = 64;

/// AWS's ids have 39 bytes; the attestation process only says "non-empty".
const MAX_MODULE_ID_BYTES: usize = 256;

/// AWS attestation process section 3.2.2.
const MAX_CERTIFICATE_BYTES: usize = 1024;

/// Entries of `cabundle`: AWS writes 4.
const MAX_CABUNDLE: usize = 10;

/// The CDDL of the attestation process; its list of checks says 512, and AWS has signed 746 and 800 bytes.
const MAX_OPTIONAL_BYTES: usize = 1024;

/// What a NitroTPM's document carries instead of `pcrs`.
const NITROTPM_PCRS: &str = "nitrotpm_pcrs";
