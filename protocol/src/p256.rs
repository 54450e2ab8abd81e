/// The uncompressed point, 65 bytes, of a P-256 key's SubjectPublicKeyInfo (DER); `None` for any other key.
///
/// RFC 5480 section 2. There is one form of it, so its start is compared whole and nothing is parsed.
pub fn p256_point(spki: &[u8]) -> Option<&[u8]> {
    let point = spki.strip_prefix(START)?;
    (point.len() == P256_POINT_LEN && point.first() == Some(&UNCOMPRESSED)).then_some(point)
}

/// Of the point: its form, then two coordinates of 32 bytes (SEC 1 section 2.3.3).
pub const P256_POINT_LEN: usize = 65;

/// Of the SubjectPublicKeyInfo around it.
pub const P256_SPKI_LEN: usize = START.len() + P256_POINT_LEN;

/// `SEQUENCE { SEQUENCE { OID id-ecPublicKey, OID prime256v1 }, BIT STRING`, with the length of the point in it.
const START: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_uncompressed_point_of_p256_is_one() {
        let point = [&[4][..], &[7; 64]].concat();
        let spki = [START, &point].concat();
        assert_eq!(p256_point(&spki), Some(&point[..]));
        let mut compressed = spki.clone();
        compressed[START.len()] = 2;
        assert_eq!(p256_point(&compressed), None);
        assert_eq!(p256_point(&spki[..spki.len() - 1]), None);
        assert_eq!(p256_point(&[&spki[..], &[0]].concat()), None);
        assert_eq!(p256_point(START), None);
    }
}
