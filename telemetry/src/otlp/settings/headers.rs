use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{environment::percent_decoded, error::BadSetting};

/// Headers of each request. Their values are secrets: `Debug` does not tell them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// As in a file: one `name: value` a line; empty lines and lines with `#` are left out.
    ///
    /// # Errors
    /// [`BadSetting::Header`] with the line that is no header, or one that is not the user's to set.
    pub fn of_lines(text: &str) -> Result<Self, BadSetting> {
        let mut headers = Self::default();
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) =
                line.split_once(':').ok_or(BadSetting::Header { number, why: "no `name: value`" })?;
            headers.add(number, name.trim(), value.trim().as_bytes())?;
        }
        Ok(headers)
    }

    /// As in `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value`, values percent-encoded.
    ///
    /// # Errors
    /// As [`Self::of_lines`], with the pair that is none.
    pub fn of_pairs(text: &str) -> Result<Self, BadSetting> {
        let mut headers = Self::default();
        for (index, pair) in text.split(',').enumerate() {
            let (number, pair) = (index + 1, pair.trim());
            if pair.is_empty() {
                continue;
            }
            let bad = |why| BadSetting::Header { number, why };
            let (name, value) = pair.split_once('=').ok_or(bad("no `name=value`"))?;
            let value = percent_decoded(value.trim()).ok_or(bad("a `%` without two digits"))?;
            headers.add(number, name.trim(), &value)?;
        }
        Ok(headers)
    }

    fn add(&mut self, number: usize, name: &str, value: &[u8]) -> Result<(), BadSetting> {
        let bad = |why| BadSetting::Header { number, why };
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("the name has a letter of none"))?;
        if OURS.contains(&name) {
            return Err(bad("this header is set by the exporter"));
        }
        let mut value =
            HeaderValue::from_bytes(value).map_err(|_| bad("the value has a control character"))?;
        value.set_sensitive(true);
        if self.0.try_append(name, value).is_err() || self.0.len() > MOST {
            return Err(bad("too many headers"));
        }
        Ok(())
    }

    /// Whether none is sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::otlp) fn map(&self) -> &HeaderMap {
        &self.0
    }
}

/// What frames a message is not the user's to set.
const OURS: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_headers() {
        let lines = Headers::of_lines("# the key\nAuthorization: Bearer a=b,c%20d\n\nx-tenant: 7\n").unwrap();
        let pairs = Headers::of_pairs("authorization=Bearer%20a=b%2Cc%2520d, x-tenant = 7,").unwrap();
        assert_eq!(lines, pairs);
        assert_eq!(lines.map()["authorization"], "Bearer a=b,c%20d");
    }

    #[test]
    fn values_are_told_to_nobody() {
        let headers = Headers::of_pairs("authorization=planted-secret").unwrap();
        assert!(!format!("{headers:?}").contains("planted"));
        for bad in ["planted-secret", "planted secret=1", "x=planted%secret", "x=planted%0Asecret"] {
            let error = Headers::of_pairs(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
        }
    }

    #[test]
    fn headers_that_frame_a_message_are_ours() {
        for name in ["Host", "content-length", "Transfer-Encoding", "content-type", "connection"] {
            assert_eq!(
                Headers::of_lines(&format!("x: 1\n{name}: 1")),
                Err(BadSetting::Header { number: 2, why: "this header is set by the exporter" })
            );
        }
    }
}
