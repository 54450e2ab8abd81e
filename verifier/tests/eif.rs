//! Enclave images: those that AWS's library made, and every way in which one can be wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use countersign_verifier::{
    Architecture, EifError, EnclaveImage, ImagePart, Measurement, PcrIndex, SectionKind, SignatureFault,
};
use image::{CMDLINE, Image, KERNEL, METADATA, RAMDISK, SIGNATURE, signature};
use std::error::Error;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

mod image;

fn read(bytes: &[u8]) -> Result<EnclaveImage, EifError> {
    EnclaveImage::read(bytes)
}

/// Each image of `tests/eif/` with what AWS's library prints of it. `tests/eif-oracle` makes both.
fn fixtures() -> Vec<(PathBuf, Vec<u8>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eif");
    let mut images: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eif"))
        .collect();
    images.sort();
    assert!(images.len() >= 10, "the fixtures are missing: {images:?}");
    images
        .into_iter()
        .map(|path| {
            let description = std::fs::read(path.with_extension("json")).unwrap();
            (path.clone(), std::fs::read(path).unwrap(), description)
        })
        .collect()
}

fn fixture(name: &str) -> Vec<u8> {
    let (_, image, _) = fixtures().into_iter().find(|(path, ..)| path.file_stem().unwrap() == name).unwrap();
    image
}

#[test]
fn images_measure_to_what_awss_library_prints() {
    let mut signed = 0;
    for (path, bytes, description) in fixtures() {
        let image = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let printed: serde_json::Value = serde_json::from_slice(&description).unwrap();
        for index in [0, 1, 2, 8].map(|index| PcrIndex::new(index).unwrap()) {
            let ours = image.pcrs().get(index).map(ToString::to_string);
            assert_eq!(
                ours.as_deref(),
                printed["Measurements"][index.to_string()].as_str(),
                "{}",
                path.display()
            );
        }
        assert_eq!(image.pcrs().len(), if image.is_signed() { 4 } else { 3 });
        assert_eq!(printed["IsSigned"], image.is_signed());
        assert_eq!(printed["EifVersion"], image.version());
        signed += usize::from(image.is_signed());

        // The description is read as a measurement too, PCR8 included.
        let measurement = Measurement::from_json("x", &description).unwrap();
        assert!(measurement.pcrs().eq(image.pcrs().iter()), "{}", path.display());
    }
    assert!(signed >= 4);
    assert_eq!(read(&fixture("plain")).unwrap().architecture(), Architecture::X86_64);
    assert_eq!(read(&fixture("aarch64")).unwrap().architecture(), Architecture::Aarch64);
}

#[test]
fn every_bit_of_an_image_counts() {
    for name in ["plain", "signed"] {
        let bytes = fixture(name);
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                assert!(read(&changed).is_err(), "{name}: byte {at} is not looked at");
            }
            assert!(read(&bytes[..at]).is_err(), "{name}: accepted without its last {}", bytes.len() - at);
        }
    }
}

/// The checksum keeps out accidents, not attackers: so what is measured must be measured to the last bit.
#[test]
fn every_measured_byte_changes_the_right_registers() {
    let whole = Image::whole();
    let reference = read(&whole.bytes()).unwrap();
    let differing = |changed: &Image| -> Vec<u8> {
        let image = read(&changed.bytes()).unwrap();
        PcrIndex::all()
            .filter(|&i| image.pcrs().get(i) != reference.pcrs().get(i))
            .map(PcrIndex::get)
            .collect()
    };
    let expected: [(usize, &[u8]); 7] =
        [(0, &[0, 1]), (1, &[0, 1]), (2, &[]), (3, &[0, 1]), (4, &[0, 2]), (5, &[0, 2]), (6, &[8])];
    for (section, registers) in expected {
        let mut changed = whole.clone();
        changed.sections[section].1 = match section {
            6 => signature(b"another certificate"),
            _ => [&changed.sections[section].1[..], b"!"].concat(),
        };
        assert_eq!(differing(&changed), registers, "section {section}");
    }
    // Two ramdisks of the application in the other order.
    let mut swapped = whole.clone();
    swapped.sections.swap(4, 5);
    assert_eq!(differing(&swapped), [0, 2]);
    // Where sections meet does not count, only their bytes in order: so AWS defines it.
    let mut moved = whole.clone();
    moved.sections[0].1.extend_from_slice(b"cmd");
    moved.sections[1].1 = b"line".to_vec();
    assert_eq!(differing(&moved), [0_u8; 0]);
}

#[test]
fn a_stream_in_small_pieces_measures_the_same() {
    /// Gives a few bytes at a time, and is interrupted in between.
    struct Slow<'b>(&'b [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1 + self.1 % 5);
            self.0.read(&mut buffer[..count])
        }
    }
    for (_, bytes, _) in fixtures() {
        assert_eq!(EnclaveImage::read(Slow(&bytes, 0)), read(&bytes));
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(EnclaveImage::read(Slow(cut, 0)), read(cut));
    }
}

