//! Enclave images with any defect.

use std::collections::BTreeMap;

pub(crate) const KERNEL: u16 = 1;
pub(crate) const CMDLINE: u16 = 2;
pub(crate) const RAMDISK: u16 = 3;
pub(crate) const SIGNATURE: u16 = 4;
pub(crate) const METADATA: u16 = 5;

/// An image in parts. Offsets, sizes, count and checksum are right unless told otherwise.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u16,
    pub(crate) sections: Vec<(u16, Vec<u8>)>,
    /// Instead of how many there are.
    pub(crate) count: Option<u16>,
    /// What the header says of a section, instead of what is.
    pub(crate) offsets: BTreeMap<usize, u64>,
    pub(crate) sizes: BTreeMap<usize, u64>,
}

impl Image {
    /// An image in order, with every kind of section.
    pub(crate) fn whole() -> Self {
        Self {
            magic: *b".eif",
            version: 4,
            sections: vec![
                (KERNEL, b"kernel".to_vec()),
                (CMDLINE, b"cmdline".to_vec()),
                (METADATA, b"{}".to_vec()),
                (RAMDISK, b"boot".to_vec()),
                (RAMDISK, b"application".to_vec()),
                (RAMDISK, b"data".to_vec()),
                (SIGNATURE, signature(b"a certificate")),
            ],
            count: None,
            offsets: BTreeMap::new(),
            sizes: BTreeMap::new(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (mut offsets, mut sizes, mut body) = ([0_u64; 32], [0_u64; 32], Vec::new());
        for (index, (kind, content)) in self.sections.iter().enumerate() {
            offsets[index] = 548 + body.len() as u64;
            sizes[index] = content.len() as u64;
            body.extend([kind.to_be_bytes(), [0, 0]].concat());
            body.extend((content.len() as u64).to_be_bytes());
            body.extend(content);
        }
        self.offsets.iter().for_each(|(&index, &offset)| offsets[index] = offset);
        self.sizes.iter().for_each(|(&index, &size)| sizes[index] = size);
        let mut header = self.magic.to_vec();
        header.extend(self.version.to_be_bytes());
        header.extend([0; 2 + 8 + 8 + 2]);
        header.extend(self.count.unwrap_or(self.sections.len() as u16).to_be_bytes());
        header.extend(offsets.into_iter().chain(sizes).flat_map(u64::to_be_bytes));
        header.extend([0; 4]);
        let checksum = crc32(header.iter().chain(&body));
        [header, checksum.to_be_bytes().to_vec(), body].concat()
    }
}

/// A signature section with a "certificate" that is a sequence of these few bytes.
pub(crate) fn signature(certificate: &[u8]) -> Vec<u8> {
    let der = [&[0x30, certificate.len() as u8][..], certificate].concat();
    let base64 = base64(&der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    signature_of_file(pem.as_bytes())
}

/// A signature section with this certificate file.
pub(crate) fn signature_of_file(pem: &[u8]) -> Vec<u8> {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.array(1).unwrap().map(2).unwrap();
    for (key, value) in [("signing_certificate", pem), ("signature", &b"not looked at"[..])] {
        encoder.str(key).unwrap().array(value.len() as u64).unwrap();
        value.iter().for_each(|byte| _ = encoder.u8(*byte).unwrap());
    }
    encoder.into_writer()
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// CRC-32 bit by bit, as ISO 3309 defines it.
fn crc32<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
