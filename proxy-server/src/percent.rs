//! Percent-encoding of values in URLs and forms.

/// A value in a path, a query or a form (RFC 3986 section 2.3: all but the
/// unreserved is encoded). Readers of `application/x-www-form-urlencoded` take
/// it too: only a bare `+` would mean a space to them.
pub(crate) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Names and values as a query or a form.
pub(crate) fn pairs<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<_> =
        values.into_iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        assert_eq!(encoded("a&b=c/../d e\u{e9}"), "a%26b%3Dc%2F..%2Fd%20e%C3%A9");
        assert_eq!(pairs([("a", "1&b=2"), ("c", "+")]), "a=1%26b%3D2&c=%2B");
    }
}