#[test]
fn a_section_longer_than_a_buffer_is_measured_whole() {
    let mut image = Image::whole();
    image.sections[0].1 = (0..1_000_003_u32).map(|n| n as u8).collect();
    let whole = read(&image.bytes()).unwrap();
    image.sections[0].1[999_999] ^= 1;
    let changed = read(&image.bytes()).unwrap();
    assert_ne!(whole.pcrs().get(PcrIndex::PCR1), changed.pcrs().get(PcrIndex::PCR1));
    assert_eq!(whole.pcrs().get(PcrIndex::PCR2), changed.pcrs().get(PcrIndex::PCR2));
}

#[test]
fn a_reader_that_fails_is_no_short_file() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(ErrorKind::PermissionDenied)?;
            buffer[..4].copy_from_slice(b".eif");
            Ok(4)
        }
    }
    let error = EnclaveImage::read(Failing(5));
    assert_eq!(error, Err(EifError::Unreadable { at: 20, kind: ErrorKind::PermissionDenied }));
}

#[test]
fn images_of_version_2_and_3_need_no_metadata() {
    let sections = vec![(KERNEL, b"k".to_vec()), (CMDLINE, b"c".to_vec()), (RAMDISK, b"r".to_vec())];
    for version in [2, 3] {
        let image = Image { version, sections: sections.clone(), ..Image::whole() };
        assert_eq!(read(&image.bytes()).unwrap().version(), version);
    }
}

/// `nitro-cli sign-eif` on a signed image leaves the size of the old signature in the header.
#[test]
fn a_signature_that_was_replaced_may_differ_in_size() {
    let mut image = Image::whole();
    image.sizes.insert(6, 1);
    assert!(read(&image.bytes()).unwrap().is_signed());
    let bytes = fixture("signed-again");
    let size_in_header = &bytes[284 + 8 * 5..][..8];
    let section = bytes.len() - usize::from_be_bytes(size_in_header.try_into().unwrap());
    assert_ne!(bytes[section - 12..][..2], [0, SIGNATURE as u8], "the fixture does not show it");
}

#[test]
fn each_mistake_has_its_own_error() {
    let edited = |edit: &dyn Fn(&mut Image)| {
        let mut image = Image::whole();
        edit(&mut image);
        read(&image.bytes()).unwrap_err()
    };
    let kernel = SectionKind::Kernel;
    let whole = Image::whole().bytes();

    assert_eq!(
        read(b"\x7fELF\n").unwrap_err(),
        EifError::Truncated { part: ImagePart::Header, expected: 544, actual: 5 }
    );
    assert_eq!(
        read(&whole[..546]).unwrap_err(),
        EifError::Truncated { part: ImagePart::Header, expected: 4, actual: 2 }
    );
    assert_eq!(
        read(&whole[..550]).unwrap_err(),
        EifError::Truncated { part: ImagePart::SectionHeader { index: 0 }, expected: 12, actual: 2 }
    );
    assert_eq!(
        read(&whole[..562]).unwrap_err(),
        EifError::Truncated { part: ImagePart::Section { index: 0, kind: kernel }, expected: 6, actual: 2 }
    );
    assert_eq!(edited(&|i| i.magic = *b"\x7fELF"), EifError::NotAnImage { actual: *b"\x7fELF" });
    for version in [0, 1, 5, 0x0400] {
        assert_eq!(edited(&|i| i.version = version), EifError::UnsupportedVersion { actual: version });
    }
    for count in [0, 1, 33, u16::MAX] {
        assert_eq!(edited(&|i| i.count = Some(count)), EifError::SectionCount { actual: count });
    }
    for size in [16 << 30, u64::MAX] {
        let error = edited(&|i| _ = i.sizes.insert(1, size));
        let EifError::TooLong { limit, actual } = error else { panic!("{error:?}") };
        assert!(limit == 16 << 30 && actual >= size);
    }
    for number in [0, 6, 0x0100] {
        assert_eq!(
            edited(&|i| i.sections[3].0 = number),
            EifError::UnknownSection { index: 3, actual: number }
        );
    }
    assert_eq!(
        edited(&|i| _ = i.offsets.insert(1, 567)),
        EifError::OffsetsDiffer { index: 1, expected: 566, actual: 567 }
    );
    assert_eq!(
        edited(&|i| _ = i.sizes.insert(0, 7)),
        EifError::SizesDiffer { index: 0, expected: 7, actual: 6 }
    );
    for (number, kind) in [
        (KERNEL, kernel),
        (CMDLINE, SectionKind::Cmdline),
        (SIGNATURE, SectionKind::Signature),
        (METADATA, SectionKind::Metadata),
    ] {
        let one_more = |i: &mut Image| i.sections.push((number, b"more".to_vec()));
        assert_eq!(edited(&one_more), EifError::DuplicateSection { index: 7, kind });
    }
    assert_eq!(edited(&|i| i.sections.swap(0, 3)), EifError::RamdiskBeforeKernel { index: 0 });
    for (index, kind) in [(0, kernel), (1, SectionKind::Cmdline), (2, SectionKind::Metadata)] {
        let without = |i: &mut Image| {
            i.sections.remove(index);
            i.sections.retain(|(number, _)| *number != RAMDISK);
        };
        assert_eq!(edited(&without), EifError::MissingSection { kind });
    }
    assert_eq!(
        edited(&|i| i.sections[6].1 = vec![0; 32_769]),
        EifError::SignatureTooLong { limit: 32_768, actual: 32_769 }
    );
    let at = whole.len() as u64;
    assert_eq!(read(&[&whole[..], b"\0"].concat()).unwrap_err(), EifError::TrailingBytes { at });
    assert_eq!(
        edited(&|i| i.count = Some(6)),
        EifError::TrailingBytes { at: at - 12 - Image::whole().sections[6].1.len() as u64 }
    );
    let mut damaged = whole.clone();
    damaged[560] ^= 1;
    assert!(matches!(read(&damaged), Err(EifError::Checksum { expected, actual }) if expected != actual));
}

