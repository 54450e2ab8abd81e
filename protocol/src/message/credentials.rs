//! The two messages by which a session asks for AWS credentials.

use std::fmt;

use super::{MessageError, Reader, encode};
use crate::SessionId;

/// The body of `POST /v1/credentials`: `["countersign-ask-credentials-v1", session_id]`.
///
/// The id alone gives nothing: the connection must prove the session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskCredentials {
    /// The session that asks.
    pub session: SessionId,
}

/// The proxy's answer:
/// `["countersign-credentials-v1", access_key_id, secret_access_key, session_token, expires]`.
///
/// The secrets are borrowed from whoever keeps and wipes them, and masked in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IssuedCredentials<'a> {
    /// The part that is no secret.
    pub access_key_id: &'a str,
    /// Signs requests.
    pub secret_access_key: &'a str,
    /// Goes along with each request.
    pub session_token: &'a str,
    /// From then on AWS refuses them: seconds since 1970.
    pub expires: u64,
}

impl AskCredentials {
    /// The message as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        encode(64, |e| e.array(2)?.str(ASK)?.bytes(self.session.as_bytes())?.ok())
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::open(bytes, ASK, 2)?;
        let session = SessionId::from_bytes(reader.array("session_id")?);
        reader.close(Self { session })
    }
}

impl<'a> IssuedCredentials<'a> {
    /// The message as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let Self { access_key_id, secret_access_key, session_token, expires } = self;
        // Whole from the start: a buffer that grew would leave copies of the secrets behind.
        let room = access_key_id.len() + secret_access_key.len() + session_token.len() + 64;
        encode(room, |e| {
            e.array(5)?
                .str(ISSUED)?
                .str(access_key_id)?
                .str(secret_access_key)?
                .str(session_token)?
                .u64(*expires)?
                .ok()
        })
    }

    /// Reads a whole message; the texts stay where they are.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be. Each text must be able to stand in
    /// an HTTP header: printable ASCII, without spaces.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::open(bytes, ISSUED, 5)?;
        let issued = Self {
            access_key_id: reader.graphic("access_key_id")?,
            secret_access_key: reader.graphic("secret_access_key")?,
            session_token: reader.graphic("session_token")?,
            expires: reader.number("expires")?,
        };
        reader.close(issued)
    }
}

impl<'a> Reader<'a> {
    fn graphic(&mut self, field: &'static str) -> Result<&'a str, MessageError> {
        let text = self.text(field)?;
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(text) } else { Err(self.bad(field)) }
    }
}

impl fmt::Debug for IssuedCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key_id, expires, .. } = self;
        write!(f, "IssuedCredentials({access_key_id}, expires {expires})")
    }
}

const ASK: &str = "countersign-ask-credentials-v1";
const ISSUED: &str = "countersign-credentials-v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    const GOOD: IssuedCredentials<'static> = IssuedCredentials {
        access_key_id: "ASIAEXAMPLE",
        secret_access_key: "wJalrXUtnFEMI/K7MDENG",
        session_token: "FwoGZXIvYXdzE==",
        expires: 1_900_000_000,
    };

    #[test]
    fn both_survive_the_wire() {
        let ask = AskCredentials { session: SessionId::from_bytes([3; 16]) };
        let bytes = ask.encode();
        assert!(bytes.len() <= wire::MAX_ASK_CREDENTIALS, "{} bytes", bytes.len());
        assert_eq!(AskCredentials::decode(&bytes), Ok(ask));
        assert_eq!(IssuedCredentials::decode(&GOOD.encode()), Ok(GOOD));
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        let whole = GOOD.encode();
        for end in 0..whole.len() {
            assert!(IssuedCredentials::decode(&whole[..end]).is_err(), "{end} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        let trailing = MessageError::Trailing { label: ISSUED, extra: 1 };
        assert_eq!(IssuedCredentials::decode(&longer), Err(trailing));
        assert_eq!(AskCredentials::decode(&whole), Err(MessageError::NotThis { label: ASK }));
    }

    #[test]
    fn what_could_break_a_header_is_refused() {
        for bad in ["", "a b", "a\r\nx-evil: 1", "ä", "\u{7f}"] {
            let field = Err(MessageError::Field { label: ISSUED, field: "session_token" });
            let message = IssuedCredentials { session_token: bad, ..GOOD }.encode();
            assert_eq!(IssuedCredentials::decode(&message), field, "{bad:?}");
        }
    }

    #[test]
    fn debug_hides_the_secrets() {
        assert_eq!(format!("{GOOD:?}"), "IssuedCredentials(ASIAEXAMPLE, expires 1900000000)");
    }
}
