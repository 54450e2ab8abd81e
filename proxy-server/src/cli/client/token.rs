use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::cli::{
    failure::Failure,
    words::{Environment, TOKEN, TokenFrom},
};

/// The `Authorization` that goes with every request; `None` when there is no token.
///
/// # Errors
/// The file cannot be read, or holds nothing that can be a token. Its content is
/// in no error.
pub(super) fn authorization(
    from: &TokenFrom,
    environment: Environment<'_>,
) -> Result<Option<HeaderValue>, Failure> {
    let (text, named) = match from {
        TokenFrom::Nowhere => return Ok(None),
        TokenFrom::Variable => {
            let text = environment(TOKEN).unwrap_or_default().into_string();
            (Zeroizing::new(text.unwrap_or_default()), TOKEN.to_owned())
        }
        TokenFrom::File(path) => {
            let text = read(path).map_err(|error| Failure::unreadable(path, &error))?;
            (text, path.display().to_string())
        }
    };
    let token = text.trim();
    // RFC 6750 section 2.1: b64token. An API token and a JWT are of it.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(allowed) {
        let reason = "expected one API token (cst_…) or one JWT, and nothing else";
        return Err(Failure::wrong(named, reason));
    }
    let bearer = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&bearer)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    let limit = LONGEST as u64;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)?;
    } else {
        File::open(path)?.take(limit).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The longest bearer that the API takes is 16 KiB.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn of_variable(text: &'static str) -> Result<Option<HeaderValue>, String> {
        let environment = move |_: &str| Some(OsString::from(text));
        authorization(&TokenFrom::Variable, &environment).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(of_variable(" cst_abc-_\n").unwrap().unwrap(), "Bearer cst_abc-_");
        for bad in ["", " ", "a b", "a\nb: c", "ä", "Bearer cst_x"] {
            let error = of_variable(bad).unwrap_err();
            assert!(error.starts_with("COUNTERSIGN_TOKEN: expected one API token"), "{error}");
            assert!(bad.trim().is_empty() || !error.contains(bad.trim()), "{error}");
        }
    }

    #[test]
    fn it_is_not_printed() {
        let debug = format!("{:?}", of_variable("cst_secret").unwrap());
        assert!(!debug.contains("secret"), "{debug}");
    }
}