#[test]
fn each_mistake_of_a_signature_has_its_own_error() {
    let fault = |section: Vec<u8>| {
        let mut image = Image::whole();
        image.sections[6].1 = section;
        match read(&image.bytes()).unwrap_err() {
            EifError::Signature(fault) => fault,
            error => panic!("{error:?}"),
        }
    };
    let cbor = |fault: SignatureFault| match fault {
        SignatureFault::NotCbor(refusal) => refusal.code(),
        fault => panic!("{fault:?}"),
    };
    let good = signature(b"a certificate");
    assert_eq!(cbor(fault(Vec::new())), "truncated");
    assert_eq!(cbor(fault(good[..good.len() - 1].to_vec())), "truncated");
    assert_eq!(cbor(fault([&good[..], b"\0"].concat())), "trailing-bytes");
    assert_eq!(cbor(fault(b"\x80".to_vec())), "count-out-of-range");
    assert_eq!(cbor(fault(b"\x81\xa0".to_vec())), "count-out-of-range");
    assert_eq!(cbor(fault(b"\x81\x63abc".to_vec())), "unexpected-type");
    // Bytes as a byte string are what nobody writes.
    assert_eq!(cbor(fault(b"\x81\xa2\x69signature\x41\x00".to_vec())), "unexpected-type");

    let entry = |first: &str, second: &str| {
        let key = |name: &str| [&[0x60 | name.len() as u8][..], name.as_bytes(), b"\x81\x00"].concat();
        [b"\x81\xa2".to_vec(), key(first), key(second)].concat()
    };
    assert_eq!(
        fault(entry("signature", "certificate")),
        SignatureFault::UnknownKey { key: "certificate".to_owned() }
    );
    assert_eq!(
        fault(entry("signature", "signature")),
        SignatureFault::DuplicateKey { key: "signature".to_owned() }
    );
    assert_eq!(
        fault(b"\x81\xa2\x69signature\x81\x19\x01\x00".to_vec()),
        SignatureFault::NotAByte { actual: 256 }
    );
    let with_file = |pem: &[u8]| fault(image::signature_of_file(pem));
    for pem in [&b"no certificate"[..], b"-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(with_file(pem), SignatureFault::NotPem);
    }
    let of_der = |base64: &str| {
        with_file(format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").as_bytes())
    };
    // A NULL, and an empty sequence with a byte behind it.
    assert!(matches!(of_der("BQA="), SignatureFault::NotDer(_)));
    assert!(matches!(of_der("MAAA"), SignatureFault::NotDer(_)));

    let error = EifError::Signature(SignatureFault::NotAByte { actual: 256 });
    assert_eq!(error.code(), "signature-malformed");
    assert_eq!(error.source().unwrap().to_string(), "256 in an array of bytes");
}

/// Only the first signature is AWS's business; the others must still be read.
#[test]
fn of_several_signatures_the_first_counts() {
    let pcr8 = |section: Vec<u8>| {
        let mut image = Image::whole();
        image.sections[6].1 = section;
        read(&image.bytes()).map(|image| *image.pcrs().get(PcrIndex::PCR8).unwrap())
    };
    let (one, two) = (signature(b"one"), signature(b"two"));
    let both = [&[0x82][..], &one[1..], &two[1..]].concat();
    assert_eq!(pcr8(both.clone()), pcr8(one));
    assert_ne!(pcr8(both.clone()), pcr8(two));
    assert!(pcr8(both[..both.len() - 1].to_vec()).is_err());
}

/// What a header claims costs nothing before its bytes are there.
#[test]
fn a_huge_claim_reads_no_more_than_there_is() {
    let mut image = Image::whole();
    image.sizes.insert(0, 10 << 30);
    let mut bytes = image.bytes();
    bytes[552..560].copy_from_slice(&(10_u64 << 30).to_be_bytes());
    let left = (bytes.len() - 560) as u64;
    let part = ImagePart::Section { index: 0, kind: SectionKind::Kernel };
    assert_eq!(read(&bytes), Err(EifError::Truncated { part, expected: 10 << 30, actual: left }));
}
