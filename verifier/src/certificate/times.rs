//! The two times of a certificate (RFC 5280 section 4.1.2.5).

use super::Validity;
use crate::der::{Der, tag};
use crate::refusal::CertificateFault;
use crate::time::{UnixMillis, from_civil};

/// Both times, in the content of the `validity` sequence.
pub(super) fn validity(content: &[u8]) -> Result<Validity, CertificateFault> {
    let mut times = Der::new(content);
    let validity = Validity { not_before: time(&mut times)?, not_after: time(&mut times)? };
    times.finish("validity")?;
    Ok(validity)
}

/// "CAs … MUST always encode certificate validity dates through the year 2049 as UTCTime; certificate validity dates in 2050
/// or later MUST be encoded as GeneralizedTime." Both in Zulu with seconds and without fractions.
fn time(times: &mut Der<'_>) -> Result<UnixMillis, CertificateFault> {
    let (year, rest) = if times.peek(tag::UTC_TIME) {
        let (year, rest) = number::<2>(times.read(tag::UTC_TIME, "validity")?.content)?;
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    } else {
        let (year, rest) = number::<4>(times.read(tag::GENERALIZED_TIME, "validity")?.content)?;
        if year < 2050 {
            return Err(CertificateFault::Time);
        }
        (year, rest)
    };
    let (month, rest) = number::<2>(rest)?;
    let (day, rest) = number::<2>(rest)?;
    let (hour, rest) = number::<2>(rest)?;
    let (minute, rest) = number::<2>(rest)?;
    let (second, rest) = number::<2>(rest)?;
    if rest != b"Z" {
        return Err(CertificateFault::Time);
    }
    from_civil(year, month, day, hour, minute, second).ok_or(CertificateFault::Time)
}

/// A number of exactly `DIGITS` decimal digits, and what follows it.
fn number<const DIGITS: usize>(text: &[u8]) -> Result<(u32, &[u8]), CertificateFault> {
    let (digits, rest) = text.split_first_chunk::<DIGITS>().ok_or(CertificateFault::Time)?;
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0')))
        .map(|value| (value, rest))
        .ok_or(CertificateFault::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<u64, CertificateFault> {
        let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
        time(&mut Der::new(&bytes)).map(UnixMillis::as_millis)
    }

    #[test]
    fn both_forms_are_read_each_in_its_century() {
        assert_eq!(read(tag::UTC_TIME, "260803191953Z"), Ok(1_785_784_793_000));
        assert_eq!(read(tag::UTC_TIME, "491028142805Z"), Ok(2_519_044_085_000));
        assert_eq!(read(tag::UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(read(tag::GENERALIZED_TIME, "20500910130346Z"), Ok(2_546_427_826_000));
    }

    #[test]
    fn no_other_form_is_read() {
        for text in [
            "2608031919Z",
            "260803191953",
            "260803191953+0000",
            "260803191953Zx",
            "26080319195 Z",
            "261303191953Z",
            "260803191960Z",
            "691231235959Z",
            "+10803191953Z",
        ] {
            assert_eq!(read(tag::UTC_TIME, text), Err(CertificateFault::Time), "{text}");
        }
        for text in
            ["20491231235959Z", "20500910130346.5Z", "20500910130346", "205009101303Z", "99991331235959Z"]
        {
            assert_eq!(read(tag::GENERALIZED_TIME, text), Err(CertificateFault::Time), "{text}");
        }
        assert_eq!(
            read(tag::OCTET_STRING, "260803191953Z"),
            Err(CertificateFault::NotDer { what: "validity" })
        );
    }
}
